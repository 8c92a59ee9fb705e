//! Logs: one JSON object a line on stderr, written by a thread of its own so that no turn waits for a terminal or a disk.
//! And traces, in builds with the feature `otel`.

mod line;
#[cfg(feature = "otel")]
mod otel;
mod request;
#[cfg(not(feature = "otel"))]
mod untraced;
mod writer;

use std::{
    fmt,
    io::{self, IsTerminal},
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use self::line::Line;
#[cfg(feature = "otel")]
use self::otel::Attached;
#[cfg(feature = "otel")]
pub use self::otel::{RequestSpan, Tracing, TurnStream};
#[cfg(not(feature = "otel"))]
use self::untraced::Attached;
#[cfg(not(feature = "otel"))]
pub use self::untraced::{RequestSpan, Tracing, TurnStream};
pub use self::{
    request::{InRequest, RequestScope, Value, request_completed},
    writer::{LogGuard, dropped_lines},
};

/// How a log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

/// What traces call a backend.
#[derive(Debug, Clone)]
pub struct LlmNames {
    /// Who provides it, in OpenTelemetry's words where there is one.
    pub provider: &'static str,
    /// Its name in logs and metrics.
    pub backend: String,
    /// The model it is asked for by default.
    pub model: String,
    /// Whether it is asked for that one whatever a client names.
    pub is_fixed: bool,
    /// Its host and port, if it is elsewhere.
    pub server: Option<(String, u16)>,
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
        Format::Json => {
            request::log_as_json(&writer);
            registry.with(layer(writer)).try_init()
        }
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
    tracing_subscriber::fmt::layer().event_format(JsonLines).with_writer(writer)
}

/// `timestamp, level, target, message`, then the event's fields, then the id of the request it belongs to.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::new(*event.metadata().level(), event.metadata().target());
        // An event's message is the first of its fields.
        event.record(&mut line);
        if !line.has_request_id {
            request::write_current(&mut line);
        }
        out.write_str(std::str::from_utf8(&line.end()).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use poem::http::HeaderValue;
    use std::{
        panic::AssertUnwindSafe,
        sync::{Arc, Mutex, PoisonError},
    };

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
            let mut scope = RequestScope::new(HeaderValue::from_static("r\"1"), RequestSpan::default());
            {
                let _entered = scope.enter();
                tracing::warn!(status_code = 502u16, took = 1.5, path = "/a\nb", error = %"it\tbroke", "something failed");
                tracing::info!(request_id = "own", "named");
            }
            tracing::info!("outside");
        });
        let text = String::from_utf8(written.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("UTF-8");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3);
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
        assert_eq!(lines[2].get("request_id"), None);
    }

    /// Logs when it is dropped.
    struct Tells(&'static str);

    impl Drop for Tells {
        fn drop(&mut self) {
            tracing::info!("{}", self.0);
        }
    }

    #[test]
    fn work_on_a_request_logs_its_id_until_it_is_gone() {
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::registry().with(layer(move || lines.clone()));
        let scope = |id| RequestScope::new(HeaderValue::from_static(id), RequestSpan::default());
        tracing::subscriber::with_default(subscriber, || {
            let begun = |name| async move {
                let _tells = Tells(name);
                std::future::pending::<()>().await;
            };
            let mut one = Box::pin(InRequest::new(begun("one"), scope("1")));
            let mut other = Box::pin(InRequest::new(begun("other"), scope("2")));
            assert!(one.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
            drop(one);
            let panicking = InRequest::new(async { panic!("as it is told to") }, scope("3"));
            assert!(
                AssertUnwindSafe(panicking)
                    .catch_unwind()
                    .now_or_never()
                    .is_some_and(|done: Result<(), _>| done.is_err())
            );
            tracing::info!("outside");
            drop(other);
        });
        let text = String::from_utf8(written.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("UTF-8");
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let told: Vec<_> = lines.map(|line| (line["message"].clone(), line["request_id"].clone())).collect();
        assert_eq!(
            told,
            [("one".into(), "1".into()), ("outside".into(), serde_json::Value::Null), ("other".into(), "2".into())]
        );
    }

    #[test]
    fn a_request_is_named_once_to_people_also_while_its_answer_is_written() {
        let lines = Lines::default();
        let written = lines.clone();
        let text = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || lines.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(text), || {
            let mut handler = RequestScope::new(HeaderValue::from_static("1"), RequestSpan::default());
            let _in_handler = handler.enter();
            let mut answer = RequestScope::new(HeaderValue::from_static("1"), RequestSpan::default());
            let _in_answer = answer.enter();
            tracing::info!("told");
        });
        let text = String::from_utf8(written.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("UTF-8");
        assert!(text.ends_with("INFO request{request_id=\"1\"}: chat_agent::telemetry::tests: told\n"), "{text}");
    }

    #[test]
    fn a_request_is_told_to_people_as_well() {
        let lines = Lines::default();
        let written = lines.clone();
        let text = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || lines.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(text), || {
            request_completed(&[
                ("event", Some(Value::Plain("request_completed"))),
                ("status_code", Some(Value::Count(200))),
            ]);
        });
        let text = String::from_utf8(written.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("UTF-8");
        let expected =
            "INFO chat_agent::http::request: request completed event=\"request_completed\" status_code=200\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
