//! Children: what they see of us, and that none is left behind.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use chat_domain::{message::ToolOutcome, ports::tools::ToolPort};
use chat_mcp::Transport;
use chat_test_support::assert_eventually;
use serde_json::{Value, json};

use crate::{
    faults::journalled,
    scene::{PATIENCE, Scene, entries, scripted},
};

/// Whether a process is there and not only waiting to be reaped.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_sees_what_it_is_given_and_nothing_else() {
    let mut one = scripted("one", &[]);
    if let Transport::Stdio { env, .. } = &mut one.transport {
        env.push(("OWN_KEY".into(), "own value".into()));
    }
    let scene = Scene::started(vec![one]).await;
    let seen: Value = serde_json::from_str(&scene.call("one_environment", json!({})).await.content).expect("JSON");
    assert_eq!(seen["OWN_KEY"], "own value");
    let names: BTreeSet<&str> = seen.as_object().expect("an object").keys().map(String::as_str).collect();
    // Python adds LC_CTYPE by itself.
    let allowed = BTreeSet::from(["PATH", "LANG", "OWN_KEY", "LC_CTYPE"]);
    assert!(names.is_subset(&allowed), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_a_child_and_its_children() {
    let scene = journalled(&["--grandchild"]).await;
    let pids = pids(&scene);
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
    scene.tools.stop().await;
    assert!(!pids.iter().any(|pid| is_alive(pid)), "{pids:?}");
    assert!(scene.tools.catalogue().tools().is_empty() || scene.call("one_echo", json!({})).await.is_error);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_a_child_that_will_not_end() {
    let scene = journalled(&["--deaf"]).await;
    let began = Instant::now();
    scene.tools.stop().await;
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(!pids(&scene).iter().any(|pid| is_alive(pid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_port_ends_its_children() {
    let scene = journalled(&["--grandchild", "--deaf"]).await;
    let pids = pids(&scene);
    let Scene { tools, folder: _folder, .. } = scene;
    drop(tools);
    assert_eventually!(!pids.iter().any(|pid| is_alive(pid)), PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_dies_leaves_no_grandchild_behind() {
    let scene = journalled(&["--grandchild"]).await;
    let before = pids(&scene);
    assert!(scene.call("one_die", json!({})).await.is_error);
    assert_eventually!(!before.iter().any(|pid| is_alive(pid)), PATIENCE);
    assert_eq!(scene.call("one_echo", json!({"text": "x"})).await, ToolOutcome::ok("x"));
}

/// The child's and the grandchild's, of all starts.
fn pids(scene: &Scene) -> Vec<String> {
    let journal = scene.journal();
    [entries(&journal, "start "), entries(&journal, "grandchild ")].concat()
}
