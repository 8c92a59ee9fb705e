//! Clients' keys, where the operator asks for them.

use chat_test_support::{Answer, Client};
use reqwest::Method;
use serde_json::json;

use super::{BEHIND_A_PROXY, NEVER_REFILLED, from, tokens};
use crate::scene::{
    NO_SESSION, Scene, TOKEN, assert_error, assert_rate_limited, guess_until_refused, message, operations,
};

const KEYS: (&str, &str) = ("API_KEYS", "key-one, key-two");

fn with_key(client: &Client, key: &str) -> Client {
    client.with_header("x-api-key", key)
}

#[tokio::test]
async fn every_chat_operation_needs_a_key() {
    let scene = Scene::with(&[KEYS, ("ADMIN_TOKEN", "t")]).await;
    let session = with_key(&scene.client, "key-one").create_session().await;
    let missing = [
        scene.client.clone(),
        with_key(&scene.client, ""),
        scene.client.with_header("authorization", "Basic a2V5LW9uZQ=="),
    ];
    let invalid = [
        with_key(&scene.client, "sentinel"),
        with_key(&scene.client, "key-on"),
        with_key(&scene.client, "key-one, key-two"),
        with_key(&scene.client, "KEY-ONE"),
        scene.client.with_header("authorization", "Bearer sentinel"),
    ];
    for operation in operations(&scene.client).await {
        let ask = async |client: &Client| {
            let request = client.request(operation.method.clone(), &operation.path(&session));
            Answer::of(request.json(&message("hello"))).await
        };
        if !operation.template.starts_with("/sessions") {
            let answer = ask(&scene.client).await;
            assert!(!answer.code().ends_with("api_key"), "{}: {}", operation.template, answer.text);
            continue;
        }
        for (clients, code) in [(&missing[..], "missing_api_key"), (&invalid, "invalid_api_key")] {
            for client in clients {
                let answer = ask(client).await;
                assert_error(&answer, 401, code);
                assert!(answer.header("www-authenticate").is_some_and(|value| !value.is_empty()));
                assert!(!answer.text.contains("sentinel"), "{}", answer.text);
            }
        }
    }
    assert_eq!(scene.upstream.requests().len(), 0);
    let read = with_key(&scene.client, "key-one").get(&format!("/sessions/{session}")).await.expect(200);
    assert_eq!(read.body["history"], json!([]), "what was refused had no effect");
}

#[tokio::test]
async fn a_session_is_its_keys_alone() {
    let scene = Scene::with(&[KEYS]).await;
    let (owner, other) = (with_key(&scene.client, "key-one"), with_key(&scene.client, "key-two"));
    let session = owner.create_session().await;
    let path = format!("/sessions/{session}");
    assert_error(&other.get(&path).await, 404, "session_not_found");
    assert_error(&other.say(&session, "hello").await, 404, "session_not_found");
    assert_error(&other.say_streaming(&session, "hello").await.expect_err("none"), 404, "session_not_found");
    assert_error(&other.delete(&path).await, 404, "session_not_found");
    assert_eq!(scene.upstream.requests().len(), 0);

    // It cannot be told from a session that is not there.
    let foreign = other.with_header("x-request-id", "same").get(&path).await;
    let missing = other.with_header("x-request-id", "same").get(&format!("/sessions/{NO_SESSION}")).await;
    assert_eq!(foreign.text, missing.text);

    // The same key in the other header is the same client.
    let bearer = scene.client.with_header("authorization", "Bearer key-one");
    bearer.say(&session, "hello").await.expect(200);
    let history = owner.get(&path).await.expect(200).body["history"].clone();
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    bearer.delete(&path).await.expect(204);
}

#[tokio::test]
async fn the_operator_deletes_without_a_key_and_a_wrong_token_is_a_guess() {
    let slow = [KEYS, NEVER_REFILLED, BEHIND_A_PROXY, ("RATE_BURST", "3")];
    let (scene, operator) = Scene::with_operator(&slow).await;
    let sessions = [
        with_key(&from(&scene.client, "203.0.113.1"), "key-one").create_session().await,
        with_key(&from(&scene.client, "203.0.113.1"), "key-two").create_session().await,
    ];
    // Limits of clients are not the operator's; and the token opens nothing but this.
    let operator = from(&operator, "203.0.113.2");
    for _ in 0..5 {
        assert_error(&operator.delete(&format!("/sessions/{NO_SESSION}")).await, 404, "session_not_found");
    }
    operator.delete(&format!("/sessions/{}", sessions[0])).await.expect(204);
    assert_error(&operator.get(&format!("/sessions/{}", sessions[1])).await, 401, "missing_api_key");
    assert_error(&operator.say(&sessions[1], "hello").await, 401, "missing_api_key");

    // An empty one is none.
    let path = format!("/sessions/{}", sessions[1]);
    let empty = from(&scene.client, "203.0.113.3").with_header("x-admin-token", "");
    assert_error(&empty.delete(&path).await, 401, "missing_api_key");
    // Whatever key is shown beside it, a wrong token is refused, and may not be tried at any speed.
    let guesser = with_key(&from(&scene.client, "203.0.113.4"), "key-two").with_header("x-admin-token", "sentinel");
    let guess = async || {
        let answer = guesser.delete(&path).await;
        assert!(!answer.text.contains("sentinel"), "{}", answer.text);
        answer
    };
    let right = from(&scene.client, "203.0.113.4").with_header("x-admin-token", TOKEN);
    let right = async || right.delete(&format!("/sessions/{NO_SESSION}")).await;
    let (guesses, _, right) = guess_until_refused(guess, right).await;
    assert!(guesses >= 10, "{guesses}");
    assert_rate_limited(&right);
    with_key(&from(&scene.client, "203.0.113.5"), "key-two").get(&path).await.expect(200);
}

#[tokio::test]
async fn without_keys_a_session_is_whoevers_knows_its_id() {
    let scene = Scene::start().await;
    let session = with_key(&scene.client, "any").create_session().await;
    scene.client.say(&session, "hello").await.expect(200);
    with_key(&scene.client, "other").get(&format!("/sessions/{session}")).await.expect(200);
}

#[tokio::test]
async fn an_address_is_limited_before_its_key_is_looked_at() {
    let scene = Scene::with(&[KEYS, NEVER_REFILLED, BEHIND_A_PROXY, ("RATE_BURST", "3")]).await;
    let here = from(&scene.client, "203.0.113.1");
    for guess in ["a", "b", "c"] {
        assert_error(&with_key(&here, guess).get("/sessions/1").await, 401, "invalid_api_key");
    }
    assert_rate_limited(&with_key(&here, "d").get("/sessions/1").await);
    assert_rate_limited(&here.get("/sessions/1").await);
    assert_rate_limited(&with_key(&here, "key-one").get("/sessions/1").await);
    // The key's own bucket was not touched by any of this.
    assert_eq!(tokens(&with_key(&from(&scene.client, "203.0.113.2"), "key-one")).await, 3);
}

#[tokio::test]
async fn what_is_free_needs_no_key() {
    let scene = Scene::with(&[KEYS]).await;
    for path in ["/", "/health", "/health/ready", "/metrics", "/docs", "/openapi.json"] {
        scene.client.get(path).await.expect(200);
    }
    let preflight = scene.client.request(Method::OPTIONS, "/sessions").header("access-control-request-method", "POST");
    Answer::of(preflight).await.expect(204);
}
