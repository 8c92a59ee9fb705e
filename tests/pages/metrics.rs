//! The page of numbers.

use serde_json::json;

use crate::{
    browser::{Page, Reader, browse},
    front::Front,
    scene::{demo, page, port},
};

/// What the page says it is doing.
fn state(name: &str) -> String {
    format!("#metrics-state[data-state={name}]")
}

/// The points of a chart's lines, as they are drawn.
async fn lines(tab: &Page, chart: &str) -> String {
    let script =
        "return [...document.querySelectorAll(arguments[0] + ' svg path')].map(p => p.getAttribute('d')).join()";
    tab.script(script, &[json!(chart)]).await.as_str().expect("text").to_owned()
}

#[tokio::test]
async fn numbers_and_charts_move_with_the_traffic() {
    let service = demo().start().await;
    let client = service.client();
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/metrics/ui")).await;
        tab.choose("#metrics-interval", "5").await;
        tab.finds(&state("live")).await;
        tab.sees("#tile-requests", "0").await;
        let session = client.create_session().await;
        client.say(&session, "Hello!").await.expect(200);
        client.post("/sessions/nonsense/messages", &json!({"content": "x"})).await.expect(422);
        tab.click("#metrics-refresh").await;
        tab.sees("#tile-requests", "3").await;
        tab.sees("#tile-responses", "3").await;
        tab.sees("#tile-llm-calls", "1").await;
        tab.sees("#tile-sessions", "1").await;
        for status in ["201", "200", "422"] {
            tab.sees("#status-list", status).await;
        }
        let charts = ["traffic", "latency", "tokens", "calls", "statuses"].map(|name| format!("#chart-{name}"));
        for chart in &charts {
            tab.until(&format!("document.querySelector('{chart} svg path')?.getAttribute('d')")).await;
        }
        let before = lines(tab, &charts[0]).await;
        client.say(&session, "And again!").await.expect(200);
        // By itself, this time.
        tab.sees("#tile-requests", "4").await;
        assert_ne!(lines(tab, &charts[0]).await, before, "the chart has moved");

        tab.click("#metrics-pause").await;
        tab.finds(&state("paused")).await;
        tab.click("#metrics-pause").await;
        tab.finds(&state("live")).await;
        tab.click("#language-switch").await;
        tab.sees("#tile-requests", "۴").await;
        // What was measured is there again, and so is the interval.
        tab.reload().await;
        tab.sees("#tile-requests", "۴").await;
        tab.until("document.querySelector('#metrics-interval').value === '5'").await;
        assert!(!lines(tab, &charts[0]).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_service_that_goes_and_comes_is_seen_to() {
    let mut service = demo().start().await;
    let port = port(&service);
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_");
        tab.open(&page(&service, "/metrics/ui")).await;
        tab.finds(&state("live")).await;
        let session = service.client().create_session().await;
        service.client().say(&session, "Hello!").await.expect(200);
        tab.click("#metrics-refresh").await;
        tab.sees("#tile-requests", "2").await;
        service.kill().await;
        tab.click("#metrics-refresh").await;
        tab.finds(&state("away")).await;
        tab.sees("#metrics-trouble", "The service does not answer").await;
        tab.sees("#tile-requests", "2").await; // what was measured stays
        tab.click("#language-switch").await;
        tab.sees("#metrics-trouble", "سرویس پاسخ نمی‌دهد").await;
        tab.click("#language-switch").await;
        let _again = demo().env("PORT", &port).start().await;
        tab.click("#trouble-retry").await;
        tab.finds(&state("live")).await;
        tab.loses("#metrics-trouble").await;
        tab.sees("#tile-requests", "0").await;
        tab.sees("#metrics-restarted", "restarted").await;
    })
    .await;
}

#[tokio::test]
async fn metrics_that_are_off_are_no_error() {
    let service = demo().env("METRICS_ENABLED", "false").start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("status of 404");
        tab.open(&page(&service, "/metrics/ui")).await;
        tab.finds(&state("off")).await;
        tab.sees("#metrics-trouble", "METRICS_ENABLED=true").await;
        tab.click("#language-switch").await;
        tab.sees("#metrics-trouble", "آمار خاموش است").await;
    })
    .await;
}

/// The service never refuses its numbers; what stands before it may.
#[tokio::test]
async fn what_a_proxy_says_is_told_in_words() {
    let service = demo().start().await;
    let front = Front::before(&service).await;
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("the server responded with a status of");
        tab.open(&front.url("/metrics/ui")).await;
        tab.finds(&state("live")).await;
        let json = [("content-type", "application/json"), ("x-request-id", "the-request")];
        let error =
            |code: &str| json!({"error": {"code": code, "message": "no"}, "request_id": "the-request"}).to_string();
        for (status, body, expected, english, persian) in [
            (401, error("unauthorized"), "locked", "The numbers are not open to you", "آمار برای شما باز نیست"),
            (
                429,
                r#"{"error":"rate_limited","retry_after":2.0}"#.to_owned(),
                "limited",
                "Too many requests",
                "درخواست‌ها بیش از اندازه‌اند",
            ),
            (503, error("unavailable"), "unavailable", "The service is not ready", "سرویس آماده نیست"),
            (500, error("internal_error"), "broken", "The service could not answer", "سرویس نتوانست پاسخ دهد"),
            (200, "[1]".to_owned(), "stranger", "Something else answers here", "چیز دیگری اینجا پاسخ می‌دهد"),
            (503, error("unavailable"), "unavailable", "The service is not ready", "سرویس آماده نیست"),
            (200, "no JSON".to_owned(), "stranger", "Something else answers here", "چیز دیگری اینجا پاسخ می‌دهد"),
        ] {
            front.answer("/metrics", status, &json, &body);
            tab.click("#metrics-refresh").await;
            tab.finds(&state(expected)).await;
            tab.sees("#metrics-trouble", english).await;
            tab.click("#language-switch").await;
            tab.sees("#metrics-trouble", persian).await;
            tab.click("#language-switch").await;
            if status >= 500 {
                tab.sees("#trouble-id", "the-request").await;
            }
        }
        front.pass("/metrics");
        tab.click("#trouble-retry").await;
        tab.finds(&state("live")).await;
    })
    .await;
}
