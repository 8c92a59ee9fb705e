//! What of a value may be shown, and how.

use secrecy::ExposeSecret;

use super::source::Raw;
use super::url;
use super::variables::{Secrecy, Variable};

pub(super) fn is_placeholder(variable: &Variable, raw: &Raw) -> bool {
    match (variable.placeholder, raw) {
        (Some(placeholder), Raw::Text(text)) => text.expose_secret().trim() == placeholder,
        _ => false,
    }
}

/// A value as the effective configuration shows it.
pub(super) fn displayed(variable: &Variable, text: &str) -> String {
    let text = text.trim();
    match variable.secrecy {
        _ if text.is_empty() => String::new(),
        Secrecy::Open => text.to_owned(),
        Secrecy::Url => url::masked(text),
        Secrecy::Secret => "***".to_owned(),
    }
}

/// Enough of a value to recognize it, on one line.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    let text = text.trim();
    let cut: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST { format!("{cut}…") } else { cut }
}
