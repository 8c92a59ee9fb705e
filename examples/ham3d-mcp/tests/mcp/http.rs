//! Over HTTP.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{HttpServer, PATIENCE, found, http, refused, shop};

fn initialize() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}})
    .to_string()
}

async fn post(server: &HttpServer, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = http()
        .post(server.url("/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(initialize()).send().await.expect("an answer").status()
}

#[tokio::test]
async fn searches_as_over_standard_input() {
    let server = HttpServer::start(shop(), &[], &[]).await;
    let client = server.client().await;
    let local = crate::common::client(shop()).await;
    let arguments = json!({"query": "رزین", "sort_by": "price_low_high"});
    let result = found(&client, arguments.clone()).await;
    assert_ne!(result["total"], 0);
    assert_eq!(result, found(&local, arguments).await);
    assert!(refused(&client, json!({"limit": 0})).await.starts_with("limit must be"));
}

#[tokio::test]
async fn fifty_clients_at_once() {
    let server = HttpServer::start(shop(), &[], &[]).await;
    let calls = (0..50).map(|index| {
        let server = &server;
        async move {
            let client = server.client().await;
            assert_eq!(found(&client, json!({"limit": index % 7 + 1})).await["count"], index % 7 + 1);
        }
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn a_restart_goes_unnoticed() {
    let mut server = HttpServer::start(shop(), &[], &[]).await;
    let client = server.client().await;
    found(&client, json!({})).await;
    let address = server.address.clone();
    server.child.kill().await.expect("our child");
    let mut again = crate::common::binary(crate::common::variables(shop()));
    let _again = again.args(["--http", &address]).spawn().expect("the binary");
    chat_test_support::assert_eventually!(tokio::net::TcpStream::connect(&address).await.is_ok(), PATIENCE);
    found(&client, json!({})).await;
}

#[tokio::test]
async fn health_does_not_ask_the_database() {
    let server = HttpServer::start(shop(), &[], &[]).await;
    let answer = http().get(server.url("/health")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.json::<Value>().await.expect("JSON"), json!({"status": "ok"}));
    let elsewhere = http().get(server.url("/")).send().await.expect("an answer");
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn hosts_and_origins_from_elsewhere_are_refused() {
    let server = HttpServer::start(shop(), &[], &[]).await;
    for host in ["localhost", "127.0.0.1:1", "[::1]:8080", "LOCALHOST:99"] {
        assert_eq!(post(&server, &[("host", host)]).await, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "mcp.example.com"] {
        assert_eq!(post(&server, &[("host", host)]).await, StatusCode::FORBIDDEN, "{host}");
    }
    for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5"] {
        assert_eq!(post(&server, &[("origin", origin)]).await, StatusCode::OK, "{origin}");
    }
    for origin in ["http://evil.example", "null", "https://localhost.evil.example", "file://localhost"] {
        assert_ne!(post(&server, &[("origin", origin)]).await, StatusCode::OK, "{origin}");
    }
}

#[tokio::test]
async fn further_hosts_by_flag_and_variable() {
    let flags = ["--allow-host", "mcp.example.com", "--allow-host", "other.example:8443"];
    let server = HttpServer::start(shop(), &flags, &[("HAM3D_ALLOWED_HOSTS", "third.example, fourth.example")]).await;
    for (host, expected) in [
        ("mcp.example.com", StatusCode::OK),
        ("mcp.example.com:9000", StatusCode::OK),
        ("other.example:8443", StatusCode::OK),
        ("other.example:1", StatusCode::FORBIDDEN),
        ("third.example", StatusCode::OK),
        ("fourth.example", StatusCode::OK),
        ("fifth.example", StatusCode::FORBIDDEN),
        ("localhost", StatusCode::OK),
    ] {
        assert_eq!(post(&server, &[("host", host)]).await, expected, "{host}");
    }
    assert_eq!(post(&server, &[("origin", "https://mcp.example.com")]).await, StatusCode::OK);
    assert_eq!(post(&server, &[("origin", "https://fifth.example")]).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn requests_are_bounded() {
    let server = HttpServer::start(shop(), &[], &[]).await;
    let body = " ".repeat(2 * 1024 * 1024);
    let request = http().post(server.url("/mcp")).header("content-type", "application/json");
    let answer = request.header("accept", "application/json, text/event-stream").body(body).send().await;
    // Cut off before it has sent everything, a client may not get to see the answer.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == StatusCode::PAYLOAD_TOO_LARGE));
}

#[tokio::test]
async fn it_ends_on_a_signal_and_has_logged_nothing_of_what_was_asked() {
    let mut server = HttpServer::start(shop(), &["--log-level", "debug"], &[]).await;
    let client = server.client().await;
    found(&client, json!({"query": "whisper"})).await;
    refused(&client, json!({"query": "whisper", "limit": 0, "whisper": "whisper"})).await;
    let start = Instant::now();
    let pid = Pid::from_raw(server.child.id().expect("running").try_into().expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("our child");
    let status = tokio::time::timeout(PATIENCE, server.child.wait()).await.expect("an end").expect("our child");
    assert!(status.success());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let log = server.rest_of_log().await;
    assert!(log.contains("stopped"), "{log}");
    assert!(!log.contains("whisper") && !log.contains("p@ss"), "{log}");
}
