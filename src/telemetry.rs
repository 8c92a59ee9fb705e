//! Logs: one JSON object a line on stderr, written by a thread of its own so that no turn waits for a terminal or a disk.

mod writer;

use std::{
    fmt,
    io::{self, IsTerminal},
};

use chat_domain::json::write_str;
use serde::Serialize;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

pub use writer::LogGuard;

/// How a log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

/// Our crates: what a configured level is about. Everybody else stays at WARN, since at DEBUG they print bodies.
const OURS: [&str; 8] =
    ["chat_agent", "chat_domain", "chat_local", "chat_mcp", "chat_mongodb", "chat_mysql", "chat_openai", "chat_redis"];

/// Installs the log for the whole process. What is still buffered is written when the guard is dropped.
///
/// # Errors
/// When the thread that writes it cannot be started.
pub fn init(level: LevelFilter, format: Format) -> io::Result<LogGuard> {
    let (writer, guard) = writer::start(io::stderr())?;
    let others = Targets::new()
        .with_default(LevelFilter::WARN)
        // It prints messages at WARN. What goes wrong with a server our own adapter says.
        .with_target("rmcp", LevelFilter::OFF);
    let targets = OURS.iter().fold(others, |targets, ours| targets.with_target(*ours, level));
    let registry = tracing_subscriber::registry().with(targets);
    let _ = match format {
        Format::Json => registry.with(layer(writer)).try_init(),
        Format::Text => {
            let text = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(io::stderr().is_terminal());
            registry.with(text).try_init()
        }
    };
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: a panic's text may quote what was being worked on.
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, "a panic: please report it");
    }));
    Ok(guard)
}

fn layer<S, W>(writer: W) -> impl tracing_subscriber::Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer().fmt_fields(SpanFields).event_format(JsonLines).with_writer(writer)
}

/// What a completed request's line takes, with room to spare.
const LINE: usize = 768;

/// `timestamp, level, target, message`, then the event's fields, then those of the spans around it that it lacks.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line { json: Vec::with_capacity(LINE), scratch: String::new(), has_request_id: false };
        let now = chat_domain::ports::Clock::now(&chat_local::system::SystemClock::new());
        line.json.extend_from_slice(b"{\"timestamp\":\"");
        line.json.extend_from_slice(&now.to_ascii());
        line.json.push(b'"');
        line.text("level", level(event.metadata().level()));
        line.text("target", event.metadata().target());
        // An event's message is the first of its fields.
        event.record(&mut line);
        // Of all spans only the request's has a field: its id.
        if !line.has_request_id {
            for span in ctx.event_scope().into_iter().flatten() {
                if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                    && !fields.fields.is_empty()
                {
                    line.text("request_id", &fields.fields);
                }
            }
        }
        line.json.extend_from_slice(b"}\n");
        out.write_str(std::str::from_utf8(&line.json).map_err(|_| fmt::Error)?)
    }
}

fn level(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        // The Python service's word.
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// A line on its way. Written by hand: a line a turn is a tenth of what the turn costs if serde writes it.
struct Line {
    json: Vec<u8>,
    scratch: String,
    has_request_id: bool,
}

impl Line {
    /// Field names are Rust's: nothing in them has to be escaped.
    fn key(&mut self, name: &str) {
        self.json.extend_from_slice(b",\"");
        self.json.extend_from_slice(name.as_bytes());
        self.json.extend_from_slice(b"\":");
        self.has_request_id |= name == "request_id";
    }

    fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        write_str(&mut self.json, value);
    }

    fn bare(&mut self, name: &str, value: impl Serialize) {
        self.key(name);
        // Writing to a Vec cannot fail; a number that JSON has no word for is null.
        let _ = serde_json::to_writer(&mut self.json, &value);
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.bare(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // Most are addresses and the like, and come in small pieces.
        scratch.reserve(64);
        // Writing to a String cannot fail, unless a value's own Debug does.
        let _ = fmt::Write::write_fmt(&mut scratch, format_args!("{value:?}"));
        self.text(field.name(), &scratch);
        self.scratch = scratch;
    }
}

/// Keeps a span's values bare, to be written as JSON with each of its events.
struct SpanFields;

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        struct Bare<'w>(Writer<'w>, fmt::Result);
        impl Visit for Bare<'_> {
            fn record_str(&mut self, _: &Field, value: &str) {
                self.1 = self.0.write_str(value);
            }

            fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
                self.1 = write!(self.0, "{value:?}");
            }
        }
        let mut bare = Bare(writer, Ok(()));
        fields.record(&mut bare);
        bare.1
    }

    fn add_fields(&self, _: &'w mut FormattedFields<Self>, _: &span::Record<'_>) -> fmt::Result {
        // No span of ours learns a field later.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_json_object_with_the_request_it_belongs_to() {
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::registry().with(layer(move || lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("request", request_id = "r\"1").in_scope(|| {
                tracing::warn!(status_code = 502u16, took = 1.5, path = "/a\nb", error = %"it\tbroke", "something failed");
                tracing::info!(request_id = "own", "named");
            });
        });
        let text = String::from_utf8(written.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("UTF-8");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert!(text.starts_with("{\"timestamp\":\"2"), "{text}");
        let first = &lines[0];
        assert_eq!(
            (&first["level"], &first["message"], &first["request_id"]),
            (&"WARNING".into(), &"something failed".into(), &"r\"1".into())
        );
        assert_eq!(
            (&first["status_code"], &first["took"], &first["path"], &first["error"]),
            (&502.into(), &1.5.into(), &"/a\nb".into(), &"it\tbroke".into())
        );
        assert_eq!(lines[1]["request_id"], "own");
    }
}
