//! What servers do wrong, as a turn sees it.

use std::{collections::BTreeSet, time::Instant};

use chat_test_support::{assert_eventually, mcp::Servers};
use serde_json::{Value, json};

use crate::{
    processes::{is_alive, kill},
    scene::{AT_ONCE, SOON, Scene, results, tool_calls},
};

#[tokio::test]
async fn a_server_that_dies_in_a_call_costs_that_call_only() {
    let scene = Scene::of(&Servers::new().scripted("one", &[]).scripted("two", &[])).await;
    let answer = scene.ask("/one_die {}\n/two_echo {\"text\": \"beside\"}").await;
    let calls = tool_calls(&answer);
    assert_eq!((&calls[0]["is_error"], &calls[1]["is_error"]), (&json!(true), &json!(false)));
    assert!(answer.content().contains("whether the tool did its work is not known"), "{}", answer.text);
    assert!(answer.content().ends_with("\nbeside"), "{}", answer.text);
    assert_eq!(scene.journal("one", "call die").len(), 1, "it is not repeated");
    assert_eq!(scene.call("one_echo", &json!({"text": "back"})).await, ("back".to_owned(), false));
}

#[tokio::test]
async fn a_server_that_dies_and_leaves_a_child_with_its_pipes_is_missed_at_once() {
    let scene = Scene::of(&Servers::new().scripted("one", &["--grandchild"])).await;
    scene.ask("/one_echo {}").await;
    let began = Instant::now();
    let (said, is_error) = scene.call("one_die", &json!({})).await;
    assert!(is_error && said.contains("whether the tool did its work is not known"), "{said}");
    assert_eq!(scene.call("one_echo", &json!({"text": "back"})).await, ("back".to_owned(), false));
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_dies_between_turns_is_not_missed() {
    let scene = Scene::of(&Servers::new().scripted("one", &[])).await;
    scene.ask("/one_echo {}").await;
    let pid = scene.pids("one")[0];
    kill(pid);
    assert_eventually!(!is_alive(pid), SOON);
    let answer = scene.ask("/one_echo {\"text\": \"here\"}").await;
    assert_eq!((answer.content(), &tool_calls(&answer)[0]["is_error"]), ("here", &json!(false)));
    assert_eq!(answer.body["message"]["metadata"]["unavailable_servers"], Value::Null);
}

#[tokio::test]
async fn a_huge_result_is_cut_before_the_model_sees_it() {
    let scene = Scene::with(&Servers::new().scripted("one", &[]), &[("MCP_RESULT_MAX_BYTES", "10000")]).await;
    let answer = scene.ask("/one_big {\"bytes\": 50000000}\n/one_big {\"bytes\": 100}").await;
    let request = scene.upstream.last_request();
    let results = results(&request);
    assert!(
        results[0].ends_with("[cut: 10000 of 50000000 bytes]") && results[0].len() < 10_100,
        "{}",
        results[0].len()
    );
    assert_eq!(results[1].len(), 100, "what fits is whole");
    assert!(tool_calls(&answer).iter().all(|call| call["is_error"] == false), "a long answer is no error");
}

#[tokio::test]
async fn two_hundred_tools_and_some_that_cannot_be_used() {
    let long = "a-server-with-a-name-that-leaves-little-room-for-its-tools/واو";
    let servers = Servers::new()
        .scripted("one", &["--many", "200", "--bad-schemas"])
        .scripted(long.trim_end_matches("/واو"), &["--many", "3"])
        .entry(
            long,
            json!({"command": chat_test_support::mcp::python(), "args": [chat_test_support::mcp::scripted_server()]}),
        );
    let scene = Scene::of(&servers).await;
    assert_eq!(scene.call("one_tool_199", &json!({})).await, ("tool_199".to_owned(), false));
    let request = scene.upstream.last_request();
    let names = request.tool_names();
    assert_eq!(names.len(), 212 + 15 + 12);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "each of its own");
    let is_valid =
        |name: &str| name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    assert!(names.iter().all(|name| is_valid(name)), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with("_schema")), "{names:?}");
    for tool in request.body["tools"].as_array().expect("tools") {
        assert_eq!((&tool["type"], &tool["function"]["parameters"]["type"]), (&json!("function"), &json!("object")));
    }
    // Each name leads to its own server.
    let tools = request.body["tools"].as_array().expect("tools");
    let processes = tools.iter().filter(|tool| tool["function"]["description"] == "The tool process.");
    let processes: Vec<&str> = processes.filter_map(|tool| tool["function"]["name"].as_str()).collect();
    assert_eq!(processes.len(), 3, "{processes:?}");
    let calls: String = processes.iter().map(|name| format!("/{name} {{}}\n")).collect();
    let answer = scene.ask(&calls).await;
    let pids: BTreeSet<u64> = answer
        .content()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["pid"].as_u64().expect("a process id"))
        .collect();
    assert_eq!(pids.len(), 3, "{}", answer.text);
}

#[tokio::test]
async fn a_tool_that_a_server_adds_is_there_in_a_later_turn() {
    let scene = Scene::of(&Servers::new().scripted("one", &["--only", "change,new_1"])).await;
    scene.ask("/one_change {}").await;
    assert_eq!(scene.upstream.last_request().tool_names(), ["one_change"], "a turn's tools are the same to its end");
    assert_eventually!(scene.shown("one").await["tools"] == json!(["change", "new_1"]), SOON);
    assert_eq!(scene.call("one_new_1", &json!({})).await, ("new_1".to_owned(), false));
}
