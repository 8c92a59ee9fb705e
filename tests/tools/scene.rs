//! A service with tool servers and a model that does as it is told.

use std::{fs, path::PathBuf, time::Duration};

use chat_test_support::{
    Answer, Client, Launch, RecordedRequest, Reply, Service, Upstream,
    mcp::{Servers, journal},
};
use serde_json::{Value, json};

/// The credential that the service shows the upstream.
pub(crate) const KEY: &str = "sk-or-sentinel-of-the-key";

/// The operator's token.
pub(crate) const TOKEN: &str = "sentinel-of-the-admin-token";

/// What a condition may take to come true: far more than it needs on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Above what anything takes that waits for nobody, with two processes to start; below what would be waited for, which
/// is half a minute and more.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(15);

/// The program, with limits that are not in the way.
pub(crate) fn program() -> Launch {
    let generous = [
        ("RATE_RPS", "1000000"),
        ("RATE_BURST", "1000000"),
        ("LLM_MAX_RETRIES", "0"),
        ("OPENROUTER_KEY", KEY),
        ("ADMIN_TOKEN", TOKEN),
    ];
    Service::launch(env!("CARGO_BIN_EXE_chat-agent")).envs(generous)
}

/// A running service, a client for it, the model it asks.
pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) service: Service,
    pub(crate) upstream: Upstream,
}

impl Scene {
    /// Over these servers, all picked, with an obedient model.
    pub(crate) async fn of(servers: &Servers) -> Self {
        Self::with(servers, &[]).await
    }

    /// With these variables besides.
    pub(crate) async fn with(servers: &Servers, variables: &[(&str, &str)]) -> Self {
        let launch = servers.given_to(program()).envs(variables.iter().copied());
        Self::over(Upstream::answering(obey).await, launch).await
    }

    /// Started in this way, with another model.
    pub(crate) async fn over(upstream: Upstream, launch: Launch) -> Self {
        let service = launch.env("OPENROUTER_BASE_URL", upstream.base_url()).start().await;
        Self { client: service.client(), service, upstream }
    }

    /// Says something in a session of its own; fails the test unless it is answered with 200.
    pub(crate) async fn ask(&self, content: &str) -> Answer {
        let session = self.client.create_session().await;
        self.client.say(&session, content).await.expect(200)
    }

    /// What a tool gave that is called in a session of its own, and whether that was an error.
    pub(crate) async fn call(&self, function: &str, arguments: &Value) -> (String, bool) {
        let answer = self.ask(&format!("/{function} {arguments}")).await;
        let is_error = tool_calls(&answer)[0]["is_error"].as_bool().expect("a boolean");
        (answer.content().to_owned(), is_error)
    }

    /// Posts a message with these fields in a session of its own.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        let session = self.client.create_session().await;
        self.client.post(&messages_of(&session), body).await
    }

    /// A client that shows the admin token.
    pub(crate) fn operator(&self) -> Client {
        self.client.with_header("x-admin-token", TOKEN)
    }

    /// A server as `/admin/runtime` shows it.
    pub(crate) async fn shown(&self, server: &str) -> Value {
        let runtime = self.operator().get("/admin/runtime").await.expect(200).body;
        let servers = runtime["mcp_servers"].as_array().expect("a list of servers").clone();
        servers.into_iter().find(|shown| shown["name"] == server).expect("the server is shown")
    }

    pub(crate) async fn is_ready(&self, server: &str) -> bool {
        self.shown(server).await["status"] == "ready"
    }

    /// How many messages a session remembers.
    pub(crate) async fn remembered(&self, session: &str) -> usize {
        let answer = self.client.get(&format!("/sessions/{session}")).await.expect(200);
        answer.body["history"].as_array().expect("a history").len()
    }

    /// The rest of the lines of a scripted server's journal that begin so.
    pub(crate) fn journal(&self, server: &str, beginning: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(&journal(server))).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix(beginning)).map(str::to_owned).collect()
    }

    /// The processes that its journal names, of all starts.
    pub(crate) fn pids(&self, server: &str) -> Vec<u32> {
        let pids = [self.journal(server, "start "), self.journal(server, "grandchild ")].concat();
        pids.iter().map(|pid| pid.parse().expect("a process id")).collect()
    }

    /// A file where the service and its servers run.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.service.folder().join(name)
    }

    /// Makes an empty file there.
    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.file(name), "").expect("a file can be written");
    }
}

/// Where the messages of a session are posted.
pub(crate) fn messages_of(session: &str) -> String {
    format!("/sessions/{session}/messages")
}

/// What a model does that is told what to do: each line `/FUNCTION ARGUMENTS` of the last message is a tool call, all of
/// them in one answer; once it has their results it says these, one to a line. What has no such line is echoed.
pub(crate) fn obey(request: &RecordedRequest) -> Reply {
    let results = results(request);
    if !results.is_empty() {
        return Reply::text(results.join("\n"));
    }
    let call = |line: &'_ str| line.strip_prefix('/').map(|call| call.split_once(' ').unwrap_or((call, "{}")).into());
    let calls: Vec<Call> = request.last_user().lines().filter_map(call).collect();
    if calls.is_empty() {
        return Reply::text(format!("echo: {}", request.last_user()));
    }
    Reply::tool_calls(calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())))
}

struct Call {
    name: String,
    arguments: String,
}

impl From<(&str, &str)> for Call {
    fn from((name, arguments): (&str, &str)) -> Self {
        Self { name: name.to_owned(), arguments: arguments.to_owned() }
    }
}

/// The tool results that a request ends with, first to last.
pub(crate) fn results(request: &RecordedRequest) -> Vec<&str> {
    let results = request.messages().iter().rev().take_while(|message| message["role"] == "tool");
    let mut results: Vec<&str> = results.map(|result| result["content"].as_str().expect("a text")).collect();
    results.reverse();
    results
}

/// What an answer says of the tools that led to it.
pub(crate) fn tool_calls(answer: &Answer) -> &[Value] {
    answer.body["message"]["metadata"]["tool_calls"].as_array().map_or(&[], Vec::as_slice)
}

/// Of these, all but how long they took, which is checked to be told.
pub(crate) fn untimed(calls: &[Value]) -> Value {
    let untimed = |call: &Value| {
        let mut call = call.clone();
        let took = call.as_object_mut().expect("an object").remove("duration_ms");
        assert!(took.expect("how long it took").is_u64());
        call
    };
    calls.iter().map(untimed).collect()
}

/// A call as an answer tells of it, but for its duration.
pub(crate) fn told(server: &str, tool: &str, arguments: Value, is_error: bool) -> Value {
    json!({"server": server, "tool": tool, "arguments": arguments, "is_error": is_error})
}
