//! What servers do not get to see, and what no log does.

use chat_test_support::{
    Client, DeadPort, Upstream, assert_eventually,
    mcp::{Servers, python, scripted_server},
};
use serde_json::{Value, json};

use crate::scene::{KEY, SOON, Scene, TOKEN, obey, program};

const API_KEY: &str = "sentinel-api-key";

/// Says something as a client with a key, and returns what was answered.
async fn say(client: &Client, content: &str) -> String {
    let session = client.create_session().await;
    client.say(&session, content).await.expect(200).content().to_owned()
}

#[tokio::test]
async fn a_server_sees_nothing_of_our_environment() {
    let servers = Servers::new().scripted("one", &[]).with("env", json!({"ITS_OWN": "value"}));
    let variables = [
        ("API_KEYS", API_KEY),
        ("OPENAI_API_KEY", "sentinel-openai-key"),
        ("MCP_SERVER_URL", "http://127.0.0.1:9/sentinel-url"),
        ("MCP_API_KEY", "sentinel-mcp-key"),
        ("UNRELATED", "sentinel-unrelated"),
        ("HOME", "/home/somebody"),
        ("LANG", "C.UTF-8"),
    ];
    let scene = Scene::with(&servers, &variables).await;
    let seen = say(&scene.client.with_header("x-api-key", API_KEY), "/one_environment {}").await;
    assert!(!seen.contains("sentinel"), "{seen}");
    let seen: Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!((&seen["ITS_OWN"], &seen["HOME"]), (&json!("value"), &json!("/home/somebody")));
    let names: Vec<&str> = seen.as_object().expect("an object").keys().map(String::as_str).collect();
    // Python adds LC_CTYPE by itself.
    let expected = ["HOME", "ITS_OWN", "LANG", "LC_CTYPE", "PATH"];
    assert!(names.iter().all(|name| expected.contains(name)), "{names:?}");
}

#[tokio::test]
async fn no_log_line_has_what_tools_are_given_or_give() {
    let nobody = DeadPort::take();
    let servers = Servers::new()
        .scripted("one", &["--say", "sentinel-stderr"])
        .with("env", json!({"ITS_KEY": "sentinel-env-value"}))
        .scripted("refusing", &["--refuse", "no entry for sentinel-arg-key", "--say", "sentinel-arg-key"])
        .scripted("gone", &["--exit", "4"])
        .http("web", &format!("http://{}/sentinel-path?key=sentinel-query", nobody.address()))
        .with("headers", json!({"Authorization": "Bearer sentinel-header"}));
    // One tool hangs; the others have no more time than it to succeed.
    let variables = [("LOG_LEVEL", "TRACE"), ("API_KEYS", API_KEY), ("MCP_TOOL_TIMEOUT_SECONDS", "3")];
    let scene = Scene::with(&servers, &variables).await;
    let client = scene.client.with_header("x-api-key", API_KEY);
    let calls = [
        r#"/one_echo {"text": "sentinel-result"}"#,
        r#"/one_echo {"sentinel-broken"#,
        r#"/one_fail {"sentinel-name": "sentinel-argument"}"#,
        r#"/one_hang {"sentinel-name": 1}"#,
        r#"/one_environment {}"#,
        r#"/sentinel-tool {}"#,
    ]
    .join("\n");
    let said = say(&client, &calls).await;
    assert!(said.contains("sentinel-result") && said.contains("sentinel-env-value"), "{said}");
    let session = client.create_session().await;
    client.say_streaming(&session, &calls).await.expect("a stream").collect().await;
    say(&client, r#"/one_die {"sentinel-name": 1}"#).await;
    let told = scene.operator().get("/admin/runtime").await.expect(200).text
        + &scene.operator().get("/health/ready").await.text
        + &scene.operator().get("/admin/config").await.expect(200).text;
    assert!(!told.contains("sentinel"), "{told}");
    // The last one to be answered is the last one to be written.
    scene.client.with_header("x-request-id", "the-last-one").get("/").await.expect(200);
    assert_eventually!(scene.service.log_text().contains("the-last-one"), SOON);
    let log = scene.service.log_text();
    let leaks: Vec<&str> = log.lines().filter(|line| line.contains("sentinel")).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(log.contains("tool_called") && log.contains("mcp_down") && log.contains("mcp_ready"));
    assert!(KEY.contains("sentinel") && TOKEN.contains("sentinel"));
}

#[tokio::test]
async fn stderr_of_servers_is_logged_when_the_operator_wants_it_and_the_start_warns() {
    let servers = Servers::new()
        .scripted("one", &["--say", "began with key-of-one-0123 and went on"])
        .with("env", json!({"ITS_KEY": "key-of-one-0123"}));
    // What the server says is an argument as well, and arguments are taken out: here a file says it.
    let script = "cat words >&2; exec \"$@\"";
    let servers = servers.entry(
        "two",
        json!({"command": "sh", "args": ["-c", script, "sh", python(), scripted_server()], "env": {"ITS_KEY": "key-of-two-0123"}}),
    );
    let words = "it began with key-of-two-0123 and went on\n";
    let launch = servers.given_to(program()).file("words", words).env("MCP_LOG_STDERR", "true");
    let service = Scene::over(Upstream::answering(obey).await, launch).await.service;
    let line = service.wait_for_log(|line| line["event"] == "mcp_stderr" && line["server"] == "two").await;
    assert_eq!(line["line"], "it began with *** and went on");
    let line = service.wait_for_log(|line| line["event"] == "mcp_stderr" && line["server"] == "one").await;
    assert!(!line.to_string().contains("key-of-one"), "{line}");
    let warned = |line: &Value| {
        line["level"] == "WARNING" && line["message"].as_str().is_some_and(|text| text.contains("MCP_LOG_STDERR"))
    };
    service.wait_for_log(warned).await;
}
