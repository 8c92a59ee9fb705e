//! What the service says about itself.

mod deploy;
mod documents;
mod logs;
mod metrics;

use std::time::Duration;

use chat_test_support::{DeadPort, Gate, Reply};
use serde_json::{Value, json};

use crate::scene::{Scene, TOKEN, assert_error, keys, launch};

#[tokio::test]
async fn the_root_says_ok() {
    let scene = Scene::start().await;
    let answer = scene.client.get("/").await.expect(200);
    assert_eq!(answer.text, r#"{"status":"ok"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn health_counts_chat_traffic() {
    let scene = Scene::start().await;
    let health = async || scene.client.get("/health").await.expect(200).body;
    let first = health().await;
    assert_eq!(keys(&first), ["errors_total", "requests_total", "responses_total", "status", "uptime_seconds"]);
    assert_eq!(first["status"], "ok");
    let counted = |body: &Value| ["requests_total", "responses_total", "errors_total"].map(|name| body[name].as_u64());
    assert_eq!(counted(&first), [Some(0); 3]);
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::status(400));
    scene.client.say(&session, "hello").await.expect(502);
    let second = health().await;
    assert_eq!(counted(&second), [Some(2), Some(2), Some(1)]);
    assert!(second["uptime_seconds"].as_f64() > first["uptime_seconds"].as_f64(), "{first} {second}");
}

#[tokio::test]
async fn ready_is_told_to_everybody_and_why_to_the_operator() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let answer = scene.client.get("/health/ready").await.expect(200);
    assert_eq!(answer.text, r#"{"status":"ready"}"#);
    let wrong = scene.client.with_header("x-admin-token", "wrong").get("/health/ready").await.expect(200);
    assert_eq!(wrong.text, answer.text, "no error, and nothing to see");
    let told = operator.get("/health/ready").await.expect(200).body;
    assert_eq!((keys(&told), &told["status"]), (vec!["checks", "status"], &json!("ready")));
    let checks = told["checks"].as_array().expect("a list");
    for check in checks {
        assert_eq!(check["state"], "up", "{check}");
        for field in ["name", "state", "since", "last_error", "backlog"] {
            assert!(check.get(field).is_some(), "{field} in {check}");
        }
    }
    assert!(checks.iter().any(|check| check["name"] == "llm"), "{told}");
}

#[tokio::test]
async fn a_model_that_is_missing_makes_it_degraded_and_no_less_ready() {
    let unconfigured = launch().env("ADMIN_TOKEN", TOKEN).start().await;
    let dead = DeadPort::take();
    let down = launch().env("OPENROUTER_KEY", "k").env("OPENROUTER_BASE_URL", dead.base_url());
    let down = down.env("LLM_MAX_RETRIES", "5").env("TURN_TIMEOUT_SECONDS", "30").start().await;
    assert_eq!(down.client().get("/health/ready").await.expect(200).body["status"], "ready", "nobody has asked yet");
    assert_eq!(unconfigured.client().get("/health/ready").await.expect(200).text, r#"{"status":"degraded"}"#);
    let operator = unconfigured.client().with_header("x-admin-token", TOKEN);
    let told = operator.get("/health/ready").await.expect(200);
    assert!(told.text.contains("OPENROUTER_KEY"), "what to do about it: {}", told.text);
}

#[tokio::test]
async fn while_it_drains_it_serves_and_is_not_ready() {
    let scene = Scene::with(&[("SHUTDOWN_DELAY_SECONDS", "60")]).await;
    let session = scene.client.create_session().await;
    let gate = Gate::new();
    scene.upstream.push(Reply::text("in time").held_by(&gate));
    let draining = async {
        scene.upstream.wait_for_requests(1).await;
        scene.service.signal("TERM");
        scene.service.wait_for_log(|line| line["event"] == "draining").await;
        let answer = scene.client.get("/health/ready").await;
        assert_eq!((answer.status, answer.text.as_str()), (503, r#"{"status":"draining"}"#));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        scene.client.get("/health").await.expect(200);
        // Load balancers need time to notice: until then, all is served.
        scene.client.create_session().await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(scene.client.say(&session, "hello"), draining);
    assert_eq!(answer.expect(200).content(), "in time");
    let mut scene = scene;
    scene.service.signal("TERM");
    let exit = scene.service.wait().await;
    assert!(exit.status.success() && exit.took < Duration::from_secs(20), "{exit:?}");
}

#[tokio::test]
async fn without_metrics_there_is_health_alone() {
    let scene = Scene::with(&[("METRICS_ENABLED", "false")]).await;
    scene.client.create_session().await;
    assert_error(&scene.client.get("/metrics").await, 404, "not_found");
    let text = scene.client.with_header("accept", "text/plain").get("/metrics").await;
    assert_error(&text, 404, "not_found");
    let health = scene.client.get("/health").await.expect(200).body;
    assert_eq!((&health["requests_total"], &health["responses_total"]), (&json!(0), &json!(0)));
    assert!(health["uptime_seconds"].as_f64().is_some_and(|uptime| uptime > 0.0), "{health}");
}
