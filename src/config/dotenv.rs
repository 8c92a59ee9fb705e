//! `.env` files, by the rules of `python-dotenv`: the files that users have were written for it.
//!
//! They differ from a shell's in what matters: an unquoted value goes on to the end of the line, spaces included;
//! only `${NAME}` is replaced, so that a `$` in a password stays one; a backslash means something only in quotes.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::error::Problem;
use super::source::{Raw, SourceKind, Values};

/// Parses the file; `environment` is asked for `${NAME}` when the file has not set it before.
/// A line that cannot be read is a problem with its number, and never its text: it may hold a secret.
pub(super) fn parse(
    path: &Path,
    text: &str,
    environment: impl Fn(&str) -> Option<SecretString>,
) -> (Values, Vec<Problem>) {
    let mut parser = Parser { text, at: 0 };
    let mut seen: BTreeMap<String, SecretString> = BTreeMap::new();
    let mut problems = Vec::new();
    while parser.skip_to_statement() {
        match parser.statement() {
            Ok(Some((name, value))) => {
                let value = expand(value, |name| seen.get(name).cloned().or_else(|| environment(name)));
                seen.insert(name, SecretString::from(value));
            }
            Ok(None) => {}
            Err(expected) => {
                let (line, column) = parser.position();
                let message = format!("line {line} column {column}: {expected}");
                problems.push(Problem::in_file(path.display(), message));
                parser.skip_line();
            }
        }
    }
    let values =
        seen.into_iter().fold(Values::new(SourceKind::Dotenv, path.display().to_string()), |values, (name, value)| {
            values.with(name, Raw::Text(value))
        });
    (values, problems)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn skip_blanks(&mut self) {
        self.take_while(|c| c.is_whitespace() && !is_line_end(c));
    }

    fn skip_line(&mut self) {
        self.take_while(|c| !is_line_end(c));
    }

    /// Past blank lines and comments; false at the end of the file.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.skip_line();
        }
    }

    /// Line and column, from 1.
    fn position(&self) -> (usize, usize) {
        let before = &self.text[..self.at];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        (1 + before.matches('\n').count(), 1 + before[line_start..].chars().count())
    }

    /// `[export ]NAME=value`; a name alone sets nothing.
    fn statement(&mut self) -> Result<Option<(String, String)>, &'static str> {
        if let Some(rest) = self.rest().strip_prefix("export")
            && rest.starts_with([' ', '\t'])
        {
            self.at += "export".len();
            self.skip_blanks();
        }
        let name = self.name()?.to_owned();
        self.skip_blanks();
        if !self.rest().starts_with('=') {
            self.end_of_statement("expected `=` after the name")?;
            return Ok(None);
        }
        self.at += 1;
        self.skip_blanks();
        let value = match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let value = self.quoted(quote)?;
                self.end_of_statement("expected the line to end after the closing quote")?;
                value
            }
            _ => self.unquoted().to_owned(),
        };
        Ok(Some((name, value)))
    }

    fn name(&mut self) -> Result<&'a str, &'static str> {
        let Some(rest) = self.rest().strip_prefix('\'') else {
            let name = self.take_while(|c| !c.is_whitespace() && c != '=' && c != '#');
            return if name.is_empty() { Err("expected a name") } else { Ok(name) };
        };
        let end = rest.find('\'').ok_or("expected a closing quote after the name")?;
        self.at += end + 2;
        Ok(&rest[..end])
    }

    /// The rest of the line, up to a comment, which a blank must precede (`a#b` is a value).
    fn unquoted(&mut self) -> &'a str {
        let after_blank = self.text[..self.at].ends_with(char::is_whitespace);
        let value = self.take_while(|c| !is_line_end(c));
        let comment = value
            .match_indices('#')
            .map(|(index, _)| index)
            .find(|&index| value[..index].ends_with(char::is_whitespace) || (index == 0 && after_blank));
        value[..comment.unwrap_or(value.len())].trim_end()
    }

    /// A value in quotes, which may go over several lines.
    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let body = &self.rest()[1..];
        let mut value = String::new();
        let mut chars = body.char_indices();
        while let Some((index, c)) = chars.next() {
            if c == quote {
                self.at += 1 + index + 1;
                return Ok(value);
            }
            let escaped = (c == '\\').then(|| body[index + 1..].chars().next()).flatten();
            match escaped.and_then(|escaped| unescape(quote, escaped)) {
                Some(meant) => {
                    value.push(meant);
                    chars.next();
                }
                None => value.push(c),
            }
        }
        Err("expected a closing quote")
    }

    fn end_of_statement(&mut self, expected: &'static str) -> Result<(), &'static str> {
        self.skip_blanks();
        let rest = self.rest();
        if rest.is_empty() || rest.starts_with(is_line_end) || rest.starts_with('#') {
            self.skip_line();
            Ok(())
        } else {
            Err(expected)
        }
    }
}

fn is_line_end(c: char) -> bool {
    c == '\n' || c == '\r'
}

fn unescape(quote: char, escaped: char) -> Option<char> {
    Some(match (quote, escaped) {
        (_, '\\' | '\'') => escaped,
        ('"', '"') => '"',
        ('"', 'a') => '\u{7}',
        ('"', 'b') => '\u{8}',
        ('"', 'f') => '\u{c}',
        ('"', 'n') => '\n',
        ('"', 'r') => '\r',
        ('"', 't') => '\t',
        ('"', 'v') => '\u{b}',
        _ => return None,
    })
}

/// Replaces `${NAME}` and `${NAME:-default}`; an unknown name without a default becomes nothing.
fn expand(value: String, look_up: impl Fn(&str) -> Option<SecretString>) -> String {
    if !value.contains("${") {
        return value;
    }
    let mut expanded = String::new();
    let mut rest = value.as_str();
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        expanded.push_str(before);
        let Some(end) = reference.find('}') else {
            rest = reference;
            break;
        };
        let inner = &reference[2..end];
        let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
        match look_up(name) {
            Some(found) => expanded.push_str(found.expose_secret()),
            None => expanded.push_str(default),
        }
        rest = &reference[end + 1..];
    }
    expanded.push_str(rest);
    expanded
}
