//! HTTP/2 without TLS, as proxies speak it to what is behind them.

use std::time::Duration;

use chat_test_support::{Gate, Reply, Upstream, install_crypto};
use reqwest::{Client, Response, Version};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    common::{agent, echoed, messages_of, request_log},
    in_process::{IMPATIENT, InProcess},
    raw::Raw,
};

fn http2() -> Client {
    install_crypto();
    let client = Client::builder().no_proxy().http2_prior_knowledge().timeout(Duration::from_secs(60)).build();
    client.expect("a client")
}

async fn post(http: &Client, url: String, body: Value) -> Response {
    let response = http.post(url).json(&body).send().await.expect("an answer");
    assert_eq!(response.version(), Version::HTTP_2);
    response
}

#[tokio::test]
async fn turns_run_side_by_side_on_one_connection() {
    let upstream = Upstream::start().await;
    // One connection is all there may be.
    let service = agent(&upstream).env("MAX_CONNECTIONS", "1").start().await;
    let http = http2();
    let base_url = service.base_url().to_owned();
    let gate = Gate::new();
    let mut turns = JoinSet::new();
    for number in 0..20 {
        upstream.push(Reply::text("both ways").held_by(&gate));
        let (http, base_url) = (http.clone(), base_url.clone());
        turns.spawn(async move {
            let made: Value = post(&http, format!("{base_url}/sessions"), json!({})).await.json().await.expect("JSON");
            let path = messages_of(made["id"].as_str().expect("an id"));
            let accept = if number % 2 == 0 { "application/json" } else { "text/event-stream" };
            let request = http.post(format!("{base_url}{path}")).header("accept", accept);
            let response = request.json(&json!({"content": "hello"})).send().await.expect("an answer");
            assert_eq!(response.status(), 200);
            response.text().await.expect("a whole answer")
        });
    }
    upstream.wait_for_requests(20).await;
    gate.open();
    for answer in turns.join_all().await {
        assert!(answer.contains(r#""content":"both ways""#), "{answer}");
    }
    assert_eq!(upstream.peak(), 20);
}

#[tokio::test]
async fn a_stream_that_is_reset_cancels_its_turn_and_no_other() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let http = http2();
    let client = service.client();
    let session = client.create_session().await;
    let url = format!("{}{}", service.base_url(), messages_of(&session));
    let gate = Gate::new();
    let other = client.create_session().await;
    let other_url = format!("{}{}", service.base_url(), messages_of(&other));
    upstream.push(Reply::text("echo: stays").held_by(&gate));
    let staying = tokio::spawn({
        let http = http.clone();
        async move { post(&http, other_url, json!({"content": "stays"})).await.status() }
    });
    upstream.wait_for_requests(1).await;

    // In mid-turn, in mid-stream.
    upstream.push(Reply::never());
    let leaving =
        tokio::spawn(http.post(&url).header("x-request-id", "plain").json(&json!({"content": "left"})).send());
    upstream.wait_for_requests(2).await;
    leaving.abort();
    upstream.wait_for_aborted(1).await;
    upstream.push(Reply::events().delta("half").hang());
    let request = http.post(&url).header("x-request-id", "streamed").header("accept", "text/event-stream");
    let mut response = request.json(&json!({"content": "left"})).send().await.expect("an answer");
    while !String::from_utf8_lossy(&response.chunk().await.expect("a chunk").expect("a delta")).contains("half") {}
    drop(response);
    upstream.wait_for_aborted(2).await;
    for id in ["plain", "streamed"] {
        assert_eq!(request_log(&service, id).await["status_code"], 499);
    }

    gate.open();
    assert_eq!(staying.await.expect("no panic"), 200);
    client.say(&session, "next").await.expect(200);
    assert_eq!(echoed(&client, &session).await, ["next"]);
    assert_eq!(echoed(&client, &other).await, ["stays"]);
}

#[tokio::test]
async fn a_peer_that_does_not_answer_pings_is_dropped() {
    let llm =
        chat_domain::testing::llm::ScriptedLlm::new(std::sync::Arc::new(chat_local::system::SystemClock::new()), []);
    let server = InProcess::start(llm, IMPATIENT).await;
    let mut connection = Raw::connect(&server.base_url()).await;
    // The preface and empty settings, and then not a word more.
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
    connection.rest().await;
}
