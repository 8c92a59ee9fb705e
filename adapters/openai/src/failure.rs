//! What went wrong, in the domain's words.

use std::time::Duration;

use chat_domain::{
    ports::llm::{LlmError, LlmErrorKind},
    time::Timestamp,
};
use chrono::{DateTime, Utc};
use http::{
    HeaderMap, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{http::TransportError, redact::Redactor};

/// The longest pause that is believed. It is passed on to clients, and whatever a backend says (`1e19` is a number too),
/// it is worth asking again after an hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How long a backend's `code` or `type` may be, in characters: longer than any known one, too short for a text.
const LONGEST_WORD: usize = 64;

/// What a status that is no success means.
pub(crate) fn of_status(status: u16) -> LlmErrorKind {
    match status {
        401..=403 => LlmErrorKind::Auth,
        404 | 405 | 410 => LlmErrorKind::NotFound,
        408 | 409 | 425 => LlmErrorKind::Busy,
        429 => LlmErrorKind::RateLimited,
        400..=499 => LlmErrorKind::Rejected,
        500..=599 => LlmErrorKind::Unavailable,
        // Redirects are not followed, and whatever else this is, it is no answer.
        _ => LlmErrorKind::InvalidResponse,
    }
}

/// What a refusing status with this body comes to.
pub(crate) fn refused(status: StatusCode, body: &[u8], redactor: &Redactor) -> LlmError {
    let words = error_object(body).map(|error| error.words(redactor)).unwrap_or_default();
    LlmError::new(of_status(status.as_u16()), format!("status {}{words}", status.as_u16()))
}

/// What an `error` member of an answer comes to.
pub(crate) fn reported(error: &RawValue, redactor: &Redactor) -> LlmError {
    let Ok(error) = serde_json::from_str::<ErrorObject<'_>>(error.get()) else {
        return LlmError::new(LlmErrorKind::InvalidResponse, "the answer is an error of unknown form");
    };
    let kind = error
        .code
        .and_then(of_code)
        .or_else(|| error.r#type.and_then(text).and_then(|word| of_word(&word)))
        .unwrap_or(LlmErrorKind::InvalidResponse);
    LlmError::new(kind, format!("the answer is an error{}", error.words(redactor)))
}

/// A choice that ended with `error` and nothing more: the model broke down while it was answering.
pub(crate) fn broke_down() -> LlmError {
    LlmError::new(LlmErrorKind::Unavailable, "the answer ended with an error")
}

/// An answer that is no JSON, or not of the form that was asked for. Nothing of it is quoted: it may hold anything.
pub(crate) fn unreadable(error: &serde_json::Error) -> LlmError {
    let what = if error.is_data() { "JSON of an unknown form" } else { "no JSON" };
    let cause = format!("the answer is {what} (line {}, column {})", error.line(), error.column());
    LlmError::new(LlmErrorKind::InvalidResponse, cause)
}

/// An answer that is longer than is allowed.
pub(crate) fn too_long() -> LlmError {
    LlmError::new(LlmErrorKind::InvalidResponse, "the answer is too long")
}

/// No answer, or no more of it, in time.
pub(crate) fn too_late() -> LlmError {
    LlmError::new(LlmErrorKind::Timeout, "no answer in time")
}

/// An exchange that broke off.
pub(crate) fn broken(error: TransportError, redactor: &Redactor) -> LlmError {
    LlmError::new(error.kind, redactor.excerpt(&error.cause))
}

/// How long a backend asks to be left alone: seconds, or a date, which is taken relative to the backend's own clock if
/// it tells the time, else to ours. Never longer than [`LONGEST_PAUSE`].
pub(crate) fn retry_after(headers: &HeaderMap, now: impl FnOnce() -> Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = if let Ok(seconds) = value.parse::<f64>() {
        Duration::try_from_secs_f64(seconds).ok()?
    } else {
        let until = date(value)?;
        let now = headers.get(DATE).and_then(|now| date(now.to_str().ok()?)).unwrap_or_else(|| now().as_datetime());
        (until - now).to_std().unwrap_or(Duration::ZERO)
    };
    Some(pause.min(LONGEST_PAUSE))
}

fn date(value: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc2822(value).ok()?.with_timezone(&Utc))
}

/// An error as OpenAI, OpenRouter and most others write it, without its message: backends quote the request in it, and
/// that is the conversation.
#[derive(Deserialize)]
struct ErrorObject<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
}

impl ErrorObject<'_> {
    /// What may be told of it, to follow what we say ourselves.
    fn words(&self, redactor: &Redactor) -> String {
        let mut words = String::new();
        for (name, json) in [("code", self.code), ("type", self.r#type)] {
            if let Some(word) = json.and_then(|json| word(json, redactor)) {
                words = words + ", " + name + " " + &word;
            }
        }
        words
    }
}

/// The body of an error, as far as the error is a member of it.
#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// The error in a body. Some servers put nothing around it.
fn error_object(body: &[u8]) -> Option<ErrorObject<'_>> {
    let ErrorBody { error } = serde_json::from_slice(body).ok()?;
    error.map_or_else(|| serde_json::from_slice(body), |error| serde_json::from_str(error.get())).ok()
}

/// A short word or a number. Anything else may be a text, and a word with a key in it is none of the backend's words.
fn word(json: &RawValue, redactor: &Redactor) -> Option<String> {
    let word = text(json).unwrap_or_else(|| json.get().to_owned());
    let is_short = (1..=LONGEST_WORD).contains(&word.len());
    let is_word = is_short && word.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
    (is_word && redactor.excerpt(&word) == word).then_some(word)
}

fn text(json: &RawValue) -> Option<String> {
    serde_json::from_str(json.get()).ok()
}

/// OpenRouter's codes are statuses, as numbers or in quotes; OpenAI's are words.
fn of_code(code: &RawValue) -> Option<LlmErrorKind> {
    let text = text(code);
    let word = text.as_deref().unwrap_or(code.get());
    let Ok(status) = word.parse::<u16>() else {
        return of_word(word);
    };
    Some(match of_status(status) {
        // As a status it would be about the request; as a code of somebody else's it may be about anything.
        LlmErrorKind::Rejected if !matches!(status, 400 | 413 | 422) => LlmErrorKind::InvalidResponse,
        kind => kind,
    })
}

fn of_word(word: &str) -> Option<LlmErrorKind> {
    Some(match word {
        "invalid_api_key" | "authentication_error" | "permission_error" | "insufficient_quota" => LlmErrorKind::Auth,
        "model_not_found" | "not_found_error" => LlmErrorKind::NotFound,
        "rate_limit_exceeded" | "rate_limit_error" => LlmErrorKind::RateLimited,
        "server_error" | "api_error" | "internal_error" | "overloaded_error" => LlmErrorKind::Unavailable,
        "invalid_request_error" | "context_length_exceeded" | "content_policy_violation" => LlmErrorKind::Rejected,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
