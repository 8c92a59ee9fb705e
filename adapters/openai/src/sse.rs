//! Server-Sent Events, of which only the data counts here: [`SseParser`].

use bytes::{Buf, Bytes};

/// Finds the events in bytes that come in any pieces. What comes in one piece is copied once, into its event.
pub(crate) struct SseParser {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The data of the event so far.
    data: Vec<u8>,
    /// Whether the event has any data, be it empty.
    has_data: bool,
    /// Whether `data` has been handed out and is to be forgotten.
    taken: bool,
    /// Whether the last line ended with CR, so that an LF belongs to its end.
    after_cr: bool,
    /// Whether nothing has been read yet: a byte order mark may come.
    at_start: bool,
    max_event: usize,
}

/// What ends any event, for one that the stream's end has cut short: many servers forget the last blank line.
pub(crate) const EVENT_END: &[u8] = b"\n\n";

/// An event longer than is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl SseParser {
    /// A parser for events of at most `max_event` bytes.
    pub(crate) fn new(max_event: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            taken: false,
            after_cr: false,
            at_start: true,
            max_event,
        }
    }

    /// Takes bytes off `input` until an event with data is complete, and gives its data; none if the input ends first.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<&[u8]>, TooLong> {
        if std::mem::take(&mut self.taken) {
            self.data.clear();
        }
        loop {
            if self.after_cr && !input.is_empty() {
                self.after_cr = false;
                if input[0] == b'\n' {
                    input.advance(1);
                }
            }
            let Some(end) = input.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.keep(input)?;
                input.clear();
                return Ok(None);
            };
            self.after_cr = input[end] == b'\r';
            let blank = if self.line.is_empty() {
                self.take_line(&input[..end])?
            } else {
                self.keep(&input[..end])?;
                let line = std::mem::take(&mut self.line);
                let blank = self.take_line(&line)?;
                self.line = line;
                self.line.clear();
                blank
            };
            input.advance(end + 1);
            if blank && std::mem::take(&mut self.has_data) {
                self.taken = true;
                return Ok(Some(&self.data));
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + piece.len() > self.max_event {
            return Err(TooLong);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    /// Takes a line; tells if it is blank, which ends an event.
    fn take_line(&mut self, mut line: &[u8]) -> Result<bool, TooLong> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(true);
        }
        // Comments begin with a colon; the fields beside `data` mean nothing to us.
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[][..],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return Ok(false),
        };
        if self.data.len() + value.len() >= self.max_event {
            return Err(TooLong);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::Index};

    fn events_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut parser = SseParser::new(1 << 20);
        let mut events = Vec::new();
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(data) = parser.next(&mut input).expect("short") {
                events.push(String::from_utf8(data.to_vec()).expect("UTF-8"));
            }
            assert!(input.is_empty());
        }
        let rest = parser.next(&mut Bytes::from_static(EVENT_END)).expect("short");
        events.extend(rest.map(|data| format!("rest: {}", String::from_utf8_lossy(data))));
        events
    }

    fn events(text: &str) -> Vec<String> {
        events_of([text.as_bytes()])
    }

    #[test]
    fn data_is_found_whatever_the_line_ends_are() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = "data: a\n\ndata:b\n\ndata:  c\n\n".replace('\n', end);
            assert_eq!(events(&stream), ["a", "b", " c"], "{end:?}");
        }
    }

    #[test]
    fn lines_of_one_event_are_joined_and_empty_data_is_data() {
        assert_eq!(events("data: a\ndata\ndata: b\n\ndata\n\n"), ["a\n\nb", ""]);
    }

    #[test]
    fn comments_other_fields_and_blank_lines_are_no_events() {
        let stream = "\u{feff}: OPENROUTER PROCESSING\n\n\n\nevent: x\nid: 1\nretry: 5\ndatabase: no\n\ndata: a\n\n";
        assert_eq!(events(stream), ["a"]);
        assert_eq!(events("\u{feff}data: a\n\n"), ["a"]);
    }

    #[test]
    fn a_missing_blank_line_at_the_end_is_forgiven() {
        assert_eq!(events("data: a\n\ndata: [DONE]"), ["a", "rest: [DONE]"]);
        assert_eq!(events("data: [DONE]\n"), ["rest: [DONE]"]);
        assert_eq!(events("data: [DONE]\r"), ["rest: [DONE]"]);
        assert_eq!(events("data: a\ndata: b"), ["rest: a\nb"]);
        assert_eq!(events("data: a\n\n: bye"), ["a"]);
    }

    #[test]
    fn events_are_bounded_in_one_line_and_in_many() {
        let mut parser = SseParser::new(16);
        assert_eq!(parser.next(&mut Bytes::from_static(b"data: 0123456789abcdef")), Err(TooLong));
        let mut parser = SseParser::new(16);
        let mut input = Bytes::from("data: 01234567\n".repeat(3));
        assert_eq!(parser.next(&mut input), Err(TooLong));
        let mut parser = SseParser::new(16);
        let mut input = Bytes::from("data: 01234567\n\n".repeat(3));
        for _ in 0..3 {
            assert_eq!(parser.next(&mut input), Ok(Some(&b"01234567"[..])));
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            lines in vec(prop_oneof!["data: ?[a-zé😀\"{}]{0,9}", ": [a-z]{0,5}", "", "", "event: x", "data"], 0..30),
            ends in vec(prop_oneof!["\n", "\r\n", "\r"], 30),
            cuts in vec(any::<Index>(), 0..20),
        ) {
            let stream: String = lines.iter().zip(&ends).flat_map(|(line, end)| [&**line, end]).collect();
            let stream = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let starts = std::iter::once(0).chain(cuts.iter().copied());
            let ends = cuts.iter().copied().chain([stream.len()]);
            let pieces = starts.zip(ends).map(|(start, end)| &stream[start..end]);
            prop_assert_eq!(events_of(pieces), events_of([stream]));
            prop_assert_eq!(events_of(stream.chunks(1)), events_of([stream]));
        }
    }
}
