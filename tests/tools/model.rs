//! What a model may ask for: the turn goes on.

use chat_test_support::{Reply, Upstream, mcp::Servers};
use serde_json::json;

use crate::scene::{Scene, program, results, told, tool_calls, untimed};

#[tokio::test]
async fn calls_of_one_answer_run_together_and_are_answered_in_their_order() {
    let servers = Servers::new().scripted("one", &["--meeting", "3"]).scripted("two", &[]);
    let scene = Scene::of(&servers).await;
    // Each of the meetings waits for the others; between them something that is over at once.
    let answer = scene.ask("/one_meet\n/two_echo {\"text\": \"a\"}\n/one_meet {}\n/one_meet {}").await;
    assert_eq!(answer.content(), "met\na\nmet\nmet");
    let meet = || told("one", "meet", json!({}), false);
    let expected = [meet(), told("two", "echo", json!({"text": "a"}), false), meet(), meet()];
    assert_eq!(untimed(tool_calls(&answer)), json!(expected));
    let request = scene.upstream.last_request();
    let sent = request.messages();
    for index in 0..4 {
        assert_eq!(sent[1]["tool_calls"][index]["id"], sent[2 + index]["tool_call_id"]);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_told_to_the_model_and_nothing_else_suffers() {
    let scene = Scene::of(&Servers::new().scripted("one", &[])).await;
    let calls = [
        ("one_echo", r#"{"text": "#),
        ("one_echo", r#"["text"]"#),
        ("one_echo", "5"),
        ("one_nothing", "{}"),
        ("echo", "{}"),
        ("one_echo", r#"{"text": "fine"}"#),
    ];
    scene.upstream.push(Reply::tool_calls(calls));
    let answer = scene.ask("do something").await;
    let request = scene.upstream.last_request();
    let results = results(&request);
    assert!(results[0].contains("not valid JSON"), "{results:?}");
    assert!(results[1..3].iter().all(|result| result.contains("must be a JSON object")), "{results:?}");
    assert_eq!(results[3..], [r#"There is no tool named "one_nothing"."#, r#"There is no tool named "echo"."#, "fine"]);
    let expected = [
        told("one", "echo", json!(r#"{"text":"#), true),
        told("one", "echo", json!(["text"]), true),
        told("one", "echo", json!(5), true),
        told("", "one_nothing", json!({}), true),
        told("", "echo", json!({}), true),
        told("one", "echo", json!({"text": "fine"}), false),
    ];
    assert_eq!(untimed(tool_calls(&answer)), json!(expected));
    assert_eq!(scene.journal("one", "call ").len(), 1, "the server was not bothered");
    // What the model wrote is sent back to it as it was, so that it sees its mistake.
    let sent = &request.messages()[1]["tool_calls"];
    assert_eq!(sent.as_array().map(Vec::len), Some(6), "{sent}");
}

#[tokio::test]
async fn a_failing_tool_is_the_models_to_deal_with() {
    let scene = Scene::of(&Servers::new().scripted("one", &[])).await;
    let answer = scene.ask("/one_fail {}").await;
    assert_eq!(answer.content(), "it did not work");
    assert_eq!(untimed(tool_calls(&answer)), json!([told("one", "fail", json!({}), true)]));
}

#[tokio::test]
async fn a_model_that_asks_for_ever_has_to_answer_with_its_last_step() {
    let model = Upstream::answering(|request| match request.body["tool_choice"] == "none" {
        true => Reply::text("enough"),
        false => Reply::tool_call("one_echo", &json!({"text": format!("{}", request.number)})).with_usage(10, 1),
    })
    .await;
    let servers = Servers::new().scripted("one", &[]);
    let scene = Scene::over(model, servers.given_to(program()).env("AGENT_MAX_STEPS", "4")).await;
    let answer = scene.ask("go on and on").await;
    assert_eq!(answer.content(), "enough");
    assert_eq!(tool_calls(&answer).len(), 3);
    // Three asked for a tool, and one answered: 10 and 1 each, 10 and 5 the last.
    assert_eq!(answer.body["usage"], json!({"prompt_tokens": 40, "completion_tokens": 8, "total_tokens": 48}));
    let requests = scene.upstream.requests();
    let choices: Vec<_> = requests.iter().map(|request| request.body["tool_choice"] == "none").collect();
    assert_eq!(choices, [false, false, false, true]);
    let seen: Vec<_> = requests.iter().map(results).collect();
    assert_eq!(seen, [vec![], vec!["1"], vec!["2"], vec!["3"]]);
    assert!(
        requests.iter().all(|request| !request.tool_names().is_empty()),
        "backends want to know of what they called"
    );
}
