//! `options.tool_name`: the client says which tool comes first.

use chat_test_support::{Answer, assert_eventually, mcp::Servers};
use serde_json::{Value, json};

use crate::{
    processes::kill,
    scene::{SOON, Scene},
};

async fn force(scene: &Scene, tool: &str) -> Answer {
    scene.post(&json!({"content": "/one_echo {\"text\": \"x\"}", "options": {"tool_name": tool}})).await
}

fn servers() -> Servers {
    Servers::new()
        .scripted("one", &["--only", "echo,process"])
        .scripted("two", &["--only", "echo,structured", "--not-while", "two-is-away"])
}

#[tokio::test]
async fn a_tool_is_forced_by_each_of_its_names_and_only_at_first() {
    let scene = Scene::of(&servers()).await;
    for (name, function) in [
        ("process", "one_process"),
        ("structured", "two_structured"),
        ("one.echo", "one_echo"),
        ("two.echo", "two_echo"),
        ("two_echo", "two_echo"),
        ("one_process", "one_process"),
    ] {
        let before = scene.upstream.requests().len();
        force(&scene, name).await.expect(200);
        let requests = scene.upstream.requests();
        let [first, second] = &requests[before..] else { panic!("{} requests", requests.len() - before) };
        assert_eq!(first.body["tool_choice"], json!({"type": "function", "function": {"name": function}}), "{name}");
        assert!(second.body["tool_choice"] == "auto" || second.body["tool_choice"] == Value::Null, "{name}");
        assert!(first.body.get("tool_name").is_none(), "it is ours, not the backend's");
    }
}

#[tokio::test]
async fn a_tool_that_nobody_has_is_refused_with_those_there_are() {
    let scene = Scene::of(&servers()).await;
    for name in ["nothing", "three.echo", "one.structured", "one.echo.x", ""] {
        let answer = force(&scene, name).await.expect(422);
        if name.is_empty() {
            continue;
        }
        assert_eq!(answer.code(), "unknown_tool");
        for known in ["one.echo", "one.process", "two.echo", "two.structured"] {
            assert!(answer.text.contains(known), "{known} in {}", answer.text);
        }
    }
    assert_eq!(scene.upstream.requests().len(), 0, "no model was asked");
}

#[tokio::test]
async fn a_name_that_two_servers_have_is_refused_with_both() {
    let scene = Scene::of(&servers()).await;
    let answer = force(&scene, "echo").await.expect(422);
    assert!(answer.text.contains("one.echo") && answer.text.contains("two.echo"), "{}", answer.text);
    assert!(!answer.text.contains("process"), "{}", answer.text);
    assert_eq!(scene.upstream.requests().len(), 0, "no model was asked");
}

#[tokio::test]
async fn a_tool_whose_server_is_down_is_an_error_of_its_own() {
    let scene = Scene::of(&servers()).await;
    assert_eventually!(scene.is_ready("two").await, SOON);
    scene.touch("two-is-away");
    kill(scene.pids("two")[0]);
    assert_eventually!(scene.shown("two").await["status"] == "down", SOON);
    for name in ["structured", "two.structured", "two_echo"] {
        let answer = force(&scene, name).await.expect(502);
        assert_eq!(answer.code(), "tool_error", "{}", answer.text);
    }
    // The other server's is not ambiguous any more.
    force(&scene, "echo").await.expect(200);
    assert_eq!(scene.upstream.requests().len(), 2);
}
