//! Servers of other people.

use std::{
    convert::Infallible,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chat_test_support::{
    TempDir, assert_eventually,
    mcp::{Servers, everything_server, fetch_server, filesystem_server, search_path},
};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet};

use crate::scene::{Scene, results, told, tool_calls, untimed};

/// They are programs of some size, and several of them start at once.
const THEIR_START: (&str, &str) = ("MCP_START_TIMEOUT_SECONDS", "60");

/// A site of one page and no robots.txt.
struct Site {
    url: String,
    _accepting: JoinSet<()>,
}

impl Site {
    async fn start(page: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/page", listener.local_addr().expect("an address"));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = service_fn(move |request: Request<Incoming>| async move {
                    let is_page = request.uri().path() == "/page";
                    let body = if is_page { page } else { "" };
                    let response = Response::builder().status(if is_page { 200 } else { 404 });
                    let response = response.header("content-type", "text/html").body(body.to_owned());
                    Ok::<_, Infallible>(response.expect("a response"))
                });
                let io = TokioIo::new(stream);
                connections.spawn(async move {
                    hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await
                });
            }
        });
        Self { url, _accepting: accepting }
    }
}

#[tokio::test]
async fn a_file_and_a_page_are_read_at_once_and_remembered() {
    let files = TempDir::new();
    let file = files.write("note.txt", "The file says: blue.\n").display().to_string();
    let site = Site::start("<html><body><article><p>The page says: green.</p></article></body></html>").await;
    let servers = Servers::new()
        .command("filesystem", &filesystem_server(), &[&files.path().display().to_string()])
        .command("fetch", &fetch_server(), &["--allow-private-ips"]);
    let scene = Scene::with(&servers, &[THEIR_START]).await;
    let session = scene.client.create_session().await;

    let (path, url) = (json!({"path": file}), json!({"url": site.url}));
    let both = format!("/filesystem_read_text_file {path}\n/fetch_fetch {url}");
    let answer = scene.client.say(&session, &both).await.expect(200);
    assert!(answer.content().contains("The file says: blue."), "{}", answer.text);
    assert!(answer.content().contains("The page says: green."), "{}", answer.text);
    let expected = [told("filesystem", "read_text_file", path, false), told("fetch", "fetch", url, false)];
    assert_eq!(untimed(tool_calls(&answer)), json!(expected));
    assert_eq!(answer.body["message"]["metadata"]["unavailable_servers"], json!(null));

    // What the tools gave is no secret of that turn's.
    scene.client.say(&session, "and now?").await.expect(200);
    let request = scene.upstream.last_request();
    let roles: Vec<&str> = request.conversation().iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant", "user"]);
    let sent = request.messages();
    let (asked, first, second) = (&sent[1]["tool_calls"], &sent[2], &sent[3]);
    assert_eq!(asked[0]["function"]["name"], "filesystem_read_text_file");
    assert_eq!((&asked[0]["id"], &asked[1]["id"]), (&first["tool_call_id"], &second["tool_call_id"]));
    assert!(first["content"].as_str().is_some_and(|text| text.contains("blue")), "{first}");
    assert!(second["content"].as_str().is_some_and(|text| text.contains("green")), "{second}");

    // And as it comes: text, the tools, text.
    let session = scene.client.create_session().await;
    let events = scene.client.say_streaming(&session, &both).await.expect("a stream").collect().await;
    let mut names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    names.dedup();
    let order = ["message.started", "tool.started", "tool.finished", "message.delta", "message.completed"];
    assert_eq!(names, order);
    let completed = &events.last().expect("events").data;
    assert_eq!(completed["message"]["content"], answer.body["message"]["content"]);
}

#[tokio::test]
async fn a_file_outside_is_refused_by_the_server_and_the_model_told() {
    let files = TempDir::new();
    let servers = Servers::new().command("filesystem", &filesystem_server(), &[&files.path().display().to_string()]);
    let scene = Scene::with(&servers, &[THEIR_START]).await;
    let (said, is_error) = scene.call("filesystem_read_text_file", &json!({"path": "/etc/passwd"})).await;
    assert!(is_error && said.contains("Access denied"), "{said}");
}

/// The reference server over HTTP, ended when dropped.
struct Everything {
    child: Child,
    url: String,
}

impl Everything {
    async fn start() -> Self {
        loop {
            // The port is free now; whoever takes it in between, this one notices and says so by ending.
            let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
            let child = Command::new(everything_server())
                .arg("streamableHttp")
                .env_clear()
                .env("PATH", search_path())
                .env("PORT", port.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the reference server starts");
            let mut server = Self { child, url: format!("http://127.0.0.1:{port}/mcp") };
            let mut ended = || matches!(server.child.try_wait(), Ok(Some(_)));
            let connects = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
            assert_eventually!(ended() || connects().await, Duration::from_secs(60));
            if !ended() {
                return server;
            }
        }
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn one_server_over_stdio_and_over_http_side_by_side() {
    let everything = Everything::start().await;
    let servers = Servers::new().command("pipe", &everything_server(), &["stdio"]).http("web", &everything.url);
    let scene = Scene::with(&servers, &[THEIR_START]).await;
    let asked = |server: &str| {
        format!(
            "/{server}_echo {{\"message\": \"سلام\"}}\n\
             /{server}_get-sum {{\"a\": 40, \"b\": 2}}\n\
             /{server}_get-tiny-image {{}}\n\
             /{server}_get-structured-content {{\"location\": \"Chicago\"}}\n"
        )
    };
    let answer = scene.ask(&(asked("pipe") + &asked("web"))).await;
    let request = scene.upstream.last_request();
    let results = results(&request);
    let (pipe, web) = results.split_at(4);
    assert_eq!(pipe, web);
    let [echo, sum, picture, structured] = pipe else { panic!("{pipe:?}") };
    assert_eq!((*echo, *sum), ("Echo: سلام", "The sum of 40 and 2 is 42."));
    // A picture is told of, not shown.
    assert!(picture.contains(r#""mime_type":"image/png""#) && !picture.contains("iVBOR"), "{picture}");
    assert!(picture.contains("Here's the image") && picture.contains("MCP logo"), "{picture}");
    let weather: serde_json::Value = serde_json::from_str(structured).expect("JSON, and once");
    assert_eq!(weather, json!({"temperature": 36, "conditions": "Light rain / drizzle", "humidity": 82}));
    let servers: Vec<_> = tool_calls(&answer).iter().map(|call| call["server"].as_str()).collect();
    assert_eq!(servers, [[Some("pipe"); 4], [Some("web"); 4]].concat());
    assert!(tool_calls(&answer).iter().all(|call| call["is_error"] == false), "{}", answer.text);
    assert_eq!(scene.shown("pipe").await["tools"], scene.shown("web").await["tools"]);
    for (server, transport) in [("pipe", "stdio"), ("web", "streamable_http")] {
        assert_eq!(scene.shown(server).await["transport"], transport);
    }
}
