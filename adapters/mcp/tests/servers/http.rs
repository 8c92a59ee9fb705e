//! Servers over streamable HTTP, of both generations of the protocol.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_domain::{
    conformance_tests,
    message::ToolOutcome,
    ports::{Propagation, tools::ToolPort},
    testing::conformance::tools::Subject,
};
use chat_mcp::{McpConfig, Phase, ServerConfig, Transport};
use chat_test_support::assert_eventually;
use http_body_util::{BodyExt, Empty};
use hyper::{header::AUTHORIZATION, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
        ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig as About, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Barrier,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::scene::{PATIENCE, RESULT_MAX, Scene, config, with_transport};

/// Long enough for a closed connection to be noticed.
const HEARD: Duration = Duration::from_secs(1);

/// The tools of the port's conformance suite, and one that can be added.
#[derive(Clone)]
struct Tools {
    newest_only: bool,
    cancelled: Arc<AtomicUsize>,
    meeting: Arc<Barrier>,
    calls: Arc<AtomicUsize>,
    more: Arc<AtomicUsize>,
}

impl ServerHandler for Tools {
    fn get_info(&self) -> About {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        About::new(capabilities).with_server_info(Implementation::new("scripted", "1"))
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        if self.newest_only {
            vec![ProtocolVersion::V_2026_07_28].into()
        } else {
            vec![ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25].into()
        }
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema: JsonObject = serde_json::from_value(json!({"type": "object"})).expect("an object");
        let schema = Arc::new(schema);
        let more = (0..self.more.load(Ordering::Relaxed)).map(|number| format!("new_{number}"));
        let names = ["echo", "fail", "hang", "meet", "big", "add", "trace"].map(str::to_owned).into_iter().chain(more);
        let tools = names.map(|name| Tool::new(name, "a tool", schema.clone())).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let ok = |text: &str| Ok(CallToolResponse::Complete(CallToolResult::success(vec![ContentBlock::text(text)])));
        match &*params.name {
            "echo" => {
                let text = params.arguments.as_ref().and_then(|arguments| arguments.get("text")?.as_str());
                ok(text.unwrap_or_default())
            }
            "fail" => Ok(CallToolResponse::Complete(CallToolResult::error(vec![ContentBlock::text("no")]))),
            "hang" => {
                context.ct.cancelled().await;
                self.cancelled.fetch_add(1, Ordering::Relaxed);
                ok("")
            }
            "meet" => {
                self.meeting.wait().await;
                ok("met")
            }
            "trace" => ok(context.meta.get("traceparent").and_then(|value| value.as_str()).unwrap_or("none")),
            "big" => ok(&"x".repeat(RESULT_MAX * 3)),
            "add" => {
                self.more.fetch_add(1, Ordering::Relaxed);
                let _ = context.peer.notify_tool_list_changed().await;
                ok("added")
            }
            _ => Err(ErrorData::invalid_params("unknown tool", None)),
        }
    }
}

/// A running server. Dropping it closes all its connections, and what it knew of its clients is gone.
struct HttpServer {
    address: SocketAddr,
    tools: Tools,
    stop: CancellationToken,
    accepting: JoinHandle<()>,
}

impl HttpServer {
    async fn start(newest_only: bool) -> Self {
        let tools = Tools {
            newest_only,
            cancelled: Arc::default(),
            meeting: Arc::new(Barrier::new(2)),
            calls: Arc::default(),
            more: Arc::default(),
        };
        Self::serve(TcpListener::bind("127.0.0.1:0").await.expect("a port"), tools)
    }

    #[expect(clippy::disallowed_methods, reason = "a server beside the test")]
    fn serve(listener: TcpListener, tools: Tools) -> Self {
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let settings = StreamableHttpServerConfig::default().with_cancellation_token(stop.clone());
        let handler = tools.clone();
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(handler.clone()), sessions, settings);
        let (stopped, connections) = (stop.clone(), stop.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stopped.cancelled() => return,
                };
                let Ok((stream, _)) = accepted else { return };
                let (service, stopped) = (service.clone(), connections.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let service = service.clone();
                        async move {
                            let known =
                                request.headers().get(AUTHORIZATION).is_some_and(|value| value == "Bearer s3cr3t");
                            if known {
                                return Ok::<_, std::convert::Infallible>(service.handle(request).await);
                            }
                            let mut refusal = hyper::Response::new(Empty::new().boxed());
                            *refusal.status_mut() = hyper::StatusCode::UNAUTHORIZED;
                            Ok(refusal)
                        }
                    });
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    tokio::select! {
                        _ = server.serve_connection(TokioIo::new(stream), service) => {}
                        () = stopped.cancelled() => {}
                    }
                });
            }
        });
        Self { address, tools, stop, accepting }
    }

    fn config(&self, name: &str) -> ServerConfig {
        let headers = vec![("authorization".into(), "Bearer s3cr3t".into())];
        with_transport(name, Transport::Http { url: format!("http://{}/mcp", self.address).into(), headers })
    }

    /// Ends it; what it knew of its clients is gone. Its address is taken at once, or another test would have it, but
    /// nobody listens there.
    async fn end(self) -> (TcpSocket, Tools) {
        self.stop.cancel();
        let _ = (&mut { self.accepting }).await;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(self.address).expect("the address is free again");
        (socket, self.tools)
    }
}

async fn again((socket, tools): (TcpSocket, Tools)) -> HttpServer {
    HttpServer::serve(socket.listen(64).expect("listening"), tools)
}

async fn subject(newest_only: bool) -> Subject {
    let server = HttpServer::start(newest_only).await;
    let scene = Scene::started(vec![server.config("scripted")]).await;
    let cancelled = server.tools.cancelled.clone();
    Subject {
        port: scene.tools.clone(),
        clock: scene.clock.clone(),
        result_max: RESULT_MAX,
        cancelled: Box::new(move || cancelled.load(Ordering::Relaxed)),
        held: Box::new((scene, server)),
    }
}

mod of_2025 {
    use super::*;
    conformance_tests!(
        #[tokio::test(flavor = "multi_thread")]
        tools,
        async || subject(false).await
    );
}

mod of_2026 {
    use super::*;
    conformance_tests!(
        #[tokio::test(flavor = "multi_thread")]
        tools,
        async || subject(true).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_has_forgotten_its_sessions_and_nobody_notices() {
    for newest_only in [false, true] {
        let server = HttpServer::start(newest_only).await;
        let scene = Scene::started(vec![server.config("one")]).await;
        assert_eq!(scene.call("one_echo", json!({"text": "a"})).await, ToolOutcome::ok("a"));
        let server = again(server.end().await).await;
        // What is sent before a client has heard that its connection was closed may have been carried out, and is not sent
        // again. This is about later calls.
        tokio::time::sleep(HEARD).await;
        assert_eq!(scene.call("one_echo", json!({"text": "b"})).await, ToolOutcome::ok("b"));
        assert_eq!(server.tools.calls.load(Ordering::Relaxed), 2, "each call was carried out once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_down_and_comes_back_by_itself() {
    let server = HttpServer::start(false).await;
    let scene = Scene::started(vec![server.config("one")]).await;
    let gone = server.end().await;
    let outcome = scene.call("one_echo", json!({"text": "x"})).await;
    assert!(outcome.is_error, "{outcome:?}");
    assert_eventually!(scene.phase("one") == Phase::Down, PATIENCE);
    assert_eventually!(!scene.tools.catalogue().absent().is_empty(), PATIENCE);
    assert_eq!(scene.tools.catalogue().absent()[0].last_known.len(), 7);
    let error = scene.status("one").last_error.expect("an error").to_string();
    assert_eq!(error, "the handshake failed: the connection was refused");
    let _server = again(gone).await;
    assert_eventually!(scene.phase("one") == Phase::Ready, PATIENCE);
    assert_eq!(scene.call("one_echo", json!({"text": "y"})).await, ToolOutcome::ok("y"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_header_is_told_without_it() {
    let server = HttpServer::start(false).await;
    let mut wrong = server.config("one");
    if let Transport::Http { headers, .. } = &mut wrong.transport {
        headers[0].1 = "Bearer wr0ng-token".into();
    }
    let scene = Scene::started(vec![wrong]).await;
    let error = scene.status("one").last_error.expect("an error").to_string();
    assert!(error.contains("401") && !error.contains("wr0ng"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_tools_are_seen_in_both_generations() {
    for newest_only in [false, true] {
        let server = HttpServer::start(newest_only).await;
        let scene = Scene::started(vec![server.config("one")]).await;
        assert!(!scene.call("one_add", json!({})).await.is_error);
        assert_eventually!(scene.functions().contains(&"one_new_0".to_owned()), Duration::from_secs(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ties_a_call_to_its_trace_reaches_both_generations() {
    for newest_only in [false, true] {
        let server = HttpServer::start(newest_only).await;
        for (propagation, seen) in [
            (Propagation::new(|| vec![("traceparent", "00-1-2-01".to_owned())]), "00-1-2-01"),
            (Propagation::default(), "none"),
        ] {
            let scene = Scene::of(McpConfig { propagation, ..config(vec![server.config("one")]) });
            scene.tools.started(scene.clock.moment().plus(PATIENCE)).await;
            assert_eq!(scene.call("one_trace", json!({})).await, ToolOutcome::ok(seen), "newest: {newest_only}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_calls_run_at_once() {
    let server = HttpServer::start(false).await;
    let mut tools = server.tools.clone();
    tools.meeting = Arc::new(Barrier::new(64));
    let server = {
        let (socket, _) = server.end().await;
        again((socket, tools)).await
    };
    let scene = Scene::started(vec![server.config("one")]).await;
    let calls = (0..64).map(|_| scene.call("one_meet", json!({})));
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(outcomes.iter().all(|outcome| *outcome == ToolOutcome::ok("met")));
}

#[test]
fn a_header_that_cannot_be_sent_is_refused_without_its_value() {
    let mut it = config(vec![]);
    let transport =
        Transport::Http { url: "http://127.0.0.1:1".into(), headers: vec![("x".into(), "s3cr3t\n".into())] };
    it.servers.push(with_transport("one", transport));
    let clock = Arc::new(chat_local::system::SystemClock::new());
    let refused = chat_mcp::McpTools::start(
        it,
        clock,
        Arc::new(chat_local::system::SystemRandom),
        Arc::new(chat_domain::ports::NoObserver),
    )
    .err();
    let told = refused.expect("an error").to_string();
    assert!(told.contains("header x") && !told.contains("s3cr3t"), "{told}");
}
