//! What is counted, and in which forms it is told.

use std::collections::BTreeMap;

use chat_test_support::{Answer, Reply};
use serde_json::json;

use crate::scene::{NO_SESSION, Scene, keys};

#[tokio::test]
async fn chat_traffic_is_counted_and_nothing_else() {
    let scene = Scene::with(&[("ADMIN_TOKEN", "t"), ("LLM_MAX_RETRIES", "1")]).await;
    let empty = scene.metrics().await;
    let fields = [
        "active_sessions",
        "errors_total",
        "llm_calls_total",
        "rate_limited_total",
        "request_latency_avg_ms",
        "request_latency_ms",
        "requests_by_method",
        "requests_total",
        "responses_by_status",
        "responses_total",
        "tokens",
        "tool_calls_total",
        "uptime_seconds",
    ];
    assert_eq!(keys(&empty), fields);
    assert_eq!(keys(&empty["request_latency_ms"]), ["p50", "p95", "p99"]);
    assert_eq!((&empty["requests_by_method"], &empty["responses_by_status"]), (&json!({}), &json!({})));

    // Counted: 3 good ones, one of them streamed; 2 bad ones; 2 attempts of one that fails.
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::text("hi").with_usage(100, 10));
    scene.client.say(&session, "hello").await.expect(200);
    scene.upstream.push(Reply::text("hi").with_usage(200, 20));
    scene.client.say_streaming(&session, "hello").await.expect("a stream").collect().await;
    scene.client.post("/sessions", &json!({"memory_limit": 0})).await.expect(422);
    scene.client.say(NO_SESSION, "hello").await.expect(404);
    scene.upstream.push(Reply::status(503));
    scene.upstream.push(Reply::status(503));
    scene.client.say(&session, "hello").await.expect(502);

    // Not counted.
    scene.client.get(&format!("/sessions/{session}")).await.expect(200);
    scene.client.delete(&format!("/sessions/{NO_SESSION}")).await.expect(404);
    for path in ["/", "/health", "/health/ready", "/metrics", "/openapi.json", "/docs", "/nowhere", "/admin/runtime"] {
        scene.client.get(path).await;
    }
    scene.client.get("/sessions").await.expect(405);
    scene.client.post("/sessions/1/2/3", &json!({})).await.expect(404);

    let metrics = scene.metrics().await;
    assert_eq!(metrics["requests_by_method"], json!({"POST": 6}));
    assert_eq!(metrics["responses_by_status"], json!({"200": 2, "201": 1, "404": 1, "422": 1, "502": 1}));
    for (field, expected) in [
        ("requests_total", json!(6)),
        ("responses_total", json!(6)),
        ("errors_total", json!(1)),
        ("tokens", json!({"prompt": 300, "completion": 30})),
        ("llm_calls_total", json!(4)),
        ("tool_calls_total", json!(0)),
        ("rate_limited_total", json!(0)),
        ("active_sessions", json!(1)),
    ] {
        assert_eq!(metrics[field], expected, "{field}");
    }
    let latency = |name: &str| metrics["request_latency_ms"][name].as_f64().expect("a number");
    assert!(metrics["request_latency_avg_ms"].as_f64().is_some_and(|average| average > 0.0), "{metrics}");
    assert!(0.0 < latency("p50") && latency("p50") <= latency("p95") && latency("p95") <= latency("p99"), "{metrics}");
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for() {
    let scene = Scene::start().await;
    let get = async |accept: &str| scene.client.with_header("accept", accept).get("/metrics").await.expect(200);
    let prometheus = "text/plain; version=0.0.4; charset=utf-8";
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (accept, expected) in [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html", "application/json"),
        ("text/plain", prometheus),
        ("text/plain;version=0.0.4", prometheus),
        ("application/openmetrics-text", open_metrics),
        // What Prometheus itself sends.
        ("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1", open_metrics),
        ("application/json, text/plain", "application/json"),
    ] {
        assert_eq!(get(accept).await.header("content-type"), Some(expected), "{accept}");
    }
    assert!(get("application/openmetrics-text").await.text.ends_with("# EOF\n"));
    assert!(!get("text/plain").await.text.contains("# EOF"));
}

/// The samples of a text, each checked to stand below its own `# TYPE`.
fn samples(answer: &Answer) -> BTreeMap<String, f64> {
    let mut family = String::new();
    let mut samples = BTreeMap::new();
    for line in answer.text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            if let Some(kind) = comment.strip_prefix("TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a kind");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                family = name.to_owned();
            } else {
                assert!(comment.starts_with("HELP ") || comment == "EOF", "{line}");
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        assert!(name.starts_with(&family) && !family.is_empty(), "{line} below {family}");
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(samples.insert(name.to_owned(), value).is_none(), "{name} twice");
    }
    samples
}

#[tokio::test]
async fn both_forms_tell_the_same_numbers() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::text("hi").with_usage(100, 10));
    scene.client.say(&session, "hello").await.expect(200);
    scene.client.say(NO_SESSION, "hello").await.expect(404);
    let json = scene.metrics().await;
    for accept in ["text/plain", "application/openmetrics-text"] {
        let text = scene.client.with_header("accept", accept).get("/metrics").await.expect(200);
        let samples = samples(&text);
        let sample = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("{name} is missing:\n{}", text.text));
        for (name, expected) in [
            (r#"chat_requests_total{method="POST"}"#, &json["requests_total"]),
            (r#"chat_responses_total{status="201"}"#, &json["responses_by_status"]["201"]),
            (r#"chat_responses_total{status="404"}"#, &json["responses_by_status"]["404"]),
            ("chat_errors_total", &json["errors_total"]),
            (r#"chat_tokens_total{kind="prompt"}"#, &json["tokens"]["prompt"]),
            (r#"chat_tokens_total{kind="completion"}"#, &json["tokens"]["completion"]),
            ("chat_rate_limited_total", &json["rate_limited_total"]),
            ("chat_active_sessions", &json["active_sessions"]),
            ("chat_request_duration_seconds_count", &json["responses_total"]),
            (r#"chat_request_duration_seconds_bucket{le="+Inf"}"#, &json["responses_total"]),
        ] {
            assert_eq!(Some(sample(name)), expected.as_f64(), "{name}");
        }
        assert!(sample("chat_uptime_seconds") > 0.0);
    }
}

#[tokio::test]
async fn active_sessions_follow_what_is_made_and_deleted() {
    let scene = Scene::start().await;
    let active = async || scene.metrics().await["active_sessions"].as_u64();
    let (one, _other) = (scene.client.create_session().await, scene.client.create_session().await);
    assert_eq!(active().await, Some(2));
    scene.client.delete(&format!("/sessions/{one}")).await.expect(204);
    assert_eq!(active().await, Some(1));
}
