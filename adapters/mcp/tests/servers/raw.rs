//! An HTTP server that is written by hand, to do what a library would not.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use chat_mcp::{ServerConfig, Transport};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Bytes, body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::scene::with_transport;

/// What a [`RawServer`] answers.
pub(crate) enum Reply {
    /// This result.
    Result(Value),
    /// A stream of events on which nothing ever comes.
    Silence,
    /// A status and nothing else.
    Status(u16),
    /// A status with a `location`.
    Redirect(u16, &'static str),
}

type Script = dyn Fn(&str, &str, usize) -> Reply + Send + Sync;

/// A server whose answers to a method at a path a script gives; the script also learns how often that was asked before.
pub(crate) struct RawServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl RawServer {
    #[expect(clippy::disallowed_methods, reason = "a server beside the test")]
    pub(crate) async fn start(script: impl Fn(&str, &str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (script, journal): (Arc<Script>, _) = (Arc::new(script), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, journal) = (script.clone(), journal.clone());
                let service = service_fn(move |request| answer(script.clone(), journal.clone(), request));
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn config(&self, name: &str, path: &str) -> ServerConfig {
        let url = format!("http://{}{path}", self.address).into();
        with_transport(name, Transport::Http { url, headers: vec![] })
    }

    /// How often it was asked this, at any path.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.asked.lock().expect("no panic").iter().filter(|(_, asked)| asked == method).count()
    }
}

/// What a server of this generation answers in general.
pub(crate) fn usual(method: &str, tools: &[&str]) -> Reply {
    match method {
        "GET" => Reply::Status(405),
        "initialize" => Reply::Result(json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "raw", "version": "1"},
        })),
        "tools/list" => {
            let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
            Reply::Result(json!({"tools": tools.iter().map(tool).collect::<Vec<_>>()}))
        }
        _ if method.starts_with("call ") => Reply::Result(json!({"content": [{"type": "text", "text": method}]})),
        _ => Reply::Status(202),
    }
}

async fn answer(
    script: Arc<Script>,
    journal: Arc<Mutex<Vec<(String, String)>>>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    let http = request.method().to_string();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = match message["method"].as_str() {
        Some("tools/call") => format!("call {}", message["params"]["name"].as_str().unwrap_or_default()),
        Some(method) => method.to_owned(),
        None => http,
    };
    let before = {
        let mut journal = journal.lock().expect("no panic");
        let entry = (path.clone(), method.clone());
        let before = journal.iter().filter(|asked| **asked == entry).count();
        journal.push(entry);
        before
    };
    let empty = || Full::default().boxed();
    let response = Response::builder().header("mcp-session-id", "session");
    let response = match script(&path, &method, before) {
        Reply::Result(result) => {
            let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
            response.header("content-type", "application/json").body(Full::from(body).boxed())
        }
        Reply::Silence => {
            let silence = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
            response.header("content-type", "text/event-stream").body(BodyExt::boxed(StreamBody::new(silence)))
        }
        Reply::Status(status) => response.status(status).body(empty()),
        Reply::Redirect(status, to) => response.status(status).header("location", to).body(empty()),
    };
    Ok(response.expect("a response"))
}
