//! What others say of a failure, made fit for the log: the transport's errors and an endpoint's codes.

use secrecy::{ExposeSecret, SecretString};

/// How much of it is kept, in characters.
const EXCERPT: usize = 200;

/// How much of it is looked at, in bytes.
const LOOKED_AT: usize = 4 * 1024;

/// This many characters in common with the key are no coincidence. Endpoints quote keys cut or with stars in the middle.
const TELLING: usize = 8;

const REDACTED: &str = "***";

/// Makes excerpts in which the backend's key does not occur.
pub(crate) struct Redactor {
    key: Option<SecretString>,
}

impl Redactor {
    pub(crate) fn new(key: Option<SecretString>) -> Self {
        Self { key }
    }

    /// The beginning of a text on one line, without the key, without parts of it, and without anything that looks like
    /// a key.
    pub(crate) fn excerpt(&self, text: &str) -> String {
        let text = &text[..text.floor_char_boundary(LOOKED_AT)];
        // On one line first: what a control character kept apart must not become a key afterwards.
        let line = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
        let line = line.collect::<Vec<_>>().join(" ");
        let clean = without_tokens(&self.without_key(&line));
        match clean.char_indices().nth(EXCERPT) {
            Some((end, _)) => format!("{}…", &clean[..end]),
            None => clean,
        }
    }

    fn without_key(&self, line: &str) -> String {
        let Some(key) = self.key.as_ref().map(ExposeSecret::expose_secret).filter(|key| !key.is_empty()) else {
            return line.to_owned();
        };
        let telling = TELLING.min(key.len());
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            match shared(rest, key) {
                length if length >= telling => {
                    out.push_str(REDACTED);
                    rest = &rest[length..];
                }
                _ => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        out
    }
}

/// How many bytes at the beginning of `text` stand somewhere in the key, up to a character's end.
fn shared(text: &str, key: &str) -> usize {
    let longest = |at: usize| text.bytes().zip(key.bytes().skip(at)).take_while(|(a, b)| a == b).count();
    let length = (0..key.len()).map(longest).max().unwrap_or(0);
    text.floor_char_boundary(length)
}

/// Replaces what begins as the keys of this trade do, whoever's they are.
fn without_tokens(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("sk-") {
        let (before, token) = rest.split_at(at);
        let end = token.find(|c: char| !(c.is_alphanumeric() || "-_*.…".contains(c))).unwrap_or(token.len());
        let inside_a_word = before.ends_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if inside_a_word { &token[..end] } else { REDACTED });
        rest = &token[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "or-v1-0123456789abcdef";

    fn excerpt(text: &str) -> String {
        Redactor::new(Some(KEY.into())).excerpt(text)
    }

    #[test]
    fn the_key_is_gone_whole_cut_and_starred() {
        assert_eq!(excerpt(&format!("bad key '{KEY}'.")), "bad key '***'.");
        assert_eq!(excerpt("bad key or-v1-01****cdef"), "bad key *******cdef");
        assert_eq!(excerpt("…456789abcdef is wrong, as is KEY"), "…*** is wrong, as is KEY");
        assert_eq!(excerpt(&format!("{KEY}{KEY}")), "******");
    }

    #[test]
    fn other_peoples_keys_are_gone() {
        let text = "Incorrect API key provided: sk-proj-ab_c***wxyz. task-force";
        assert_eq!(Redactor::new(None).excerpt(text), "Incorrect API key provided: *** task-force");
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(" a\r\n\tb\0\u{7f}c "), "a b c");
        let long = excerpt(&"é".repeat(10_000));
        assert_eq!((long.chars().count(), long.ends_with("é…")), (EXCERPT + 1, true));
        assert_eq!(excerpt(""), "");
    }

    #[test]
    fn short_keys_are_replaced_as_a_whole_only() {
        assert_eq!(Redactor::new(Some("abc".into())).excerpt("ab abc abcd"), "ab *** ***d");
        assert_eq!(Redactor::new(Some("".into())).excerpt("ab"), "ab");
    }

    proptest! {
        #[test]
        fn no_telling_part_of_the_key_ever_remains(before in ".{0,300}", after in ".{0,50}", from in 0usize..14) {
            let clean = excerpt(&format!("{before}{}{after}", &KEY[from..]));
            for at in 0..=KEY.len() - TELLING {
                prop_assert!(!clean.contains(&KEY[at..at + TELLING]), "{clean}");
            }
        }
    }
}
