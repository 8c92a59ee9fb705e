//! Children that ask too much, tell too much or see too much, and faults of our own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use chat_domain::{
    message::ToolOutcome,
    ports::{Clock, Observer, tools::ToolPort},
};
use chat_local::system::{SystemClock, SystemRandom};
use chat_mcp::McpTools;
use chat_test_support::{TempDir, assert_eventually};
use serde_json::json;

use crate::{
    faults::journalled,
    scene::{PATIENCE, Scene, config, entries, scripted},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_on_and_reads_nothing_loses_its_connection() {
    let scene = Scene::started(vec![scripted("one", &["--flood-pings"])]).await;
    let asks_on = "it asks on without reading the answers";
    assert_eventually!(scene.status("one").last_error.as_deref() == Some(asks_on), PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_always_has_other_tools_is_asked_once_a_second() {
    let scene = journalled(&["--restless"]).await;
    let listed = || entries(&scene.journal(), "listed").len();
    assert_eventually!(listed() >= 2, PATIENCE);
    let (before, began) = (listed(), Instant::now());
    assert_eventually!(listed() >= before + 3, PATIENCE);
    let (more, seconds) = (listed() - before, began.elapsed().as_secs_f64());
    assert!(more as f64 <= seconds + 1.5, "{more} in {seconds} s");
    assert_eq!(scene.call("one_echo", json!({"text": "x"})).await, ToolOutcome::ok("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_with_is_told_without_its_secrets() {
    let scene = Scene::started(vec![scripted("one", &["--refuse-calls=token-s3cr3t"])]).await;
    let outcome = scene.call("one_echo", json!({})).await;
    assert_eq!(outcome, ToolOutcome::error("The server one refused the call: ***"));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_child_cannot_look_into_us() {
    use rustix::process::{DumpableBehavior, dumpable_behavior, geteuid};
    let scene = journalled(&["--peep"]).await;
    assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    // Root's children are root, who may look into everything.
    assert!(geteuid().is_root() || entries(&scene.journal(), "parent ") == ["closed"]);
}

/// Fails the first time that a server is ready.
#[derive(Default)]
struct Faulty(AtomicBool);

impl Observer for Faulty {
    fn tool_server(&self, _server: &str, ready: bool) {
        assert!(!ready || self.0.swap(true, Ordering::Relaxed), "a fault, which this test wants");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_ours_costs_a_server_no_more_than_its_connection() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let it = config(vec![scripted("one", &[])]);
    let tools = McpTools::start(it, clock.clone(), Arc::new(SystemRandom), Arc::new(Faulty::default()));
    let scene = Scene { tools: Arc::new(tools.expect("the port starts")), clock, folder: TempDir::new() };
    assert_eventually!(!scene.tools.catalogue().tools().is_empty(), PATIENCE);
    assert_eq!(scene.call("one_echo", json!({"text": "x"})).await, ToolOutcome::ok("x"));
    let error = scene.status("one").last_error.expect("an error").to_string();
    assert_eq!(error, "a fault of the client; see the log");
}
