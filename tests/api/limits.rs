//! Who may ask, how often, from where.

mod bypass;
mod cors;
mod keys;
mod proxies;

use std::time::{Duration, Instant};

use chat_test_support::{Answer, Client, assert_eventually};
use reqwest::Method;
use serde_json::json;

use crate::scene::{NO_SESSION, SOON, Scene, assert_rate_limited, message, operations};

/// Buckets that do not fill up again while a test runs: what counts is counted, not timed.
const NEVER_REFILLED: (&str, &str) = ("RATE_RPS", "0.001");

/// What lets a test come from any address.
const BEHIND_A_PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

/// A client that comes from this address, in a scene [`BEHIND_A_PROXY`].
fn from(client: &Client, address: &str) -> Client {
    client.with_header("x-forwarded-for", address)
}

/// A request that costs nothing but its token.
async fn knock(client: &Client) -> Answer {
    client.get(&format!("/sessions/{NO_SESSION}")).await
}

/// How many of its requests get through before one is refused.
async fn tokens(client: &Client) -> usize {
    let mut passed = 0;
    loop {
        let answer = knock(client).await;
        if answer.status == 429 {
            assert_rate_limited(&answer);
            return passed;
        }
        passed += 1;
        assert!(passed < 100, "there is no limit");
    }
}

#[tokio::test]
async fn one_request_too_many_is_refused_to_the_letter() {
    let scene = Scene::with(&[NEVER_REFILLED, ("RATE_BURST", "3")]).await;
    let session = scene.client.create_session().await;
    assert_eq!(tokens(&scene.client).await, 2);
    let answer = scene.client.with_header("x-request-id", "mine").get(&format!("/sessions/{session}")).await;
    assert_rate_limited(&answer);
    assert!(answer.text.starts_with(r#"{"error":"rate_limited","retry_after":"#), "{}", answer.text);
    assert_eq!(answer.header("x-request-id"), Some("mine"));
    let pause = answer.body["retry_after"].as_f64().expect("seconds");
    assert!((900.0..=1000.0).contains(&pause), "{pause}: a token a thousand seconds");
    assert_eq!(scene.metrics().await["rate_limited_total"], 2);
}

#[tokio::test]
async fn all_below_sessions_is_limited_and_nothing_else() {
    let scene = Scene::with(&[NEVER_REFILLED, ("RATE_BURST", "1"), ("ADMIN_TOKEN", "t")]).await;
    let session = scene.client.create_session().await;
    let operator = scene.client.with_header("x-admin-token", "t");
    for operation in operations(&scene.client).await {
        // The operator's own deletions are not limited.
        let is_chat = operation.template.starts_with("/sessions");
        let client = if is_chat { &scene.client } else { &operator };
        let request = client.request(operation.method.clone(), &operation.path(&session));
        let answer = Answer::of(request.json(&message("hello"))).await;
        if is_chat {
            assert_rate_limited(&answer);
        } else {
            assert_ne!(answer.status, 429, "{}", operation.template);
        }
    }
    for limited in ["/sessions/", "/sessions/1/2/3", "/sessions?a=b"] {
        assert_rate_limited(&scene.client.get(limited).await);
    }
    let events = scene.client.say_streaming(&session, "hello").await;
    assert_rate_limited(&events.expect_err("no stream"));
    for free in ["/", "/health", "/health/ready", "/metrics", "/docs", "/openapi.json", "/nowhere", "/sessionsx"] {
        for _ in 0..3 {
            assert_ne!(scene.client.get(free).await.status, 429, "{free}");
        }
    }
    for path in ["/sessions", "/sessions/1/messages"] {
        let request = scene.client.request(Method::OPTIONS, path).header("access-control-request-method", "POST");
        assert_eq!(Answer::of(request).await.status, 204, "asking what is allowed is free");
    }
    assert_eq!(scene.upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_bucket_fills_up_again() {
    let scene = Scene::with(&[("RATE_RPS", "4"), ("RATE_BURST", "1")]).await;
    knock(&scene.client).await.expect(404);
    // On a slow machine the next one may be late enough to pass.
    let answer = knock(&scene.client).await;
    if answer.status == 429 {
        assert_rate_limited(&answer);
        let pause = answer.body["retry_after"].as_f64().expect("seconds");
        assert!(pause <= 0.25, "{pause}");
        assert_eq!(answer.header("retry-after"), Some("1"), "whole seconds, at least one");
        tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        knock(&scene.client).await.expect(404);
    }
    assert_eventually!(knock(&scene.client).await.status == 404, SOON);
}

#[tokio::test]
async fn the_default_is_five_at_once() {
    let upstream = chat_test_support::Upstream::start().await;
    let service = chat_test_support::Service::launch(env!("CARGO_BIN_EXE_chat-agent"))
        .env("OPENROUTER_KEY", "k")
        .env("OPENROUTER_BASE_URL", upstream.base_url())
        .start()
        .await;
    let client = service.client();
    let began = Instant::now();
    let knocks = futures_util::future::join_all((0..20).map(|_| knock(&client))).await;
    let passed = knocks.iter().filter(|answer| answer.status == 404).count();
    // One a second is added while they run.
    let added = began.elapsed().as_secs() as usize;
    assert!((5..=5 + added).contains(&passed), "{passed}, {added} of them later");
}

#[tokio::test]
async fn an_address_has_its_bucket() {
    let scene = Scene::with(&[NEVER_REFILLED, BEHIND_A_PROXY, ("RATE_BURST", "2")]).await;
    for address in ["203.0.113.1", "203.0.113.2", "2001:db8::1"] {
        assert_eq!(tokens(&from(&scene.client, address)).await, 2, "{address}");
    }
    for same in ["2001:0db8:0:0::1", "::ffff:203.0.113.1", "[2001:db8::1]:443", "203.0.113.2:80"] {
        assert_eq!(tokens(&from(&scene.client, same)).await, 0, "{same}");
    }
}

#[tokio::test]
async fn a_key_has_its_bucket_wherever_it_comes_from() {
    let scene = Scene::with(&[NEVER_REFILLED, BEHIND_A_PROXY, ("RATE_BURST", "2")]).await;
    let with_key = |address| from(&scene.client, address).with_header("x-api-key", "key-one");
    knock(&with_key("203.0.113.1")).await.expect(404);
    knock(&with_key("203.0.113.2")).await.expect(404);
    assert_rate_limited(&knock(&with_key("203.0.113.3")).await);
    let bearer = from(&scene.client, "203.0.113.4").with_header("authorization", "Bearer key-one");
    assert_rate_limited(&knock(&bearer).await);
    let other = from(&scene.client, "203.0.113.5").with_header("x-api-key", "key-two");
    assert_eq!(tokens(&other).await, 2);
}

#[tokio::test]
async fn a_refusal_takes_from_neither_bucket() {
    let scene = Scene::with(&[NEVER_REFILLED, BEHIND_A_PROXY, ("RATE_BURST", "2")]).await;
    let at = |address, key: Option<&str>| {
        let client = from(&scene.client, address);
        key.into_iter().fold(client, |client, key| client.with_header("x-api-key", key))
    };
    // The key is used up elsewhere; what it is refused here costs the address nothing.
    assert_eq!(tokens(&at("203.0.113.1", Some("key-one"))).await, 2);
    assert_eq!(tokens(&at("203.0.113.2", Some("key-one"))).await, 0);
    assert_eq!(tokens(&at("203.0.113.2", None)).await, 2);
    // And the other way round.
    assert_eq!(tokens(&at("203.0.113.2", Some("key-two"))).await, 0);
    assert_eq!(tokens(&at("203.0.113.3", Some("key-two"))).await, 2);
}

#[tokio::test]
async fn a_refused_request_counts_as_a_response() {
    let scene = Scene::with(&[NEVER_REFILLED, ("RATE_BURST", "1")]).await;
    scene.client.create_session().await;
    for _ in 0..2 {
        assert_rate_limited(&scene.client.post("/sessions", &json!({})).await);
    }
    let metrics = scene.metrics().await;
    assert_eq!(metrics["responses_by_status"], json!({"201": 1, "429": 2}));
    assert_eq!((&metrics["requests_total"], &metrics["responses_total"]), (&json!(3), &json!(3)));
    assert_eq!((&metrics["errors_total"], &metrics["rate_limited_total"]), (&json!(0), &json!(2)));
}
