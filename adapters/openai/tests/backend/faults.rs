//! Everything that can go wrong before there is anything of an answer.

use std::time::{Duration, Instant};

use chat_domain::ports::llm::{Delivery, LlmErrorKind};
use chat_openai::OpenAiConfig;
use chat_test_support::{Cut, DeadPort, Reply, Upstream};

use crate::{BOTH, IMPATIENT, PATIENT, ask, assert_refused, config, impatient, llm, llm_with, refusal};

#[tokio::test]
async fn status_401_is_auth() {
    assert_refused(Reply::status(401), LlmErrorKind::Auth).await;
}

#[tokio::test]
async fn status_402_is_auth() {
    assert_refused(Reply::status(402), LlmErrorKind::Auth).await;
}

#[tokio::test]
async fn status_403_is_auth() {
    assert_refused(Reply::status(403), LlmErrorKind::Auth).await;
}

#[tokio::test]
async fn status_404_is_not_found() {
    assert_refused(Reply::status(404), LlmErrorKind::NotFound).await;
}

#[tokio::test]
async fn status_408_and_409_are_busy() {
    assert_refused(Reply::status(408), LlmErrorKind::Busy).await;
    assert_refused(Reply::status(409), LlmErrorKind::Busy).await;
}

#[tokio::test]
async fn status_400_413_and_422_are_rejected() {
    for status in [400, 413, 422] {
        assert_refused(Reply::status(status), LlmErrorKind::Rejected).await;
    }
}

#[tokio::test]
async fn status_429_is_rate_limited() {
    assert_refused(Reply::rate_limited(None), LlmErrorKind::RateLimited).await;
}

#[tokio::test]
async fn status_500_and_503_are_unavailable() {
    assert_refused(Reply::status(500), LlmErrorKind::Unavailable).await;
    assert_refused(Reply::status(503), LlmErrorKind::Unavailable).await;
}

#[tokio::test]
async fn retry_after_is_told_in_seconds_and_as_a_date() {
    let date = "Sun, 22 Nov 2026 10:00:00 GMT";
    let replies = [
        (Reply::rate_limited(Some("7")), LlmErrorKind::RateLimited, 7.0),
        (Reply::rate_limited(Some("0.25")), LlmErrorKind::RateLimited, 0.25),
        (Reply::rate_limited(Some("1e19")), LlmErrorKind::RateLimited, 3600.0),
        (Reply::status(503).header("retry-after", "2"), LlmErrorKind::Unavailable, 2.0),
        (
            Reply::rate_limited(Some("Sun, 22 Nov 2026 10:01:30 GMT")).header("date", date),
            LlmErrorKind::RateLimited,
            90.0,
        ),
        (Reply::error_in_ok(429, "slow down").header("retry-after", "3"), LlmErrorKind::RateLimited, 3.0),
    ];
    for (reply, kind, seconds) in replies {
        for delivery in BOTH {
            let upstream = Upstream::scripted([reply.clone()]).await;
            let error = refusal(&llm(&upstream), delivery).await;
            assert_eq!((error.kind, error.retry_after), (kind, Some(Duration::from_secs_f64(seconds))));
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for delivery in BOTH {
        let elsewhere = Upstream::scripted([]).await;
        let location = format!("{}/chat/completions", elsewhere.base_url());
        for status in [301, 302, 303, 307, 308] {
            let upstream = Upstream::scripted([Reply::status(status).header("location", &location)]).await;
            let error = refusal(&llm(&upstream), delivery).await;
            assert_eq!(error.kind, LlmErrorKind::InvalidResponse);
        }
        assert_eq!(elsewhere.connections(), 0);
    }
}

#[tokio::test]
async fn a_dead_host_is_unavailable() {
    let dead = DeadPort::take();
    for delivery in BOTH {
        let error = refusal(&llm_with(config(dead.base_url(), PATIENT)), delivery).await;
        assert_eq!(error.kind, LlmErrorKind::Unavailable);
        let cause = error.source.expect("a cause").to_string();
        assert!(cause.contains("Connection refused"), "{cause}");
    }
}

#[tokio::test]
async fn an_unknown_host_is_unavailable() {
    let error = refusal(&llm_with(config("http://model.invalid/v1".into(), PATIENT)), Delivery::Whole).await;
    assert_eq!(error.kind, LlmErrorKind::Unavailable);
}

#[tokio::test]
async fn a_connection_lost_before_the_head_is_unavailable() {
    assert_refused(Reply::no_answer(Cut::Reset), LlmErrorKind::Unavailable).await;
    assert_refused(Reply::no_answer(Cut::Close), LlmErrorKind::Unavailable).await;
}

#[tokio::test]
async fn a_connection_lost_behind_the_head_is_unavailable() {
    for cut in [Cut::Reset, Cut::Close] {
        assert_refused(Reply::text("a longer answer").cut_after(30, cut), LlmErrorKind::Unavailable).await;
    }
}

#[tokio::test]
async fn no_answer_is_a_timeout() {
    for delivery in BOTH {
        let upstream = Upstream::scripted([Reply::never()]).await;
        let start = Instant::now();
        let error = refusal(&impatient(&upstream), delivery).await;
        assert_eq!(error.kind, LlmErrorKind::Timeout);
        assert!(start.elapsed() >= IMPATIENT && start.elapsed() < PATIENT);
        upstream.wait_for_aborted(1).await;
    }
}

#[tokio::test]
async fn a_whole_answer_that_drips_is_a_timeout() {
    let upstream = Upstream::scripted([Reply::text("slow").drip(5, IMPATIENT / 10)]).await;
    let error = refusal(&impatient(&upstream), Delivery::Whole).await;
    assert_eq!(error.kind, LlmErrorKind::Timeout);
    upstream.wait_for_aborted(1).await;
}

#[tokio::test]
async fn an_error_whose_body_never_ends_is_told_by_its_status() {
    let upstream = Upstream::scripted([Reply::events().raw("slow").hang().with_status(503)]).await;
    let start = Instant::now();
    let error = refusal(&llm(&upstream), Delivery::Whole).await;
    assert_eq!(error.kind, LlmErrorKind::Unavailable);
    assert!(start.elapsed() < PATIENT / 2);
    upstream.wait_for_aborted(1).await;
}

#[tokio::test]
async fn a_huge_error_body_is_not_read_to_its_end() {
    let upstream = Upstream::scripted([Reply::body(500, "text/plain", "x".repeat(20 << 20))]).await;
    let error = refusal(&llm(&upstream), Delivery::Whole).await;
    assert_eq!(error.kind, LlmErrorKind::Unavailable);
    assert_eq!(error.source.expect("a cause").to_string(), "status 500");
    upstream.wait_for_aborted(1).await;
}

#[tokio::test]
async fn malformed_json_is_an_invalid_response() {
    assert_refused(Reply::malformed(), LlmErrorKind::InvalidResponse).await;
}

#[tokio::test]
async fn wrong_types_are_an_invalid_response() {
    assert_refused(Reply::wrong_types(), LlmErrorKind::InvalidResponse).await;
}

#[tokio::test]
async fn no_choices_are_an_invalid_response() {
    assert_refused(Reply::no_choices(), LlmErrorKind::InvalidResponse).await;
}

#[tokio::test]
async fn an_empty_answer_is_an_invalid_response() {
    assert_refused(Reply::null_content(), LlmErrorKind::InvalidResponse).await;
    assert_refused(Reply::text(" \n "), LlmErrorKind::InvalidResponse).await;
    assert_refused(Reply::body(200, "application/json", ""), LlmErrorKind::InvalidResponse).await;
    assert_refused(Reply::body(204, "application/json", ""), LlmErrorKind::InvalidResponse).await;
}

#[tokio::test]
async fn a_web_page_is_an_invalid_response() {
    let page = Reply::body(200, "text/html; charset=utf-8", "<!doctype html><title>Sign in</title>");
    assert_refused(page, LlmErrorKind::InvalidResponse).await;
}

#[tokio::test]
async fn a_compressed_answer_is_an_invalid_response() {
    assert_refused(Reply::text("hi").header("content-encoding", "gzip"), LlmErrorKind::InvalidResponse).await;
    assert_refused(Reply::status(503).header("content-encoding", "gzip"), LlmErrorKind::Unavailable).await;
    let upstream = Upstream::scripted([Reply::text("hi").header("content-encoding", "identity")]).await;
    ask(&llm(&upstream), Delivery::Whole).await.expect("an answer");
    assert_eq!(upstream.last_request().header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn an_error_in_a_success_is_a_failure_of_its_kind() {
    for (code, kind) in [
        (401, LlmErrorKind::Auth),
        (402, LlmErrorKind::Auth),
        (404, LlmErrorKind::NotFound),
        (408, LlmErrorKind::Busy),
        (429, LlmErrorKind::RateLimited),
        (502, LlmErrorKind::Unavailable),
        (400, LlmErrorKind::Rejected),
        (1, LlmErrorKind::InvalidResponse),
    ] {
        assert_refused(Reply::error_in_ok(code, "no"), kind).await;
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_an_invalid_response_announced_or_not() {
    let upstream =
        Upstream::scripted([Reply::huge(20 << 20), Reply::huge(20 << 20).drip(1 << 20, Duration::ZERO)]).await;
    for _ in 0..2 {
        let error = refusal(&llm(&upstream), Delivery::Whole).await;
        assert_eq!(error.kind, LlmErrorKind::InvalidResponse);
        assert_eq!(error.source.expect("a cause").to_string(), "the answer is too long");
    }
    upstream.wait_for_aborted(2).await;

    let unannounced = Reply::events().raw("x".repeat(2000));
    let upstream = Upstream::scripted([unannounced]).await;
    let small = OpenAiConfig { max_body: 1000, ..config(upstream.base_url(), PATIENT) };
    let error = refusal(&llm_with(small), Delivery::Whole).await;
    assert_eq!(error.source.expect("a cause").to_string(), "the answer is too long");
}
