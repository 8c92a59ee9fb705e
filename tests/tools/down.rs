//! Servers that are down, and what everybody is told of it.

use chat_test_support::{Answer, Upstream, assert_eventually, mcp::Servers};
use serde_json::{Value, json};

use crate::{
    processes::kill,
    scene::{SOON, Scene, obey, program, tool_calls},
};

/// One that is well, and one that is away until its file is taken away.
async fn one_away(is_required: bool) -> Scene {
    let servers = Servers::new()
        .scripted("well", &["--only", "echo,fail"])
        .scripted("away", &["--only", "echo", "--not-while", "away"])
        .with("required", is_required);
    let launch = servers.given_to(program()).file("away", "");
    Scene::over(Upstream::answering(obey).await, launch).await
}

fn come_back(scene: &Scene) {
    std::fs::remove_file(scene.file("away")).expect("it was away");
}

async fn readiness(scene: &Scene) -> (u16, Value) {
    let answer = scene.client.get("/health/ready").await;
    assert!(answer.body.get("checks").is_none(), "checks are the operator's");
    (answer.status, answer.body["status"].clone())
}

async fn check(scene: &Scene, server: &str) -> Value {
    let answer = scene.operator().get("/health/ready").await;
    let name = format!("mcp:{server}");
    let checks = answer.body["checks"].as_array().expect("checks").clone();
    checks.into_iter().find(|check| check["name"] == name).expect("a check of the server")
}

fn unavailable(answer: &Answer) -> &Value {
    &answer.body["message"]["metadata"]["unavailable_servers"]
}

#[tokio::test]
async fn turns_go_on_without_a_server_and_say_so_until_it_is_back() {
    let scene = one_away(false).await;
    let session = scene.client.create_session().await;
    let answer = scene.client.say(&session, "/away_echo {}\n/well_echo {\"text\": \"x\"}").await.expect(200);
    assert_eq!(unavailable(&answer), &json!(["away"]));
    assert_eq!(answer.content(), "There is no tool named \"away_echo\".\nx");
    assert_eq!(scene.upstream.last_request().tool_names(), ["well_echo", "well_fail"]);
    // Also where no tool was called, and in the memory.
    let answer = scene.client.say(&session, "hi").await.expect(200);
    assert_eq!(answer.body["message"]["metadata"], json!({"finish_reason": "stop", "unavailable_servers": ["away"]}));
    let history = scene.client.get(&format!("/sessions/{session}")).await.expect(200).body["history"].clone();
    assert_eq!(history[1]["metadata"]["unavailable_servers"], json!(["away"]));
    assert_eq!(history[0]["metadata"], Value::Null);

    assert_eq!(readiness(&scene).await, (200, json!("degraded")));
    let down = check(&scene, "away").await;
    assert_eq!(down["state"], "degraded", "{down}");
    assert!(down["last_error"].as_str().is_some_and(|error| error.contains("exit status: 9")), "{down}");
    assert!(down["since"].is_string(), "{down}");
    assert_eq!(check(&scene, "well").await["state"], "up");
    let shown = scene.shown("away").await;
    assert_eq!((&shown["status"], &shown["tools"]), (&json!("down"), &json!([])));
    assert_eq!(shown["last_error"], "it ended before the handshake was done (exit status: 9)");
    let well = scene.shown("well").await;
    let expected =
        json!({"name": "well", "transport": "stdio", "status": "ready", "tools": ["echo", "fail"], "last_error": null});
    assert_eq!(well, expected);
    let runtime = scene.operator().get("/admin/runtime").await.expect(200).body;
    let provider = &runtime["provider"];
    assert_eq!((&provider["mcp_servers_configured"], &provider["mcp_servers_active"]), (&json!(2), &json!(1)));

    come_back(&scene);
    assert_eventually!(readiness(&scene).await == (200, json!("ready")), SOON);
    let answer = scene.client.say(&session, "/away_echo {\"text\": \"back\"}").await.expect(200);
    assert_eq!((answer.content(), unavailable(&answer)), ("back", &Value::Null));
    assert_eq!(check(&scene, "away").await["state"], "up");
    let shown = scene.shown("away").await;
    assert_eq!((&shown["status"], &shown["tools"]), (&json!("ready"), &json!(["echo"])));
}

#[tokio::test]
async fn no_turn_goes_on_without_a_required_server() {
    let scene = one_away(true).await;
    let session = scene.client.create_session().await;
    for streamed in [false, true] {
        let answer = match streamed {
            false => scene.client.say(&session, "hi").await,
            true => *scene.client.say_streaming(&session, "hi").await.expect_err("an ordinary error"),
        };
        let answer = answer.expect(503);
        assert_eq!(answer.code(), "tools_unavailable");
    }
    assert_eq!(scene.upstream.requests().len(), 0, "no model was asked");
    assert_eq!(scene.remembered(&session).await, 0);
    assert_eq!(readiness(&scene).await, (503, json!("unavailable")));
    assert_eq!(check(&scene, "away").await["state"], "down");

    come_back(&scene);
    assert_eventually!(readiness(&scene).await == (200, json!("ready")), SOON);
    scene.client.say(&session, "hi").await.expect(200);

    // And it can go again.
    scene.touch("away");
    kill(*scene.pids("away").last().expect("it runs"));
    assert_eventually!(readiness(&scene).await == (503, json!("unavailable")), SOON);
    assert_eq!(scene.client.say(&session, "hi").await.expect(503).code(), "tools_unavailable");
    assert_eq!(scene.shown("away").await["tools"], json!(["echo"]), "what it had is known");
}

#[tokio::test]
async fn calls_failures_and_readiness_are_counted_by_server() {
    let scene = one_away(false).await;
    let answer = scene.ask("/well_echo {}\n/well_echo {}\n/well_fail {}\n/made_up {}").await;
    assert_eq!(tool_calls(&answer).len(), 4);
    assert_eq!(scene.client.get("/metrics").await.expect(200).body["tool_calls_total"], 4);
    let metrics = scene.client.with_header("accept", "text/plain").get("/metrics").await.expect(200).text;
    for line in [
        r#"chat_tool_duration_seconds_count{server="well"} 3"#,
        r#"chat_tool_duration_seconds_bucket{server="well",le="+Inf"} 3"#,
        r#"chat_tool_failures_total{server="well"} 1"#,
        r#"chat_tool_duration_seconds_count{server="unknown"} 1"#,
        r#"chat_tool_failures_total{server="unknown"} 1"#,
        r#"chat_tool_server_ready{server="well"} 1"#,
        r#"chat_tool_server_ready{server="away"} 0"#,
        "# TYPE chat_tool_duration_seconds histogram",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line} is missing in\n{metrics}");
    }
    assert!(!metrics.contains("made_up"), "what a model makes up is no label");
}
