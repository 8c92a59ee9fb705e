use super::*;
use http::HeaderValue;

fn now() -> Timestamp {
    "2026-11-22T10:00:10Z".parse().expect("a time")
}

fn headers(retry_after: &str, date: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_str(retry_after).expect("a header"));
    if let Some(date) = date {
        headers.insert(DATE, HeaderValue::from_str(date).expect("a header"));
    }
    headers
}

#[test]
fn every_status_has_its_kind() {
    let kinds = [
        (LlmErrorKind::Auth, &[401, 402, 403][..]),
        (LlmErrorKind::NotFound, &[404, 405, 410]),
        (LlmErrorKind::Busy, &[408, 409, 425]),
        (LlmErrorKind::RateLimited, &[429]),
        (LlmErrorKind::Rejected, &[400, 406, 413, 415, 418, 422, 451, 499]),
        (LlmErrorKind::Unavailable, &[500, 501, 502, 503, 504, 520, 529, 599]),
        (LlmErrorKind::InvalidResponse, &[100, 301, 302, 304, 307, 308, 600, 999]),
    ];
    for (kind, statuses) in kinds {
        for status in statuses {
            assert_eq!(of_status(*status), kind, "{status}");
        }
    }
}

#[test]
fn every_error_object_has_its_kind() {
    let kinds = [
        (LlmErrorKind::Auth, &[r#"{"code": 401}"#, r#"{"code": "402"}"#, r#"{"code": "invalid_api_key"}"#][..]),
        (LlmErrorKind::NotFound, &[r#"{"code": 404}"#, r#"{"code": "model_not_found"}"#]),
        (LlmErrorKind::Busy, &[r#"{"code": 408}"#, r#"{"code": 409}"#]),
        (LlmErrorKind::RateLimited, &[r#"{"code": 429}"#, r#"{"code": null, "type": "rate_limit_error"}"#]),
        (LlmErrorKind::Unavailable, &[r#"{"code": 502}"#, r#"{"code": "529"}"#, r#"{"type": "server_error"}"#]),
        (LlmErrorKind::Rejected, &[r#"{"code": 400}"#, r#"{"code": 413}"#, r#"{"code": "context_length_exceeded"}"#]),
        (
            LlmErrorKind::InvalidResponse,
            &[
                "{}",
                r#""a word""#,
                "[]",
                "7",
                r#"{"code": 418}"#,
                r#"{"code": 0}"#,
                r#"{"code": -1}"#,
                r#"{"code": 1.5}"#,
                r#"{"code": {"a": 1}}"#,
                r#"{"code": "a word", "message": 1}"#,
            ],
        ),
    ];
    for (kind, errors) in kinds {
        for error in errors {
            let raw: &RawValue = serde_json::from_str(error).expect("JSON");
            assert_eq!(reported(raw, &Redactor::new(None)).kind, kind, "{error}");
        }
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    for (value, seconds) in [("7", 7.0), ("0", 0.0), ("1.5", 1.5), (" 3 ", 3.0)] {
        assert_eq!(retry_after(&headers(value, None), now), Some(Duration::from_secs_f64(seconds)), "{value}");
    }
    for nonsense in ["", "-1", "soon", "NaN", "inf", "1e300", "Fri, 99 Nov 2026 10:00:00 GMT"] {
        assert_eq!(retry_after(&headers(nonsense, None), now), None, "{nonsense}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[test]
fn a_date_is_taken_by_the_backends_own_clock() {
    let at = "Sun, 22 Nov 2026 10:00:30 GMT";
    let wait = |date| retry_after(&headers(at, date), now);
    assert_eq!(wait(Some("Sun, 22 Nov 2026 10:00:00 GMT")), Some(Duration::from_secs(30)));
    assert_eq!(wait(Some("Sun, 22 Nov 2026 11:00:00 GMT")), Some(Duration::ZERO));
    assert_eq!(wait(None), Some(Duration::from_secs(20)));
    assert_eq!(wait(Some("today")), Some(Duration::from_secs(20)));
}

#[test]
fn no_pause_is_longer_than_an_hour() {
    for long in ["3600", "3600.5", "86400", "1e19", "Mon, 23 Nov 2026 10:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(retry_after(&headers(long, None), now), Some(Duration::from_secs(3600)), "{long}");
    }
}

fn cause(error: LlmError) -> String {
    error.source.expect("a source").to_string()
}

#[test]
fn a_refusal_tells_words_and_no_text() {
    let text = r#""message": "what the user said", "input": "what the user said""#;
    for (body, told) in [
        (format!(r#"{{"error": {{"code": "context_length_exceeded", {text}}}}}"#), ", code context_length_exceeded"),
        (format!(r#"{{"error": {{"code": 400, "type": "a.b:c-d_e", {text}}}}}"#), ", code 400, type a.b:c-d_e"),
        (format!(r#"{{"error": {{"code": null, "type": "BadRequestError", {text}}}}}"#), ", type BadRequestError"),
        (
            format!(r#"{{"object": "error", "type": "BadRequestError", "code": 400, {text}}}"#),
            ", code 400, type BadRequestError",
        ),
        (format!(r#"{{"error": {{"code": "the user", "type": "\u0061 b", {text}}}}}"#), ""),
        (format!(r#"{{"error": {{"code": ["user"], "type": {{"user": 1}}, {text}}}}}"#), ""),
        (format!(r#"{{"error": {{"code": "", "type": "é", {text}}}}}"#), ""),
        (format!(r#"{{"error": "user", {text}}}"#), ""),
        (format!(r#"{{"detail": "user", {text}}}"#), ""),
        (format!(r#"[{{{text}}}]"#), ""),
        (format!(r#"{{"error": {{"code": 400, {text}, cut"#), ""),
        (r#""user""#.to_owned(), ""),
        ("user".to_owned(), ""),
        (String::new(), ""),
    ] {
        let error = refused(StatusCode::BAD_REQUEST, body.as_bytes(), &Redactor::new(None));
        assert_eq!(cause(error), format!("status 400{told}"), "{body}");
    }
}

#[test]
fn a_reported_error_tells_words_and_no_text() {
    for (error, told) in [
        (r#"{"code": 502, "message": "what the user said"}"#, ", code 502"),
        (r#"{"code": "a word", "type": "server_error", "message": "user"}"#, ", type server_error"),
        (r#"{"message": "user"}"#, ""),
        (r#""user""#, " of unknown form"),
    ] {
        let raw: &RawValue = serde_json::from_str(error).expect("JSON");
        assert_eq!(cause(reported(raw, &Redactor::new(None))), format!("the answer is an error{told}"), "{error}");
    }
}

#[test]
fn a_word_is_short_and_holds_no_key() {
    let key = "or-v1-0123456789abcdef";
    let redactor = Redactor::new(Some(key.into()));
    let told = |text: &str| word(&serde_json::value::to_raw_value(text).expect("JSON"), &redactor);
    for fine in ["a", "invalid_api_key", "task-failed", "or-v1", &"x".repeat(64)] {
        assert_eq!(told(fine).as_deref(), Some(fine));
    }
    let with_key = format!("key:{key}");
    for bad in [&*"x".repeat(65), key, &with_key, &key[8..], "sk-proj-abc"] {
        assert_eq!(told(bad), None, "{bad}");
    }
}
