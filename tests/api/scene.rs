//! A service with a scripted upstream behind it, and what is asked of an answer again and again.

use std::time::{Duration, Instant};

use chat_test_support::{Answer, Client, Service, Upstream, service::Launch};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

/// The credential that the service shows the upstream.
pub(crate) const KEY: &str = "sk-or-sentinel-of-the-key";

/// The operator's token, in tests that have one.
pub(crate) const TOKEN: &str = "sentinel-of-the-admin-token";

/// What a condition may take to come true: far more than it needs on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// An id that no session has.
pub(crate) const NO_SESSION: &str = "00000000-0000-4000-8000-000000000000";

/// The binary, with limits that no test runs into by accident.
pub(crate) fn launch() -> Launch {
    Service::launch(env!("CARGO_BIN_EXE_chat-agent")).env("RATE_RPS", "1000000").env("RATE_BURST", "1000000")
}

/// A running service, a client for it, the upstream it asks.
pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) service: Service,
    pub(crate) upstream: Upstream,
}

impl Scene {
    /// With an upstream that echoes.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these variables besides.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        Self::over(Upstream::start().await, variables).await
    }

    /// Over this upstream.
    pub(crate) async fn over(upstream: Upstream, variables: &[(&str, &str)]) -> Self {
        let launch = launch().env("OPENROUTER_KEY", KEY).env("OPENROUTER_BASE_URL", upstream.base_url());
        let service = launch.envs(variables.iter().copied()).start().await;
        Self { client: service.client(), service, upstream }
    }

    /// With an admin token, and a client that shows it besides.
    pub(crate) async fn with_operator(variables: &[(&str, &str)]) -> (Self, Client) {
        let variables = [variables, &[("ADMIN_TOKEN", TOKEN)]].concat();
        let scene = Self::with(&variables).await;
        let operator = scene.client.with_header("x-admin-token", TOKEN);
        (scene, operator)
    }

    /// The visible memory of a session as (role, content) pairs.
    pub(crate) async fn memory(&self, session: &str) -> Vec<(String, String)> {
        let answer = self.client.get(&format!("/sessions/{session}")).await.expect(200);
        said(&answer.body["history"])
    }

    /// Posts a message with these fields.
    pub(crate) async fn post(&self, session: &str, body: Value) -> Answer {
        self.client.post(&format!("/sessions/{session}/messages"), &body).await
    }

    /// The JSON of `/metrics`.
    pub(crate) async fn metrics(&self) -> Value {
        self.client.get("/metrics").await.expect(200).body
    }
}

/// Messages as (role, content) pairs.
pub(crate) fn said(messages: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let messages = messages.as_array().expect("a list of messages");
    messages.iter().map(|message| (text(&message["role"]), text(&message["content"]))).collect()
}

/// The same, to compare with.
pub(crate) fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(role, content)| ((*role).to_owned(), (*content).to_owned())).collect()
}

/// A request with a body as it is, JSON or not.
pub(crate) async fn send(client: &Client, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = client.request(method, path).header("content-type", "application/json");
    Answer::of(request.body(body)).await
}

/// Sends bytes over a connection of their own and reads what comes back, to its end.
pub(crate) async fn send_raw(service: &Service, request: impl AsRef<[u8]>) -> String {
    let address = service.base_url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_ref()).await.expect("sent");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    read.expect("an answer and the connection's end").expect("an unbroken connection");
    String::from_utf8(answer).expect("UTF-8")
}

/// Fails the test unless this is an error in the one form of errors, with this status and code.
#[track_caller]
pub(crate) fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(keys(&answer.body), ["error", "request_id"], "{}", answer.text);
    let error = &answer.body["error"];
    let expected: &[&str] =
        if error["details"].is_null() { &["code", "message"] } else { &["code", "details", "message"] };
    assert_eq!(keys(error), expected, "{}", answer.text);
    assert!(error["details"].is_object() || error.get("details").is_none(), "{}", answer.text);
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", answer.text);
    let request_id = answer.header("x-request-id").expect("an answer carries its request's id");
    assert_eq!(answer.body["request_id"], request_id);
}

/// Fails the test unless this is the refusal of one request too many, to the letter.
#[track_caller]
pub(crate) fn assert_rate_limited(answer: &Answer) {
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(keys(&answer.body), ["error", "retry_after"], "{}", answer.text);
    assert_eq!(answer.body["error"], "rate_limited");
    let pause = answer.body["retry_after"].as_f64().expect("seconds");
    let header: f64 = answer.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
    assert!(pause > 0.0 && header >= 1.0 && header == pause.ceil().max(1.0), "{pause} and {header}");
    assert!(answer.header("x-request-id").is_some());
}

/// Guesses until a guess is refused, then asks something else. → how many guesses there were before, the refusal, and the
/// other answer while the refusal lasted
///
/// It lasts for a second at the most. Where the other answer took longer, all of it is done again.
pub(crate) async fn guess_until_refused(
    guess: impl AsyncFn() -> Answer,
    other: impl AsyncFn() -> Answer,
) -> (usize, Answer, Answer) {
    for guesses in 0..100 {
        let began = Instant::now();
        let refused = guess().await;
        if refused.status != 429 {
            assert_error(&refused, 401, "invalid_admin_token");
            continue;
        }
        assert_rate_limited(&refused);
        let pause = refused.body["retry_after"].as_f64().expect("seconds");
        let other = other().await;
        if began.elapsed().as_secs_f64() < pause {
            return (guesses, refused, other);
        }
    }
    panic!("a hundred guesses, and no refusal that lasted");
}

/// An object's keys, sorted.
pub(crate) fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The paths and reasons of a validation error.
pub(crate) fn field_errors(answer: &Answer) -> Vec<(String, String)> {
    let errors = answer.body["error"]["details"]["errors"].as_array().expect("details.errors").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    errors
        .map(|error| {
            assert_eq!(keys(error), ["path", "reason"]);
            (text(&error["path"]), text(&error["reason"]))
        })
        .collect()
}

/// Whether this is a time as the contract writes it: RFC 3339, UTC, milliseconds.
pub(crate) fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.len() == "2026-11-22T10:00:00.000Z".len()
            && text.ends_with('Z')
            && chrono::DateTime::parse_from_rfc3339(text).is_ok()
    })
}

/// Whether this is a UUID in its usual form.
pub(crate) fn is_uuid(text: &str) -> bool {
    Uuid::parse_str(text).is_ok_and(|uuid| uuid.to_string() == text)
}

/// One operation of the API.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// With its placeholders: `/sessions/{session_id}`.
    pub(crate) template: String,
    /// What the spec says of it.
    pub(crate) spec: Value,
}

impl Operation {
    /// The path with this id in the place of a session's, and an address in the place of an address.
    pub(crate) fn path(&self, session: &str) -> String {
        self.template.replace("{session_id}", session).replace("{ip}", "203.0.113.7")
    }
}

/// Every operation that the service describes, so that a new one cannot be forgotten here.
pub(crate) async fn operations(client: &Client) -> Vec<Operation> {
    let spec = client.get("/openapi.json").await.expect(200).body;
    let paths = spec["paths"].as_object().expect("paths").clone();
    let operations: Vec<Operation> = paths
        .into_iter()
        .flat_map(|(template, operations)| {
            let operations = operations.as_object().expect("operations").clone();
            operations.into_iter().map(move |(method, spec)| {
                let method = method.to_uppercase().parse().expect("a method");
                Operation { method, template: template.clone(), spec }
            })
        })
        .collect();
    assert!(operations.len() >= 16, "only {} operations are described", operations.len());
    operations
}

/// A message's usual body.
pub(crate) fn message(content: &str) -> Value {
    json!({"content": content})
}
