//! A line of the log as JSON: [`Line`].

use std::{fmt, io::Write, net::IpAddr};

use chat_domain::json::write_str;
use chat_local::system::now;
use serde::Serialize;
use tracing::{
    Level,
    field::{Field, Visit},
};

/// What a completed request's line takes, with room to spare.
const LINE: usize = 768;

/// A line on its way. Written by hand: a line a turn is a tenth of what the turn costs if serde writes it.
pub(super) struct Line {
    json: Vec<u8>,
    scratch: String,
    pub(super) has_request_id: bool,
}

impl Line {
    /// A line that begins with the time, its level and where it comes from.
    pub(super) fn new(level: Level, target: &str) -> Self {
        let mut line = Self { json: Vec::with_capacity(LINE), scratch: String::new(), has_request_id: false };
        line.json.extend_from_slice(b"{\"timestamp\":\"");
        line.json.extend_from_slice(&now().to_ascii());
        line.json.push(b'"');
        line.plain("level", name(level));
        line.text("target", target);
        line
    }

    /// The whole line.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.json.extend_from_slice(b"}\n");
        self.json
    }

    /// Field names are Rust's: nothing in them has to be escaped.
    fn key(&mut self, name: &str) {
        self.json.extend_from_slice(b",\"");
        self.json.extend_from_slice(name.as_bytes());
        self.json.extend_from_slice(b"\":");
        self.has_request_id |= name == "request_id";
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        write_str(&mut self.json, value);
    }

    /// A text in which nothing has to be escaped.
    pub(super) fn plain(&mut self, name: &str, value: &str) {
        self.key(name);
        self.json.push(b'"');
        self.json.extend_from_slice(value.as_bytes());
        self.json.push(b'"');
    }

    pub(super) fn bare(&mut self, name: &str, value: impl Serialize) {
        self.key(name);
        // Writing to a Vec cannot fail; a number that JSON has no word for is null.
        let _ = serde_json::to_writer(&mut self.json, &value);
    }

    pub(super) fn address(&mut self, name: &str, address: IpAddr) {
        self.key(name);
        self.json.push(b'"');
        match address {
            // By hand: formatting it would cost a third of a request's line.
            IpAddr::V4(address) => {
                for octet in address.octets() {
                    let digits = [octet / 100, octet / 10 % 10, octet % 10].map(|digit| digit + b'0');
                    self.json.extend_from_slice(&digits[usize::from(octet < 100) + usize::from(octet < 10)..]);
                    self.json.push(b'.');
                }
                self.json.pop();
            }
            // Writing to a Vec cannot fail.
            IpAddr::V6(address) => _ = write!(self.json, "{address}"),
        }
        self.json.push(b'"');
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        // The Python service's word.
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everywhere() {
        for address in ["0.0.0.0", "1.20.255.100", "10.9.99.101", "::1", "2001:db8::7"] {
            let address: IpAddr = address.parse().expect("an address");
            let mut line = Line::new(Level::INFO, "here");
            line.address("client_ip", address);
            let line: serde_json::Value = serde_json::from_slice(&line.end()).expect("JSON");
            assert_eq!(line["client_ip"], address.to_string());
        }
    }
}
