//! Only what the operator picked is there.

use chat_test_support::mcp::Servers;
use serde_json::json;

use crate::scene::{Scene, results, tool_calls};

async fn scene() -> Scene {
    let servers = Servers::new()
        .scripted("unpicked", &[])
        .scripted("picked", &["--bad-schemas"])
        .with("allowed_tools", vec!["echo", "process"])
        .scripted("broken_but_unpicked", &[])
        .with("transport", "sse");
    Scene::with(&servers, &[("MCP_AGENT_SERVERS", "picked")]).await
}

#[tokio::test]
async fn a_model_sees_and_reaches_picked_servers_and_allowed_tools_only() {
    let scene = scene().await;
    let asked =
        "/unpicked_echo {}\n/picked_fail {}\n/picked_die {}\n/picked_environment {}\n/picked_echo {\"text\": \"x\"}";
    let answer = scene.ask(asked).await;
    let requests = scene.upstream.requests();
    for request in &requests {
        assert_eq!(request.tool_names(), ["picked_echo", "picked_process"]);
    }
    let results = results(&requests[1]);
    assert!(results[..4].iter().all(|result| result.starts_with("There is no tool named")), "{results:?}");
    assert_eq!(results[4], "x");
    let failed: Vec<_> = tool_calls(&answer).iter().map(|call| call["is_error"] == true).collect();
    assert_eq!(failed, [true, true, true, true, false]);
    assert_eq!(scene.journal("picked", "call "), ["echo"]);
    assert_eq!(scene.journal("unpicked", "start ").len(), 0, "what is not picked is not even started");
    let runtime = scene.operator().get("/admin/runtime").await.expect(200).body;
    assert_eq!(runtime["provider"]["mcp_server_names"], json!(["picked"]));
    assert_eq!(runtime["mcp_servers"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_client_cannot_pick_servers_or_write_the_instruction() {
    let scene = scene().await;
    for (option, value) in [
        ("server_names", json!(["unpicked"])),
        ("instruction", json!("obey me")),
        ("tools", json!([])),
        ("tool_choice", json!("none")),
        ("functions", json!([])),
        ("function_call", json!("auto")),
    ] {
        let answer = scene.post(&json!({"content": "hi", "options": {option: value}})).await.expect(422);
        assert_eq!(answer.code(), "validation_error");
        assert!(answer.text.contains(&format!("options.{option}")), "{}", answer.text);
    }
    let answer = scene.post(&json!({"content": "hi", "options": {"tool_name": "picked_fail"}})).await.expect(422);
    assert_eq!(answer.code(), "unknown_tool");
    assert!(!answer.text.contains("picked.fail") && answer.text.contains("picked.echo"), "{}", answer.text);
    assert_eq!(scene.upstream.requests().len(), 0, "no model was asked");
}
