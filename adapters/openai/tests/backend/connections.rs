//! Connections: kept, shared, through proxies; and what no backend can be made of.

use std::{
    io::{Read, Write},
    net,
    process::Stdio,
    sync::mpsc,
    thread,
    time::Duration,
};

use chat_domain::ports::llm::{Delivery, LlmErrorKind, LlmPort};
use chat_openai::{BuildError, HttpClient, ModelChoice, OpenAiConfig, OpenAiLlm};
use chat_test_support::{DeadPort, Reply, Upstream, assert_eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{BOTH, KEY, PATIENT, ask, clock, config, llm, llm_with, refusal, saying};

/// A host that does not exist, so that only a proxy can have answered.
const NOWHERE: &str = "http://model.invalid/v1";

#[tokio::test]
async fn a_connection_is_used_again_after_every_way_to_end_an_answer() {
    // One answer ends a little later than its last word, which is waited for, but not long: too short for a busy machine.
    let mut connections = 0;
    for _ in 0..5 {
        connections = connections_for_every_way_to_end().await;
        if connections == 1 {
            return;
        }
    }
    panic!("{connections} connections");
}

async fn connections_for_every_way_to_end() -> usize {
    let finished = Reply::events().delta("a").finish("stop").usage(1, 2);
    let upstream = Upstream::scripted([
        Reply::text("whole"),
        Reply::text("streamed"),
        finished.clone().done(),
        finished.clone().done().wait(Duration::from_millis(10)),
        finished,
        Reply::status(503),
        Reply::error_in_ok(502, "no"),
        Reply::text("whole"),
    ])
    .await;
    let llm = llm(&upstream);
    ask(&llm, Delivery::Whole).await.expect("an answer");
    for _ in 0..4 {
        ask(&llm, Delivery::Streamed).await.expect("an answer");
    }
    for _ in 0..2 {
        assert_eq!(refusal(&llm, Delivery::Whole).await.kind, LlmErrorKind::Unavailable);
    }
    ask(&llm, Delivery::Whole).await.expect("an answer");
    assert_eventually!(upstream.completed() == 8, PATIENT);
    upstream.connections()
}

#[tokio::test]
async fn backends_share_the_connections_of_one_client() {
    let upstream = Upstream::start().await;
    let http = HttpClient::direct();
    for model in ["a", "b"] {
        let config = OpenAiConfig::new(upstream.base_url(), ModelChoice::Always(model.into()));
        let llm = OpenAiLlm::new(config, &http, clock()).expect("a backend");
        ask(&llm, Delivery::Whole).await.expect("an answer");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_backend_that_comes_back_is_reached_again() {
    let upstream = Upstream::start().await;
    let (address, llm) = (upstream.address(), llm(&upstream));
    ask(&llm, Delivery::Whole).await.expect("an answer");
    drop(upstream);
    assert_eq!(refusal(&llm, Delivery::Whole).await.kind, LlmErrorKind::Unavailable);
    let upstream = Upstream::at(address, |_| Reply::text("back")).await;
    assert_eq!(ask(&llm, Delivery::Whole).await.expect("an answer").text, "back");
    drop(upstream);
}

#[tokio::test]
async fn a_proxy_is_asked_instead_of_the_host() {
    let proxy = Upstream::start().await;
    let http = HttpClient::from_proxy(&format!("http://{}", proxy.address())).expect("a proxy");
    let llm = OpenAiLlm::new(config(NOWHERE.into(), PATIENT), &http, clock()).expect("a backend");
    for delivery in BOTH {
        assert_eq!(ask(&llm, delivery).await.expect("an answer").text, "echo: hello");
        assert_eq!(proxy.last_request().header("host"), Some("model.invalid"));
    }
}

#[tokio::test]
async fn a_proxy_is_told_its_own_credentials_and_nobody_elses() {
    let proxy = Upstream::start().await;
    let http = HttpClient::from_proxy(&format!("http://user:pa%20ss@{}", proxy.address())).expect("a proxy");
    let llm = OpenAiLlm::new(config(NOWHERE.into(), PATIENT), &http, clock()).expect("a backend");
    ask(&llm, Delivery::Whole).await.expect("an answer");
    let seen = proxy.last_request();
    assert_eq!(seen.header("proxy-authorization"), Some("Basic dXNlcjpwYSBzcw=="));
    assert_eq!(seen.bearer(), Some(KEY));
}

#[tokio::test]
async fn a_secure_host_is_reached_through_a_tunnel_that_sees_no_key() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://user:pass@{}", proxy.local_addr().expect("an address"));
    let http = HttpClient::from_proxy(&url).expect("a proxy");
    let llm = OpenAiLlm::new(config("https://model.invalid/v1".into(), PATIENT), &http, clock()).expect("a backend");
    let tunnel = async {
        let (mut stream, _) = proxy.accept().await.expect("a client");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("more of the head"));
        }
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("a client that listens");
        let first = stream.read_u8().await.expect("what goes through the tunnel");
        (String::from_utf8(head).expect("text"), first)
    };
    let (error, (head, first)) = tokio::join!(refusal(&llm, Delivery::Whole), tunnel);
    assert_eq!(error.kind, LlmErrorKind::Unavailable, "{error:?}");
    assert!(head.starts_with("CONNECT model.invalid:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
    assert!(!head.contains(KEY), "{head}");
    const TLS_HANDSHAKE: u8 = 22;
    assert_eq!(first, TLS_HANDSHAKE);
}

#[tokio::test]
async fn a_proxy_that_refuses_a_tunnel_is_unavailable() {
    let proxy = Upstream::scripted([Reply::status(407)]).await;
    let http = HttpClient::from_proxy(&format!("http://{}", proxy.address())).expect("a proxy");
    let llm = OpenAiLlm::new(config("https://model.invalid/v1".into(), PATIENT), &http, clock()).expect("a backend");
    let error = refusal(&llm, Delivery::Whole).await;
    assert_eq!(error.kind, LlmErrorKind::Unavailable);
    let cause = error.source.expect("a cause").to_string();
    assert!(cause.contains("proxy authorization required"), "{cause}");
}

/// Answers once on each of so many connections, and closes them when told to.
fn closing_upstream(
    listener: &net::TcpListener,
    connections: usize,
    told: &mpsc::Receiver<()>,
    closed: &mpsc::Sender<()>,
) {
    const ANSWER: &str = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    for _ in 0..connections {
        let (mut stream, _) = listener.accept().expect("a client");
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\"stream\":false}") {
            stream.read_exact(&mut byte).expect("more of the request");
            request.extend(byte);
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", ANSWER.len());
        stream.write_all((head + ANSWER).as_bytes()).expect("a client that listens");
        told.recv().expect("a test");
        drop(stream);
        closed.send(()).expect("a test");
    }
}

#[tokio::test]
async fn a_kept_connection_that_has_just_been_closed_is_replaced_unnoticed() {
    const CALLS: usize = 10;
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let ((close, told), (closed, is_closed)) = (mpsc::channel(), mpsc::channel());
    // A thread of its own, so that this one can stand still while the connection is closed.
    let upstream = thread::spawn(move || closing_upstream(&listener, CALLS, &told, &closed));
    let llm = llm_with(config(base_url, PATIENT));
    for _ in 0..CALLS {
        assert_eq!(ask(&llm, Delivery::Whole).await.expect("an answer").text, "hi");
        tokio::time::sleep(Duration::from_millis(1)).await;
        close.send(()).expect("an upstream");
        is_closed.recv().expect("an upstream");
        // The runtime learns of the close, and asks next; the connection's own task comes after that.
        tokio::task::yield_now().await;
    }
    upstream.join().expect("as many connections as calls");
}

#[tokio::test]
async fn a_kept_connection_that_breaks_before_anything_is_written_is_replaced_unnoticed() {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let ((close, told), (closed, is_closed)) = (mpsc::channel(), mpsc::channel());
    let upstream = thread::spawn(move || {
        for reads_all in [false, true] {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            let end: &[u8] = if reads_all { b"\"stream\":false}" } else { b"\"stream\":false" };
            while !request.ends_with(end) {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("more of the request");
                request.extend(byte);
            }
            let answer = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
            stream.write_all((head + answer).as_bytes()).expect("a client that listens");
            told.recv().expect("a test");
            // With a byte that has not been read this is a reset, which the client's next write meets.
            drop(stream);
            closed.send(()).expect("a test");
        }
    });
    let llm = llm_with(config(base_url, PATIENT));
    for _ in 0..2 {
        assert_eq!(ask(&llm, Delivery::Whole).await.expect("an answer").text, "hi");
        close.send(()).expect("an upstream");
        is_closed.recv().expect("an upstream");
        // Without a look at the runtime in between: it does not know of the reset.
    }
    upstream.join().expect("a connection for each call");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_question_is_the_answer() {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let (answered, is_answered) = mpsc::channel();
    let upstream = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.read_exact(&mut [0]).expect("the beginning of the request");
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").expect("a client that listens");
        is_answered.recv().expect("a test");
        // The client is done: it neither sends the rest nor keeps the connection.
        while stream.read(&mut [0; 64 * 1024]).is_ok_and(|read| read > 0) {}
    });
    let long = "long ".repeat(4 * 1024 * 1024);
    let llm = llm_with(config(base_url, PATIENT));
    let error = llm.stream(&saying(&long, Delivery::Whole)).await.err().expect("a refusal");
    assert_eq!(error.kind, LlmErrorKind::Rejected);
    answered.send(()).expect("an upstream");
    upstream.join().expect("an end of the connection");
}

#[tokio::test]
async fn the_environments_proxy_is_honoured() {
    // Asks in a child of its own, this test again, since a test must not change the environment that it shares with others.
    #[expect(clippy::disallowed_methods, reason = "what is tested is the environment")]
    if std::env::var_os("ASK_BY_PROXY").is_some() {
        return ask_with_the_environments_proxy().await;
    }
    let proxy = Upstream::start().await;
    let child = tokio::process::Command::new(std::env::current_exe().expect("this test's own path"))
        .args(["--exact", "connections::the_environments_proxy_is_honoured"])
        .env("ASK_BY_PROXY", "1")
        .env("HTTP_PROXY", format!("http://{}", proxy.address()))
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("http_proxy")
        .env_remove("no_proxy")
        .stdin(Stdio::null())
        .output();
    let output = child.await.expect("a child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(proxy.requests().len(), 1);
    assert_eq!(proxy.last_request().header("host"), Some("model.invalid"));
}

async fn ask_with_the_environments_proxy() {
    let http = HttpClient::new();
    let llm = OpenAiLlm::new(config(NOWHERE.into(), PATIENT), &http, clock()).expect("a backend");
    ask(&llm, Delivery::Whole).await.expect("an answer by the proxy");
    let direct = OpenAiLlm::new(config(DeadPort::take().base_url(), PATIENT), &http, clock()).expect("a backend");
    assert_eq!(refusal(&direct, Delivery::Whole).await.kind, LlmErrorKind::Unavailable);
}

#[tokio::test]
async fn tls_is_checked_by_the_systems_roots() {
    // A port that speaks no TLS: it is the handshake that fails, not the making of the client.
    let upstream = Upstream::start().await;
    let base_url = upstream.base_url().replace("http://", "https://");
    let llm = OpenAiLlm::new(config(base_url, PATIENT), &HttpClient::direct(), clock()).expect("a backend");
    let asked = tokio::time::timeout(Duration::from_secs(10), refusal(&llm, Delivery::Whole)).await;
    assert_eq!(asked.expect("a quick failure").kind, LlmErrorKind::Unavailable);
    assert!(upstream.requests().is_empty());
}

#[test]
fn no_backend_is_made_of_nonsense() {
    let build = |config| OpenAiLlm::new(config, &HttpClient::direct(), clock()).err();
    let base = || OpenAiConfig::new("http://localhost/v1", ModelChoice::Default("m".into()));
    for url in ["", "localhost", "/v1", "ftp://localhost/", "http://", "data:text/plain,a"] {
        let error = build(OpenAiConfig { base_url: url.into(), ..base() });
        assert!(matches!(error, Some(BuildError::BaseUrl)), "{url}: {error:?}");
    }
    for url in ["http://user@localhost/v1", "https://user:pass@localhost/v1", "https://:pass@localhost/v1"] {
        let error = build(OpenAiConfig { base_url: url.into(), ..base() });
        assert!(matches!(error, Some(BuildError::CredentialsInUrl)), "{url}: {error:?}");
    }
    let error = build(OpenAiConfig { api_key: Some("a\nb".into()), ..base() });
    assert!(matches!(error, Some(BuildError::ApiKey)), "{error:?}");
    let error = build(OpenAiConfig { title: Some("a\nb".into()), ..base() });
    assert!(matches!(error, Some(BuildError::Header("the title"))), "{error:?}");
    assert!(matches!(HttpClient::from_proxy("http://").err(), Some(BuildError::Proxy)));
    for proxy in ["socks5://localhost:1080", "https://localhost"] {
        assert!(matches!(HttpClient::from_proxy(proxy).err(), Some(BuildError::ProxyScheme)), "{proxy}");
    }
}
