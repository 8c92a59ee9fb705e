//! The scripted upstream, seen by an ordinary HTTP client.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::{Duration, Instant};

use chat_test_support::{Answer, Client, Cut, DeadPort, Gate, Reply, Upstream, assert_eventually, install_crypto};
use http::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(5);

fn client(upstream: &Upstream) -> Client {
    Client::new(&upstream.base_url())
}

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "hello"}]})
}

async fn ask(upstream: &Upstream) -> Answer {
    client(upstream).post("/chat/completions", &question(false)).await
}

async fn ask_raw(upstream: &Upstream, stream: bool) -> reqwest::Result<reqwest::Response> {
    let request = client(upstream).request(Method::POST, "/chat/completions");
    request.json(&question(stream)).send().await
}

/// The chunks of a stream, as JSON where they are.
async fn chunks(upstream: &Upstream) -> Vec<Value> {
    let events = client(upstream).stream("/chat/completions", &question(true)).await;
    events.unwrap().collect().await.into_iter().map(|event| event.data).collect()
}

#[tokio::test]
async fn answers_in_the_form_that_is_asked_for() {
    let upstream = Upstream::start().await;
    let answer = ask(&upstream).await.expect(200);
    assert_eq!(answer.body["choices"][0]["message"]["content"], "echo: hello");
    assert_eq!(answer.body["usage"]["total_tokens"], 15);

    let chunks = chunks(&upstream).await;
    let texts = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(texts.collect::<String>(), "echo: hello");
    assert_eq!(chunks.last().unwrap(), "[DONE]");
    assert_eq!(chunks[chunks.len() - 2]["usage"]["prompt_tokens"], 10);

    let requests = upstream.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].path, "/v1/chat/completions");
    assert_eq!(requests[0].conversation(), [("user", "hello")]);
    assert!(!requests[0].wants_stream() && requests[1].wants_stream());
    assert_eq!((upstream.completed(), upstream.open(), upstream.aborted()), (2, 0, 0));
}

#[tokio::test]
async fn tool_arguments_arrive_whole_from_their_pieces() {
    let arguments = json!({"city": "تهران", "days": 3});
    let reply = Reply::tool_call("weather", &arguments);
    let upstream = Upstream::scripted([reply.clone(), reply]).await;

    let plain = ask(&upstream).await.expect(200);
    assert_eq!(plain.body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(plain.body["choices"][0]["message"]["content"], Value::Null);
    let call = &plain.body["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], arguments.to_string());

    let chunks = chunks(&upstream).await;
    let calls = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]);
    let pieces = calls.filter_map(|call| call["function"]["arguments"].as_str());
    assert_eq!(pieces.collect::<String>(), arguments.to_string());
}

#[tokio::test]
async fn faults_look_like_faults() {
    let key = "quotes sk-secret";
    let upstream = Upstream::scripted([
        Reply::rate_limited(Some("7")),
        Reply::error(401, key),
        Reply::error_in_ok(502, "no"),
        Reply::malformed(),
        Reply::null_content(),
    ])
    .await;
    let limited = ask(&upstream).await.expect(429);
    assert_eq!(limited.header("retry-after"), Some("7"));
    assert!(ask(&upstream).await.expect(401).text.contains(key));
    assert_eq!(ask(&upstream).await.expect(200).body["error"]["code"], 502);
    assert_eq!(ask(&upstream).await.expect(200).body, Value::Null);
    let empty = ask(&upstream).await.expect(200);
    assert_eq!(empty.body["choices"][0]["message"]["content"], Value::Null);
}

#[tokio::test]
async fn cuts_connections_where_it_is_told() {
    let upstream = Upstream::scripted([
        Reply::no_answer(Cut::Reset),
        Reply::no_answer(Cut::Close),
        Reply::text("a longer answer").cut_after(30, Cut::Reset),
        Reply::text("a longer answer").cut_after(30, Cut::Close),
        Reply::events().delta("first").cut(Cut::Reset),
        Reply::events().delta("first"),
    ])
    .await;
    let chain = |error: reqwest::Error| format!("{error:?}");
    assert!(chain(ask_raw(&upstream, false).await.unwrap_err()).contains("ConnectionReset"));
    assert!(chain(ask_raw(&upstream, false).await.unwrap_err()).contains("IncompleteMessage"));
    let body = ask_raw(&upstream, false).await.unwrap().bytes().await;
    assert!(chain(body.unwrap_err()).contains("ConnectionReset"));
    let body = ask_raw(&upstream, false).await.unwrap().bytes().await;
    assert!(body.is_err());

    let events = client(&upstream).stream("/chat/completions", &question(true)).await;
    let mut events = events.unwrap();
    assert_eq!(events.next().await.unwrap().data["choices"][0]["delta"]["content"], "first");
    assert!(chain(events.try_next().await.unwrap_err()).contains("ConnectionReset"));

    assert_eq!(chunks(&upstream).await.len(), 1, "a clean end without [DONE]");
    assert_eq!(upstream.aborted(), 0, "planned ends are no aborts");
}

#[tokio::test]
async fn notices_that_the_client_went_away() {
    let upstream = Upstream::start().await;

    upstream.push(Reply::never());
    // Gone once the upstream has the question, however long that took to arrive.
    let gone = async {
        while upstream.open() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = ask(&upstream) => panic!("nothing answers"),
        () = gone => {}
    }
    upstream.wait_for_aborted(1).await;

    upstream.push(Reply::events().delta("a").hang());
    let events = client(&upstream).stream("/chat/completions", &question(true)).await;
    let mut events = events.unwrap();
    assert!(events.next().await.is_some());
    assert_eq!((upstream.open(), upstream.aborted()), (1, 1));
    drop(events);
    upstream.wait_for_aborted(2).await;

    upstream.push(Reply::huge(20 << 20));
    drop(ask_raw(&upstream, false).await.unwrap());
    upstream.wait_for_aborted(3).await;
    assert_eq!((upstream.open(), upstream.completed()), (0, 0));
}

#[tokio::test]
async fn gates_and_delays_hold_answers_back() {
    let gate = Gate::new();
    let late = Duration::from_millis(60);
    let upstream = Upstream::scripted([
        Reply::text("held").held_by(&gate),
        Reply::text("late").after(late),
        Reply::body(200, "text/plain", "drops").drip(1, Duration::from_millis(10)),
    ])
    .await;
    let (answer, ()) = tokio::join!(ask(&upstream), async {
        upstream.wait_for_requests(1).await;
        assert_eq!(upstream.open(), 1);
        gate.open();
    });
    assert_eq!(answer.status, 200);

    let start = Instant::now();
    ask(&upstream).await.expect(200);
    assert!(start.elapsed() >= late);
    let start = Instant::now();
    assert_eq!(ask(&upstream).await.expect(200).text, "drops");
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(upstream.peak(), 1);
}

#[tokio::test]
async fn comments_pass_between_the_chunks() {
    let upstream = Upstream::scripted([Reply::events()
        .comment("OPENROUTER PROCESSING")
        .delta("a")
        .comment("OPENROUTER PROCESSING")
        .error_chunk(502, "broken")
        .done()])
    .await;
    let events = client(&upstream).stream("/chat/completions", &question(true)).await;
    let mut events = events.unwrap();
    events.next().await.unwrap();
    assert_eq!(events.next().await.unwrap().data["error"]["code"], 502);
    assert_eq!(events.comments, ["OPENROUTER PROCESSING"; 2]);
}

#[tokio::test]
async fn a_request_too_many_fails_the_test() {
    let upstream = Upstream::scripted([]).await;
    assert!(ask_raw(&upstream, false).await.is_err());
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(upstream)));
    let message = *dropped.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("no reply in the script for request 1"), "{message}");
}

#[tokio::test]
async fn a_dead_port_refuses() {
    install_crypto();
    let dead = DeadPort::take();
    let error = reqwest::get(format!("{}/models", dead.base_url())).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

#[tokio::test]
async fn keeps_connections_alive() {
    let upstream = Upstream::start().await;
    let client = client(&upstream);
    for _ in 0..3 {
        client.post("/chat/completions", &question(false)).await.expect(200);
    }
    assert_eventually!(upstream.completed() == 3, SOON);
    assert_eq!(upstream.connections(), 1);
}
