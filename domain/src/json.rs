//! JSON: strings, written to the letter as serde_json writes them, at a fraction of the cost for prose; and [`parse`],
//! for what others wrote.
//!
//! Little in a conversation has to be escaped: it is looked at in words and blocks, and copied in runs.

mod foreign;

use std::{fmt, ops::Deref};

pub use self::foreign::{Foreign, RESERVED_NAME, parse};

/// How many bytes make a block, which compilers turn into a few vectors.
const BLOCK: usize = 64;

/// Appends `text` as a JSON string, quotes included.
///
/// ```
/// let mut json = Vec::new();
/// chat_domain::json::write_str(&mut json, "\"hello\"\n");
/// assert_eq!(json, br#""\"hello\"\n""#);
/// ```
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    while let Some(at) = first_special(rest) {
        out.extend_from_slice(&rest[..at]);
        escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// A text that is written as JSON many times: it knows whether any of it has to be escaped, and is not searched again.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    text: Box<str>,
    is_plain: bool,
}

impl Text {
    /// Appends it as a JSON string, as [`write_str`] does.
    pub fn write(&self, out: &mut Vec<u8>) {
        if !self.is_plain {
            return write_str(out, &self.text);
        }
        out.reserve(self.text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(self.text.as_bytes());
        out.push(b'"');
    }
}

impl<T: Into<Box<str>>> From<T> for Text {
    fn from(text: T) -> Self {
        let text = text.into();
        Self { is_plain: first_special(text.as_bytes()).is_none(), text }
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.text.into()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.text, f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

/// Whether a string cannot have this byte as it is. The bytes of all but ASCII characters are beyond these.
const fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

fn first_special(text: &[u8]) -> Option<usize> {
    // All of a block, without a way out: that is what lets it be vectorized.
    let clean = |block: &[u8; BLOCK]| block.iter().fold(0, |found, &byte| found | u8::from(is_special(byte))) == 0;
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let from = BLOCK * blocks.iter().take_while(|block| clean(block)).count();
    // The rest together with what stands before it is one more block.
    if from + rest.len() == text.len() && text.last_chunk().is_some_and(clean) {
        return None;
    }
    Some(from + in_words(&text[from..])?)
}

fn in_words(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    Some(8 * words.len() + rest.iter().position(|&byte| is_special(byte))?)
}

/// The highest bit of each special byte among these eight, up to the first; higher ones may be set for others as well.
///
/// Subtracting borrows the highest bit of a byte that is too small for it. Bytes that had it set are none of ours.
const fn specials(bytes: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST: u64 = ONES * 0x80;
    let control = bytes.wrapping_sub(ONES * b' ' as u64);
    let quote = (bytes ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (bytes ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (control | quote | backslash) & !bytes & HIGHEST
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn written(text: &str) -> String {
        let mut out = b"before".to_vec();
        write_str(&mut out, text);
        let mut again = b"before".to_vec();
        Text::from(text).write(&mut again);
        assert_eq!(out, again);
        String::from_utf8(out).expect("UTF-8").strip_prefix("before").expect("what was there").to_owned()
    }

    fn by_serde(text: &str) -> String {
        serde_json::to_string(text).expect("a string")
    }

    #[test]
    fn every_ascii_character_is_written_as_serde_writes_it_wherever_it_stands() {
        for character in 0..=0x7f_u8 {
            for before in 0..=20 {
                let text = format!("{}{}{}", "x".repeat(before), char::from(character), "é".repeat(9));
                assert_eq!(written(&text), by_serde(&text));
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_writes_it(text in any::<String>()) {
            prop_assert_eq!(written(&text), by_serde(&text));
        }

        #[test]
        fn prose_with_escapes_is_written_as_serde_writes_it(
            pieces in vec(select(vec!["word ", "a longer run of words, ", "سلام ", "\"", "\\", "\n", "\u{1}", "\u{7f}"]), 0..60),
        ) {
            let text = pieces.concat();
            prop_assert_eq!(written(&text), by_serde(&text));
        }
    }
}
