//! What somebody may try who means harm and has no key, while others chat on.

use std::time::{Duration, Instant};

use chat_test_support::{Answer, Client, Launch, Service, Upstream, assert_eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    common::{SOON, agent, messages_of},
    raw::{Raw, get, say},
};

/// Those who chat on, and how often each says something.
const CLIENTS: usize = 20;
const TURNS: usize = 10;

/// What a turn may take beside an attack: far more than on a machine at rest, less than any timeout that ends one.
const UNDISTURBED: Duration = Duration::from_secs(20);

/// How long those who dribble are let, less some time to look: for a head and for a body it is 30 s.
const LET_DRIBBLE: Duration = Duration::from_secs(25);

/// All clients chat, each in a session of its own; every turn is answered, and in time.
async fn chat_on(client: &Client) {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = client.clone();
        clients.spawn(async move {
            let session = client.create_session().await;
            for turn in 0..TURNS {
                let content = format!("turn {turn}");
                let saying = client.say(&session, &content);
                let answer = tokio::time::timeout(UNDISTURBED, saying).await.expect("an answer in time");
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.expect("a client that chats on");
    }
}

/// The program, allowed so many open files as shells and containers allow by default.
fn with_few_files(soft: usize, hard: usize) -> Launch {
    let script = format!(r#"ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" "$@""#);
    let shell = Service::launch("/bin/sh").arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_chat-agent"));
    shell.env("RATE_RPS", "100000").env("RATE_BURST", "100000")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_who_dribble_disturb_nobody() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let began = Instant::now();
    // Heads that never end, and bodies that never end, a byte every 500 ms each: what they hold is the attack, not how
    // busy they keep the machine.
    let mut dribbling = JoinSet::new();
    for number in 0..500 {
        let mut raw = Raw::connect(service.base_url()).await;
        let begun = match number % 2 {
            0 => "GET / HTTP/1.1\r\nHost: test\r\nX-Long: ".to_owned(),
            _ => "POST /sessions HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n".to_owned(),
        };
        dribbling.spawn(async move {
            raw.send(begun).await;
            while raw.try_send("x").await {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    chat_on(&client).await;
    let has_one_gone = dribbling.try_join_next().is_some();
    assert!(!has_one_gone || began.elapsed() > LET_DRIBBLE, "all of them were there all the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_connections_take_no_files_from_those_who_chat() {
    let upstream = Upstream::start().await;
    let launch = with_few_files(1024, 20_000).env("OPENROUTER_KEY", "test-key").env("MAX_CONNECTIONS", "3000");
    let service = launch.env("OPENROUTER_BASE_URL", upstream.base_url()).start().await;
    let client = service.client();
    let before = resident(&service);
    let idle = join_all((0..2_000).map(|_| Raw::connect(service.base_url()))).await;
    // Half of them have asked something before, and keep the connection.
    let idle = join_all(idle.into_iter().enumerate().map(|(number, mut raw)| async move {
        if number % 2 == 0 {
            raw.send(get("/")).await;
            assert_eq!(raw.answer().await.status, 200);
        }
        raw
    }))
    .await;
    chat_on(&client).await;
    // Measured at 4 KiB each, and 9 KiB for one that has asked.
    let taken = resident(&service).saturating_sub(before);
    assert!(taken < 2_000 * 32, "{taken} KiB for {} idle connections", idle.len());
    assert!(service.events("few_files").is_empty(), "{}", service.log_text());
}

#[tokio::test]
async fn where_few_files_are_allowed_fewer_connections_are_taken_and_that_is_said() {
    let service = with_few_files(256, 256).arg("demo").start().await;
    // All that a start says is said before it listens.
    let said = service.log_text();
    assert!(said.contains("few_files") && said.contains("max_connections=64"), "{said}");
    let mut idle = Vec::new();
    for _ in 0..63 {
        idle.push(Raw::connect(service.base_url()).await);
    }
    let mut last = Raw::connect(service.base_url()).await;
    last.send(get("/")).await;
    assert_eq!(last.answer().await.status, 200);
    // More than there is room for: they wait, and are served as soon as somebody goes.
    idle.push(last);
    let mut waiting = Raw::connect(service.base_url()).await;
    waiting.send(get("/")).await;
    assert!(waiting.is_silent_for(Duration::from_millis(200)).await);
    idle.clear();
    assert_eq!(waiting.answer().await.status, 200);
    assert!(!service.log_text().contains("could not be accepted"), "{}", service.log_text());
}

/// The memory that a process holds, in KiB.
fn resident(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn a_body_that_would_unpack_is_refused_packed() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let session = client.create_session().await;
    // The head of a gzip file; what follows does not matter, since nothing is unpacked.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0; 4096]].concat();
    for path in ["/sessions".to_owned(), messages_of(&session)] {
        for coding in ["gzip", "br", "deflate", "zstd", "gzip, gzip", "GZIP"] {
            let request = client.request(Method::POST, &path).header("content-type", "application/json");
            let answer = Answer::of(request.header("content-encoding", coding).body(bomb.clone())).await;
            assert_eq!((answer.status, answer.code()), (415, "unsupported_media_type"), "{path} {coding}");
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
        let request = client.request(Method::POST, &path).header("content-encoding", "identity");
        assert!(Answer::of(request.body(r#"{"content": "hi"}"#)).await.status < 300);
    }
}

#[tokio::test]
async fn nothing_that_is_sent_becomes_a_header_or_a_line_of_the_log() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).env("ADMIN_TOKEN", "token").start().await;
    let session = service.client().create_session().await;
    let injected = "%0d%0aSet-Cookie:%20stolen=1%0d%0a%0d%0a";
    for path in [
        format!("/{injected}"),
        format!("/sessions/{injected}"),
        format!("/sessions/{session}/messages{injected}"),
        format!("/admin/bypass/{injected}"),
        format!("/admin/history/sessions?start_date={injected}"),
        format!("/docs?{injected}"),
    ] {
        let mut raw = Raw::connect(service.base_url()).await;
        raw.send(get(&path)).await;
        let answer = raw.answer().await;
        assert!(!answer.head.contains("set-cookie"), "{path}: {}", answer.head);
        assert!((200..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    // A header of more than one line, and characters that only look like an end of one.
    for header in [
        "X-Request-ID: one\r\n two: folded\r\n",
        "X-Request-ID: one\n{\"event\":\"forged\"}\r\n",
        "X-Request-ID: one\r{\"event\":\"forged\"}\r\n",
        "X-Request-ID: one\u{85}{\"event\":\"forged\"}\r\n",
        "X-Request-ID: one\u{2028}forged\r\n",
        "X-Request-ID: \u{1b}[31mforged\r\n",
        "X-API-Key: one\r\n two\r\n",
        "User-Agent: \"}\u{1b}]0;forged\u{7}\r\n",
    ] {
        let mut raw = Raw::connect(service.base_url()).await;
        raw.send(say(&session, "hello", header)).await;
        let answer = raw.answer().await;
        assert!(matches!(answer.status, 200 | 400), "{header:?}: {}", answer.status);
        assert!(!answer.head.contains("forged") && !answer.head.contains("folded"), "{header:?}: {}", answer.head);
    }
    let told = |line: &Value| line["event"] == "request_completed" && line["path"] == "/sessions";
    service.wait_for_log(told).await;
    assert_eventually!(service.events("request_completed").len() >= 7, SOON);
    for line in service.logs() {
        assert!(line.is_object(), "every line is one of ours: {line}");
        assert_ne!(line["event"], "forged");
    }
    assert!(!service.log_text().contains('\u{1b}'), "no terminal is talked to");
}
