//! `${NAME}` and `${NAME:-default}` in the values of servers.
//!
//! Only these two forms exist. A `$` that no `{` follows is a `$`, and `$$` is two of them. Anything else that begins
//! with `${` (`${env:NAME}`, `${A:-${B}}`, one that is not closed) is refused: passed on as it is it would be a key that
//! a server rejects, much later. What a variable holds is not looked at again.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::config::source::Raw;

/// Why a value could not be expanded. It says nothing of the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unexpanded {
    /// The variable has no value, and there is no default.
    Unset(String),
    /// The variable's value is no text.
    NotText(String),
    /// Something else stands between the braces, or the closing one is missing.
    Malformed,
}

impl fmt::Display for Unexpanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(name) => write!(
                f,
                "needs the variable {name}, which neither the environment nor .env sets; `${{{name}:-…}}` would give \
                 it a default"
            ),
            Self::NotText(name) => write!(f, "needs the variable {name}, which must be valid UTF-8"),
            Self::Malformed => f.write_str(
                "must have `${` only as `${NAME}` or `${NAME:-default}`, where the default has no braces in it",
            ),
        }
    }
}

/// Replaces every reference; `look_up` gives what is set, and blank is not.
pub(super) fn expand(text: &SecretString, look_up: impl Fn(&str) -> Option<Raw>) -> Result<SecretString, Unexpanded> {
    let mut expanded = String::new();
    let mut rest = text.expose_secret();
    while let Some((before, reference)) = rest.split_once("${") {
        expanded.push_str(before);
        let (inner, after) = reference.split_once('}').ok_or(Unexpanded::Malformed)?;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) || default.is_some_and(|default| default.contains('{')) {
            return Err(Unexpanded::Malformed);
        }
        match (look_up(name), default) {
            (Some(Raw::Text(value)), _) => expanded.push_str(value.expose_secret()),
            (Some(_), _) => return Err(Unexpanded::NotText(name.to_owned())),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => return Err(Unexpanded::Unset(name.to_owned())),
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(SecretString::from(expanded))
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
