//! Tool calls in a stream of events.

use chat_test_support::{Event, Reply, mcp::Servers};
use serde_json::{Value, json};

use crate::scene::Scene;

#[tokio::test]
async fn tools_are_told_of_as_they_start_and_end_between_the_texts() {
    let servers = Servers::new().scripted("one", &[]).scripted("two", &["--only", "fail"]);
    let scene = Scene::of(&servers).await;
    let session = scene.client.create_session().await;
    let calls = [("one_echo", r#"{"text": "a\nb"}"#), ("two_fail", ""), ("nobody", "{broken")];
    scene.upstream.push(Reply::tool_calls(calls).with_text("Let me look. "));
    let events = scene.client.say_streaming(&session, "look").await.expect("a stream").collect().await;

    let texts = |part: &[Event]| -> String {
        let deltas = part.iter().filter(|event| event.event == "message.delta");
        deltas.map(|event| event.data["content"].as_str().expect("a text")).collect()
    };
    let first = events.iter().position(|event| event.event == "tool.started").expect("a tool");
    let last = events.iter().rposition(|event| event.event == "tool.finished").expect("a tool");
    assert_eq!(texts(&events[..first]), "Let me look. ");
    assert_eq!(texts(&events[first..last]), "");
    let completed = &events.last().expect("events").data["message"];
    assert_eq!(texts(&events[last..]), completed["content"].as_str().expect("a text"), "the last round's");

    let started: Vec<&Event> = events[first..].iter().filter(|event| event.event == "tool.started").collect();
    let ids: Vec<&Value> = started.iter().map(|event| &event.data["call_id"]).collect();
    let expected = [
        json!({"call_id": ids[0], "server": "one", "tool": "echo", "arguments": {"text": "a\nb"}}),
        json!({"call_id": ids[1], "server": "two", "tool": "fail", "arguments": {}}),
        json!({"call_id": ids[2], "server": "", "tool": "nobody", "arguments": "{broken"}),
    ];
    assert_eq!(started.iter().map(|event| event.data.clone()).collect::<Vec<_>>(), expected);
    assert!(ids.iter().all(|id| id.as_str().is_some_and(|id| !id.is_empty())), "{ids:?}");

    // In whatever order they end.
    let finished = |id: &Value| {
        let mut its = events.iter().filter(|event| event.event == "tool.finished" && event.data["call_id"] == *id);
        let only = its.next().expect("it has ended").data.clone();
        assert!(its.next().is_none(), "{id} ended twice");
        assert!(only["duration_ms"].is_u64(), "{only}");
        only
    };
    for (index, (server, tool, is_error)) in
        [("one", "echo", false), ("two", "fail", true), ("", "nobody", true)].into_iter().enumerate()
    {
        let told = finished(ids[index]);
        let took = &told["duration_ms"];
        let expected =
            json!({"call_id": ids[index], "server": server, "tool": tool, "is_error": is_error, "duration_ms": took});
        assert_eq!(told, expected);
        assert_eq!(completed["metadata"]["tool_calls"][index]["tool"], tool);
    }
    let numbers: Vec<u64> = events.iter().map(|event| event.id.parse().expect("a number")).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}
