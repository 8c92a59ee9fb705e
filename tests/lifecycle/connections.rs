//! Peers that dawdle, and bytes that are no proper requests.

use std::{sync::Arc, time::Duration};

use chat_agent::http::server::ConnectionLimits;
use chat_domain::testing::llm::{Reply, ScriptedLlm};
use chat_local::system::SystemClock;
use chat_test_support::{Upstream, install_crypto};

use crate::{
    common::{SOON, agent, messages_of},
    in_process::{IMPATIENT, InProcess, PATIENCE, PATIENT},
    raw::{EVENTS, Raw, get, say},
};

fn answering(reply: Reply) -> ScriptedLlm {
    ScriptedLlm::improvising(Arc::new(SystemClock::new()), move |_| reply.clone())
}

#[tokio::test]
async fn a_connection_is_closed_that_never_becomes_a_request() {
    let cases = [
        ("nothing", ""),
        ("a single byte", "P"),
        ("the first line", "GET /health HTTP/1.1\r\n"),
        ("half a head", "GET /health HTTP/1.1\r\nHost: test\r\nX-Half"),
    ];
    let server = InProcess::start(answering(Reply::text("fine")), IMPATIENT).await;
    for (what, bytes) in cases {
        let mut connection = Raw::connect(&server.base_url()).await;
        connection.send(bytes).await;
        let said = connection.rest().await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{what}: {said}");
    }
    server.client().get("/health").await.expect(200);
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_head_in_drops_is_not_waited_for_for_ever() {
    let server = InProcess::start(answering(Reply::text("fine")), IMPATIENT).await;
    let mut connection = Raw::connect(&server.base_url()).await;
    connection.send("GET /health HTTP/1.1\r\n").await;
    let drops = async {
        // Each drop alone comes in good time.
        for _ in 0..200 {
            if !connection.try_send("X-Drop: 1\r\n").await {
                return true;
            }
            tokio::time::sleep(PATIENCE / 8).await;
        }
        false
    };
    assert!(drops.await, "still open after {:?}", PATIENCE / 8 * 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    // Between two requests a loaded machine may oversleep; all of them together take longer than the limit.
    const IDLE: Duration = Duration::from_secs(2);
    let limits = ConnectionLimits { first_byte: IDLE, header_read: IDLE, ..PATIENT };
    let server = InProcess::start(answering(Reply::text("fine")), limits).await;
    let mut used = Raw::connect(&server.base_url()).await;
    for _ in 0..5 {
        used.send(get("/health")).await;
        assert_eq!(used.answer().await.status, 200);
        tokio::time::sleep(IDLE / 3).await;
    }
    assert_eq!(used.rest().await, "", "closed without a word");
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408_and_the_connection_closed() {
    let server = InProcess::start(answering(Reply::text("fine")), PATIENT).await;
    let head = "POST /sessions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    for (what, framing) in
        [("a length", "Content-Length: 1000\r\n\r\n{"), ("chunks", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")]
    {
        let mut connection = Raw::connect(&server.base_url()).await;
        connection.send(format!("{head}{framing}")).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (408, &"request_timeout".into()), "{what}");
        assert!(answer.head.contains("connection: close") && answer.head.contains("x-request-id: "), "{}", answer.head);
        assert_eq!(connection.rest().await, "", "{what}: closed");
    }
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_dropped_with_its_turn() {
    let piece = "x".repeat(64 * 1024);
    let replies = [Reply::pieces((0..400).map(|_| piece.as_str())), Reply::text("fine")];
    let llm = ScriptedLlm::new(Arc::new(SystemClock::new()), replies);
    let limits = ConnectionLimits { write_stall: PATIENCE, ..PATIENT };
    let server = InProcess::start(llm.clone(), limits).await;
    let client = server.client();
    let session = client.create_session().await;
    let mut stalled = Raw::connect_narrow(&server.base_url()).await;
    stalled.send(say(&session, "go on", EVENTS)).await;
    stalled.read_until("message.delta").await;
    // It waits for its turn until the stalled one is dropped.
    let next = tokio::time::timeout(SOON, client.say(&session, "next")).await.expect("the session is free again");
    assert_eq!(next.expect(200).content(), "fine");
    assert_eq!((llm.stopped(), llm.running()), (1, 0));
    // What is left in the buffers, and no proper end.
    let rest = stalled.rest().await;
    assert!(!rest.contains("message.completed"));
    let read = client.get(&format!("/sessions/{session}")).await.expect(200);
    let history = read.body["history"].as_array().expect("a history");
    assert_eq!(history.iter().map(|message| &message["content"]).collect::<Vec<_>>(), ["next", "fine"]);
}

#[tokio::test]
async fn a_silent_stream_is_no_stalled_one() {
    let llm = answering(Reply::pieces(["slow ", "and ", "steady"]).after(4 * PATIENCE));
    let server = InProcess::start(llm, IMPATIENT).await;
    let client = server.client();
    let session = client.create_session().await;
    let events = client.say_streaming(&session, "take your time").await.expect("a stream").collect().await;
    assert_eq!(events.last().expect("an event").data["message"]["content"], "slow and steady");
    let answer = client.say(&session, "take your time").await.expect(200);
    assert_eq!(answer.content(), "slow and steady");
}

#[tokio::test]
async fn beyond_the_most_connections_the_next_one_waits() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).env("MAX_CONNECTIONS", "2").start().await;
    let mut first = Raw::connect(service.base_url()).await;
    let mut second = Raw::connect(service.base_url()).await;
    for connection in [&mut first, &mut second] {
        connection.send(get("/health")).await;
        assert_eq!(connection.answer().await.status, 200);
    }
    let mut third = Raw::connect(service.base_url()).await;
    third.send(get("/health")).await;
    assert!(third.is_silent_for(Duration::from_millis(300)).await);
    // Those that are in are served on.
    second.send(get("/")).await;
    assert_eq!(second.answer().await.status, 200);
    drop(first);
    assert_eq!(third.answer().await.status, 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let session = service.client().create_session().await;
    let mut connection = Raw::connect(service.base_url()).await;
    let requests = [get("/"), say(&session, "one", ""), get("/nowhere"), say(&session, "two", ""), get("/health")];
    connection.send(requests.concat()).await;
    let mut answers = Vec::new();
    for _ in &requests {
        answers.push(connection.answer().await);
    }
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 404, 200, 200]);
    assert_eq!(answers[1].body["message"]["content"], "echo: one");
    assert_eq!(answers[3].body["message"]["content"], "echo: two");
    assert_eq!(answers[4].body["requests_total"], 3);
}

#[tokio::test]
async fn a_request_of_two_lengths_smuggles_nothing() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let session = service.client().create_session().await;
    // To one who believes the length, all of this is one body; to one who believes the chunks, a second request.
    let smuggled = say(&session, "smuggled", "");
    let body = format!("2\r\n{{}}\r\n0\r\n\r\n{smuggled}");
    let [length, chunked] =
        [format!("Content-Length: {}\r\n", body.len()), "Transfer-Encoding: chunked\r\n".to_owned()];
    for framing in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
        let mut connection = Raw::connect(service.base_url()).await;
        let head = "POST /sessions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
        connection.send(format!("{head}{framing}\r\n{body}")).await;
        let said = connection.rest().await;
        // The chunks decide, and whatever comes behind them is never looked at. The answer itself may get lost with it.
        assert!(said.matches("HTTP/1.1 ").count() <= 1, "one answer at most, then the end: {said}");
    }
    let two_lengths = "POST /sessions HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}\n";
    let not_last = "POST /sessions HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n";
    let in_1_0 = "POST /sessions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for ambiguous in [two_lengths, not_last, in_1_0] {
        let mut connection = Raw::connect(service.base_url()).await;
        connection.send(ambiguous).await;
        let said = connection.rest().await;
        assert!(said.starts_with("HTTP/1.1 400") || said.starts_with("HTTP/1.0 400"), "{ambiguous}: {said}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_harms_nobody() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let many = (0..500).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let long = format!("X-Long: {}\r\n", "x".repeat(2 << 20));
    // Which of the two a long path is called depends on how much of it has come when it is looked at.
    let cases: [(&str, String, &[u16]); 6] = [
        ("many headers", format!("GET /health HTTP/1.1\r\nHost: test\r\n{many}\r\n"), &[431]),
        ("a long header", format!("GET /health HTTP/1.1\r\nHost: test\r\n{long}\r\n"), &[431]),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(100_000)), &[414, 431]),
        ("no version", "GET /health\r\n\r\n".to_owned(), &[400]),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}".to_owned(), &[400]),
        ("a line end in a header", "GET /health HTTP/1.1\r\nHost: te\rst\r\n\r\n".to_owned(), &[400]),
    ];
    for (what, bytes, statuses) in cases {
        let mut connection = Raw::connect(service.base_url()).await;
        // It may be closed before all is sent.
        connection.try_send(bytes).await;
        let said = connection.rest().await;
        let refused = statuses.iter().any(|status| said.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(said.is_empty() || refused, "{what}: {said:.200}");
    }
    let client = service.client();
    let session = client.create_session().await;
    client.post(&messages_of(&session), &serde_json::json!({"content": "still there?"})).await.expect(200);
}

#[tokio::test]
async fn http2_is_refused_at_once() {
    let server = InProcess::start(answering(Reply::text("fine")), PATIENT).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = "\0\0\0\u{4}\0\0\0\0\0";
    let first_line = preface.split_inclusive('\n').next().expect("a line");
    // Whole, it is closed without a word, which no HTTP/2 client could read; its beginning alone is a bad request.
    let cases = [
        ("preface and settings", format!("{preface}{settings}"), ""),
        ("the preface", preface.to_owned(), ""),
        ("half the preface", first_line.to_owned(), "HTTP/1.1 400"),
    ];
    for (what, bytes, answer) in cases {
        let mut connection = Raw::connect(&server.base_url()).await;
        connection.send(bytes).await;
        let said = connection.rest().await;
        assert!(said.starts_with(answer) && said.is_empty() == answer.is_empty(), "{what}: {said}");
    }
    install_crypto();
    let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().timeout(SOON).build().expect("a client");
    let error = http.get(format!("{}/health", server.base_url())).send().await.expect_err("no HTTP/2");
    assert!(!error.is_timeout(), "{error:?}");
    server.client().get("/health").await.expect(200);
    assert!(server.stop().await);
}

#[tokio::test]
async fn an_offer_of_http2_is_answered_over_http1() {
    let server = InProcess::start(answering(Reply::text("fine")), PATIENT).await;
    let mut connection = Raw::connect(&server.base_url()).await;
    let offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    connection.send(format!("GET /health HTTP/1.1\r\nHost: test\r\n{offer}\r\n")).await;
    let answer = connection.answer().await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.starts_with("http/1.1 200"), "{}", answer.head);
    // And the connection goes on.
    connection.send(get("/health")).await;
    assert_eq!(connection.answer().await.status, 200);
}
