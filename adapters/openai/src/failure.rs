//! What went wrong, in the domain's words.

use std::{borrow::Cow, time::Duration};

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
    let mut cause = format!("status {}", status.as_u16());
    let said = said(body, redactor);
    if !said.is_empty() {
        cause = cause + ": " + &said;
    }
    LlmError::new(of_status(status.as_u16()), cause)
}

/// What an `error` member of an answer comes to.
pub(crate) fn reported(error: &RawValue, redactor: &Redactor) -> LlmError {
    let Ok(ErrorObject { code, r#type, message }) = serde_json::from_str(error.get()) else {
        return LlmError::new(LlmErrorKind::InvalidResponse, "the answer is an error of unknown form");
    };
    let kind = code
        .and_then(of_code)
        .or_else(|| r#type.and_then(text).and_then(|word| of_word(&word)))
        .unwrap_or(LlmErrorKind::InvalidResponse);
    let code = code.map_or(Cow::Borrowed("none"), |code| redactor.excerpt(code.get()).into());
    let message = message.and_then(text).map(|message| redactor.excerpt(&message)).unwrap_or_default();
    LlmError::new(kind, format!("the answer is an error, code {code}: {message}"))
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
/// it tells the time, else to ours.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = date(value)?;
    let now = headers.get(DATE).and_then(|now| date(now.to_str().ok()?)).unwrap_or_else(|| now.as_datetime());
    Some((until - now).to_std().unwrap_or(Duration::ZERO))
}

fn date(value: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc2822(value).ok()?.with_timezone(&Utc))
}

/// An error as OpenAI, OpenRouter and most others write it; members of other types are looked over.
#[derive(Deserialize)]
struct ErrorObject<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// The body of an error: an object, a message, or whatever a framework puts around its own.
#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

/// The message of an error's body. Of JSON nothing else is quoted, since what else there is may be the request.
fn said(body: &[u8], redactor: &Redactor) -> String {
    let Ok(ErrorBody { error, message, detail }) = serde_json::from_slice::<ErrorBody<'_>>(body) else {
        let looks_like_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'));
        return if looks_like_json { String::new() } else { redactor.excerpt(&String::from_utf8_lossy(body)) };
    };
    let nested = error.and_then(|error| serde_json::from_str::<ErrorObject<'_>>(error.get()).ok());
    let message = nested.and_then(|error| error.message).or(message).or(detail).or(error).and_then(text);
    message.map(|message| redactor.excerpt(&message)).unwrap_or_default()
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
