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

/// One average for days would hide it: what is slow now is drawn as slow, and what nobody can know is not drawn.
#[tokio::test]
async fn the_chart_of_response_times_tells_of_each_interval_alone() {
    let service = demo().start().await;
    let front = Front::before(&service).await;
    let counted = |uptime: u32, responses: u32, average: f64| {
        let body = json!({
            "requests_total": responses, "responses_total": responses, "errors_total": 0, "rate_limited_total": 0,
            "requests_by_method": {"POST": responses}, "responses_by_status": {"200": responses},
            "request_latency_avg_ms": average, "request_latency_ms": {"p50": 90.5, "p95": 210.0, "p99": 380.0},
            "tokens": {"prompt": 0, "completion": 0}, "llm_calls_total": 0, "tool_calls_total": 0,
            "active_sessions": 0, "uptime_seconds": uptime,
        });
        front.answer("/metrics", 200, &[("content-type", "application/json")], &body.to_string());
    };
    counted(1000, 10_000, 100.0);
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&front.url("/metrics/ui")).await;
        tab.finds(&state("live")).await;
        tab.sees("#tile-responses", "10,000").await;
        // From here on it is measured by hand alone.
        tab.click("#metrics-pause").await;
        tab.sees("#chart-latency .chart-empty", "The line begins with the next answers.").await;
        for (uptime, responses, average, responses_shown, average_shown) in [
            // Ten answers of half a minute, after ten thousand of a tenth of a second.
            (1020, 10_010, 129.87, "10,010", "30,000"),
            (1040, 10_020, 129.76, "10,020", "20"),
            (1060, 10_020, 129.76, "10,020", "–"),
            (1080, 50_000_000, 200.0, "50,000,000", "200"),
            // Three decimals of an average over so many say nothing about one more.
            (1100, 50_000_001, 200.0, "50,000,001", "–"),
            (3, 2, 40.0, "2", "–"),
            (23, 3, 60.0, "3", "100"),
        ] {
            counted(uptime, responses, average);
            tab.click("#metrics-refresh").await;
            tab.until(&format!("document.querySelector('#tile-responses').textContent === '{responses_shown}'")).await;
            tab.until(&format!(
                "document.querySelector('#chart-latency .chart-legend b').textContent === '{average_shown}'"
            ))
            .await;
        }
        tab.sees(".chart-card:has(#chart-latency)", "the average of each interval").await;
        for (share, milliseconds) in [("p50", "91"), ("p95", "210"), ("p99", "380")] {
            assert_eq!(tab.text(&format!("#latency-{share}")).await, milliseconds);
        }
        tab.click("#language-switch").await;
        tab.sees(".chart-card:has(#chart-latency)", "میانگین هر بازه").await;
        tab.sees("#latency-p99", "۳۸۰").await;
    })
    .await;
}

/// How often the page has asked for the numbers.
fn asked(front: &Front) -> usize {
    front.heads().iter().filter(|head| head.starts_with("get /metrics http")).count()
}

#[tokio::test]
async fn nothing_is_measured_in_a_pause() {
    let service = demo().start().await;
    let front = Front::before(&service).await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&front.url("/metrics/ui")).await;
        tab.finds(&state("live")).await;
        tab.choose("#metrics-interval", "5").await;
        tab.click("#metrics-pause").await;
        tab.finds(&state("paused")).await;
        service.client().create_session().await;
        let before = asked(&front);
        // That nothing happens for longer than an interval takes longer than an interval.
        tab.script("setTimeout(() => { window.isLater = true; }, 6000)", &[]).await;
        tab.until("window.isLater").await;
        assert_eq!(asked(&front), before);
        assert_eq!(tab.text("#tile-requests").await, "0");
        // By hand it still is.
        tab.click("#metrics-refresh").await;
        tab.sees("#tile-requests", "1").await;
        tab.finds(&state("paused")).await;
        tab.click("#metrics-pause").await;
        tab.finds(&state("live")).await;
        service.client().create_session().await;
        tab.sees("#tile-requests", "2").await;
    })
    .await;
}

#[tokio::test]
async fn it_is_measured_every_twenty_seconds_until_another_interval_is_chosen() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        let watch = "window.pauses = []; const later = setTimeout; \
            window.setTimeout = (work, pause) => { window.pauses.push(pause); return later(work, pause); };";
        tab.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": watch})).await;
        tab.open(&page(&service, "/metrics/ui")).await;
        tab.until("document.querySelector('#metrics-interval').value === '20'").await;
        assert_eq!(tab.text("#metrics-interval option:checked").await, "every 20 seconds");
        tab.until("pauses.at(-1) === 20_000").await;
        tab.choose("#metrics-interval", "60").await;
        tab.until("pauses.at(-1) === 60_000").await;
        tab.reload().await;
        tab.until("document.querySelector('#metrics-interval').value === '60'").await;
        tab.until("pauses.at(-1) === 60_000").await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_comes_again_is_seen_without_a_click() {
    let mut service = demo().start().await;
    let port = port(&service);
    browse(Reader::ENGLISH, async |tab| {
        tab.expecting("net::ERR_");
        tab.open(&page(&service, "/metrics/ui")).await;
        tab.choose("#metrics-interval", "5").await;
        tab.finds(&state("live")).await;
        service.kill().await;
        tab.finds(&state("away")).await;
        tab.sees("#trouble-next", "The next try is in").await;
        let _again = demo().env("PORT", &port).start().await;
        tab.finds(&state("live")).await;
        tab.loses("#metrics-trouble").await;
    })
    .await;
}
