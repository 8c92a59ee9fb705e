//! What servers do wrong, and what it costs: never more than that server's own tools.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_domain::{
    message::ToolOutcome,
    ports::tools::{Tool, ToolPort},
};
use chat_mcp::{Phase, Transport};
use chat_test_support::assert_eventually;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    processes::is_alive,
    scene::{PATIENCE, RESULT_MAX, Scene, command, config, entries, scripted, with_transport},
};

/// A server that is well, and one that is not: the first one's tools are there and work, the other's last error is told.
async fn beside_a_good_one(bad: chat_mcp::ServerConfig) -> String {
    let mut config = config(vec![scripted("good", &[]), bad]);
    config.handshake_timeout = Duration::from_secs(5);
    let scene = Scene::of(config);
    scene.tools.started(scene.clock.moment().plus(PATIENCE)).await;
    assert_eq!(scene.call("good_echo", json!({"text": "here"})).await, ToolOutcome::ok("here"));
    assert_eq!(scene.phase("bad"), Phase::Down);
    assert!(scene.functions().iter().all(|function| function.starts_with("good_")));
    let catalogue = scene.tools.catalogue();
    assert_eq!(catalogue.absent().iter().map(|absent| &*absent.name).collect::<Vec<_>>(), ["bad"]);
    scene.status("bad").last_error.expect("an error").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_binary() {
    let error = beside_a_good_one(command("bad", "no-such-command-anywhere", vec![])).await;
    assert_eq!(
        error,
        "the command no-such-command-anywhere was not found in PATH; in a container, use the image's target `tools`, which \
         has npx and uvx"
    );
    let error = beside_a_good_one(command("bad", "/no/such/command", vec![])).await;
    assert_eq!(error, "the command /no/such/command was not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_working_directory() {
    let transport =
        Transport::Stdio { command: "python3".into(), args: vec![], env: vec![], cwd: Some("/no/such/place".into()) };
    let error = beside_a_good_one(with_transport("bad", transport)).await;
    assert_eq!(error, "the working directory /no/such/place does not exist");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_exits_at_once() {
    let error = beside_a_good_one(scripted("bad", &["--exit", "7"])).await;
    assert_eq!(error, "it ended before the handshake was done (exit status: 7)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_prints_garbage() {
    let error = beside_a_good_one(scripted("bad", &["--garbage"])).await;
    assert_eq!(error, "it did not finish the handshake within 5 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_the_handshake() {
    let error = beside_a_good_one(scripted("bad", &["--silent"])).await;
    assert_eq!(error, "it did not finish the handshake within 5 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_lists_its_tools() {
    let error = beside_a_good_one(scripted("bad", &["--no-list"])).await;
    assert_eq!(error, "it did not finish the handshake within 5 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_the_handshake_and_quotes_a_secret() {
    let error = beside_a_good_one(scripted("bad", &["--refuse", "token-s3cr3t"])).await;
    assert_eq!(error, "the handshake failed: it answered with error -32600: ***");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_that_is_not_there() {
    let transport = Transport::Http { url: "http://127.0.0.1:1/mcp?key=s3cr3t".into(), headers: vec![] };
    let error = beside_a_good_one(with_transport("bad", transport)).await;
    assert_eq!(error, "the handshake failed: the connection was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_hangs_is_given_up_and_the_server_told() {
    let mut it = config(vec![]);
    let folder = chat_test_support::TempDir::new();
    let journal = folder.path().join("journal");
    it.servers.push(scripted("one", &["--journal", &journal.display().to_string()]));
    it.tool_timeout = Duration::from_millis(1_500);
    let scene = Scene::within(folder, it);
    scene.tools.started(scene.clock.moment().plus(PATIENCE)).await;
    let outcome = scene.call("one_hang", json!({})).await;
    assert_eq!(outcome, ToolOutcome::error("The tool did not answer within 1.5 s."));
    assert_eventually!(entries(&journal, "cancelled").len() == 1, PATIENCE);
    assert_eq!(scene.call("one_echo", json!({"text": "on"})).await, ToolOutcome::ok("on"));
    assert_eq!(entries(&journal, "start").len(), 1, "it was not started anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_has_its_servers_own_timeout() {
    let mut one = scripted("one", &[]);
    one.tool_timeout = Some(Duration::from_millis(200));
    let scene = Scene::started(vec![one]).await;
    let began = Instant::now();
    assert!(scene.call("one_hang", json!({})).await.is_error);
    assert!(began.elapsed() < PATIENCE / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_a_call_is_started_again_and_the_call_is_not_repeated() {
    let scene = journalled(&[]).await;
    let outcome = scene.call("one_die", json!({})).await;
    assert!(outcome.is_error && outcome.content.contains("whether the tool did its work is not known"), "{outcome:?}");
    assert_eq!(scene.call("one_echo", json!({"text": "back"})).await, ToolOutcome::ok("back"));
    assert_eq!(entries(&scene.journal(), "start").len(), 2);
    assert_eq!(entries(&scene.journal(), "call die").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_between_calls_is_not_missed() {
    let scene = journalled(&[]).await;
    for round in 1..=3 {
        let pid = entries(&scene.journal(), "start ").pop().expect("a pid");
        let killed = std::process::Command::new("kill").args(["-9", &pid]).status().expect("kill runs");
        assert!(killed.success());
        assert_eventually!(!is_alive(&pid), PATIENCE);
        // Its tools are still on offer, and a call waits for it to be back.
        assert_eq!(scene.call("one_echo", json!({"text": "x"})).await, ToolOutcome::ok("x"), "{round}");
        // A server that keeps dying is left alone for a while, which is not what this is about.
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_of_fifty_megabytes_is_cut() {
    let scene = Scene::started(vec![scripted("one", &[])]).await;
    let outcome = scene.call("one_big", json!({"bytes": 50_000_000})).await;
    assert!(!outcome.is_error && outcome.content.len() < RESULT_MAX + 100, "{:.100}", outcome.content);
    assert!(outcome.content.ends_with("of 50000000 bytes]"), "{}", &outcome.content[RESULT_MAX - 10..]);
    assert_eq!(scene.call("one_echo", json!({"text": "on"})).await, ToolOutcome::ok("on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_no_text_says_what_it_is() {
    let scene = Scene::started(vec![scripted("one", &[])]).await;
    let picture: Value = serde_json::from_str(&scene.call("one_pictures", json!({})).await.content).expect("JSON");
    assert_eq!((&picture["type"], &picture["mime_type"]), (&json!("image"), &json!("image/png")));
    assert_eq!(scene.call("one_structured", json!({})).await, ToolOutcome::ok(r#"{"answer":42}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_changes_its_tools_is_asked_again() {
    let scene = Scene::started(vec![scripted("one", &["--only", "change,echo,new_1"])]).await;
    assert_eq!(scene.functions(), ["one_echo", "one_change"]);
    assert_eq!(scene.call("one_change", json!({})).await, ToolOutcome::ok("changed"));
    assert_eventually!(scene.functions().contains(&"one_new_1".to_owned()), PATIENCE);
    assert_eq!(scene.call("one_new_1", json!({})).await, ToolOutcome::ok("new_1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_with_the_same_tool_name() {
    let scene = Scene::started(vec![
        scripted("one", &["--only", "echo,process"]),
        scripted("two", &["--only", "echo,process"]),
    ])
    .await;
    assert_eq!(scene.functions(), ["one_echo", "one_process", "two_echo", "two_process"]);
    let one = scene.call("one_process", json!({})).await;
    let two = scene.call("two_process", json!({})).await;
    assert!(!one.is_error && !two.is_error && one != two, "{one:?} {two:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_tools() {
    let scene = Scene::started(vec![scripted("one", &["--many", "200"])]).await;
    assert_eq!(scene.functions().len(), 212);
    assert_eq!(scene.call("one_tool_199", json!({})).await, ToolOutcome::ok("tool_199"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_schema_that_is_not_an_object_costs_that_tool_only() {
    let scene = Scene::started(vec![scripted("one", &["--bad-schemas", "--many", "60"])]).await;
    assert_eq!(scene.functions().len(), 72);
    assert!(!scene.functions().iter().any(|function| function.ends_with("_schema")));
    assert_eq!(scene.call("one_echo", json!({"text": "x"})).await, ToolOutcome::ok("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_not_allowed_does_not_exist() {
    let mut one = scripted("one", &[]);
    one.allowed_tools = Some(vec!["echo".into(), "not_there".into()]);
    let scene = Scene::started(vec![one]).await;
    assert_eq!(scene.functions(), ["one_echo"]);
    let forged = Tool { function: "one_fail".into(), name: "fail".into(), ..scene.tool("one_echo") };
    let outcome = scene.call_tool(&forged, json!({})).await;
    assert_eq!(outcome, ToolOutcome::error("There is no tool one_fail."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_start_is_waited_for_and_no_longer_than_allowed() {
    let mut it = config(vec![scripted("one", &["--start-after", "1"]), scripted("never", &["--silent"])]);
    it.start_timeout = Duration::from_secs(8);
    let scene = Scene::of(it);
    let began = Instant::now();
    scene.tools.started(scene.clock.moment().plus(PATIENCE)).await;
    let waited = began.elapsed();
    assert!((Duration::from_secs(7)..Duration::from_secs(15)).contains(&waited), "{waited:?}");
    assert_eq!((scene.phase("one"), scene.phase("never")), (Phase::Ready, Phase::Starting));
    assert_eq!(scene.tools.catalogue().absent().len(), 1);
    // Later turns have waited already.
    let began = Instant::now();
    scene.tools.started(scene.clock.moment().plus(PATIENCE)).await;
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_tried_again() {
    let folder = chat_test_support::TempDir::new();
    let script = folder.path().join("later.py");
    let python = command("late", "python3", vec![script.display().to_string().into()]);
    let scene = Scene::within(folder, config(vec![python]));
    scene.tools.started(scene.clock.moment().plus(PATIENCE)).await;
    assert_eq!(scene.phase("late"), Phase::Down);
    std::fs::copy(chat_test_support::mcp::scripted_server(), &script).expect("the script is written");
    assert_eventually!(scene.phase("late") == Phase::Ready, PATIENCE);
    assert_eq!(scene.call("late_echo", json!({"text": "x"})).await, ToolOutcome::ok("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_a_servers_bound_wait() {
    let mut one = scripted("one", &["--only", "slow,process"]);
    one.max_concurrent_calls = 2;
    let scene = Arc::new(Scene::started(vec![one]).await);
    let began = Instant::now();
    join_all((0..4).map(|_| scene.call("one_slow", json!({"seconds": 0.5})))).await;
    assert!(began.elapsed() >= Duration::from_millis(950), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_slows_nobody_who_does_not_use_it() {
    let scene = Scene::started(vec![scripted("slow", &["--sequential"]), scripted("quick", &[])]).await;
    let slow = join_all((0..64).map(|_| scene.call("slow_slow", json!({"seconds": 600}))));
    let quick = async {
        let began = Instant::now();
        for _ in 0..50 {
            assert_eq!(scene.call("quick_echo", json!({"text": "x"})).await, ToolOutcome::ok("x"));
        }
        began.elapsed()
    };
    tokio::select! {
        _ = slow => panic!("the slow ones came first"),
        took = quick => assert!(took < Duration::from_secs(5), "{took:?}"),
    }
}

/// One server `one` that writes down what happens to it.
pub(crate) async fn journalled(args: &[&str]) -> Scene {
    let folder = chat_test_support::TempDir::new();
    let journal = folder.path().join("journal").display().to_string();
    let args: Vec<&str> = args.iter().copied().chain(["--journal", &journal]).collect();
    let scene = Scene::within(folder, config(vec![scripted("one", &args)]));
    scene.tools.started(scene.clock.moment().plus(PATIENCE)).await;
    scene
}
