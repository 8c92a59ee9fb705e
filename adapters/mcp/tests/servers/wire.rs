//! What goes wrong between us and an HTTP server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_domain::{message::ToolOutcome, ports::tools::ToolPort};
use chat_mcp::{McpConfig, Phase, ServerConfig, Transport};
use chat_test_support::assert_eventually;
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener};

use crate::{
    raw::{RawServer, Reply, usual},
    scene::{PATIENCE, Scene, config, with_transport},
};

/// Nobody waits long for anything.
fn hasty(server: ServerConfig) -> McpConfig {
    let mut config = config(vec![server]);
    config.handshake_timeout = Duration::from_secs(1);
    config.tool_timeout = Duration::from_secs(1);
    config
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a server beside the test")]
async fn a_server_that_never_answers_costs_no_socket_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let (accepted, closed): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let (accepts, closes) = (accepted.clone(), closed.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            accepts.fetch_add(1, Ordering::Relaxed);
            let closes = closes.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {}
                closes.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    let scene = Scene::of(hasty(with_transport("mute", Transport::Http { url: url.into(), headers: vec![] })));
    assert_eventually!(accepted.load(Ordering::Relaxed) >= 2, PATIENCE);
    assert_eq!(scene.phase("mute"), Phase::Down);
    scene.tools.stop().await;
    assert_eventually!(closed.load(Ordering::Relaxed) == accepted.load(Ordering::Relaxed), PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_which_nothing_comes_is_opened_again_and_nothing_else() {
    let server = RawServer::start(|_, method, _| match method {
        "GET" => Reply::Silence,
        _ => usual(method, &["echo"]),
    })
    .await;
    let scene = Scene::of(hasty(server.config("one", "/mcp")));
    assert_eventually!(server.count("GET") >= 3, PATIENCE);
    assert_eq!(scene.phase("one"), Phase::Ready);
    assert_eq!(scene.call("one_echo", json!({})).await, ToolOutcome::ok("call echo"));
    assert_eq!(server.count("initialize"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_session_ended_may_have_done_its_work() {
    let server = RawServer::start(|_, method, before| match method {
        "call wait" => Reply::Silence,
        "call expire" if before == 0 => Reply::Status(404),
        _ => usual(method, &["wait", "expire"]),
    })
    .await;
    let scene = Scene::started(vec![server.config("one", "/mcp")]).await;
    let expire = async {
        assert_eventually!(server.count("call wait") == 1, PATIENCE);
        scene.call("one_expire", json!({})).await
    };
    let (waited, expired) = tokio::join!(scene.call("one_wait", json!({})), expire);
    assert_eq!((expired, server.count("initialize")), (ToolOutcome::ok("call expire"), 2));
    assert!(waited.content.contains("whether the tool did its work is not known"), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_redirects_that_repeat_the_request_are_followed() {
    for (status, followed) in [(301, false), (302, false), (303, false), (307, true), (308, true)] {
        let server = RawServer::start(move |path, method, _| match path {
            "/old" => Reply::Redirect(status, "/mcp"),
            _ => usual(method, &["echo"]),
        })
        .await;
        let scene = Scene::started(vec![server.config("one", "/old")]).await;
        let expected = if followed { Phase::Ready } else { Phase::Down };
        assert_eq!(scene.phase("one"), expected, "{status}");
        assert!(followed || server.count("GET") == 0, "{status} made a GET of it");
        scene.tools.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_says_so() {
    let server = RawServer::start(|_, method, _| match method {
        "call big" => Reply::Result(json!({"content": [{"type": "text", "text": "x".repeat(17 << 20)}]})),
        _ => usual(method, &["big"]),
    })
    .await;
    let scene = Scene::started(vec![server.config("one", "/mcp")]).await;
    let outcome = scene.call("one_big", json!({})).await;
    assert!(outcome.is_error && outcome.content.contains("its answer is too large"), "{:.300}", outcome.content);
    assert_eq!(scene.tools.catalogue().tools().len(), 1);
}
