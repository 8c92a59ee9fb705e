//! When the service is killed, nothing that it started is left.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use chat_test_support::{
    Service, assert_eventually,
    mcp::{Servers, everything_server, python, scripted_server},
};
use serde_json::json;

use crate::{
    processes::{descendants, guard_of, is_alive, kill},
    scene::{SOON, Scene},
};

/// How long anything may outlive the service.
const LAST_MOMENTS: Duration = Duration::from_secs(5);

/// Processes that a failing test is not to leave behind.
struct Processes(Vec<u32>);

impl Processes {
    fn of(service: &Service) -> Self {
        Self(descendants(service.pid()))
    }

    fn are_gone(&self) -> bool {
        !self.0.iter().any(|&pid| is_alive(pid))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for pid in self.0.iter().filter(|&&pid| is_alive(pid)) {
            // It fails for what has ended just now.
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// A service whose servers have answered, and all its processes: as many as that.
async fn with_processes(servers: &Servers, number: usize) -> (Scene, Processes) {
    let scene = Scene::with(servers, &[("MCP_START_TIMEOUT_SECONDS", "60")]).await;
    let answer = scene.ask("hi").await;
    assert_eq!(answer.body["message"]["metadata"]["unavailable_servers"], json!(null));
    let processes = Processes::of(&scene.service);
    assert_eq!(processes.0.len(), number, "{:?}", processes.0);
    (scene, processes)
}

async fn nothing_survives_a_kill(servers: Servers, number: usize) {
    let (mut scene, processes) = with_processes(&servers, number).await;
    scene.service.kill().await;
    assert_eventually!(processes.are_gone(), LAST_MOMENTS);
}

#[tokio::test]
async fn a_server_that_will_not_end_does_not_survive_us_nor_do_its_children() {
    let stubborn = Servers::new().scripted("one", &["--grandchild", "--deaf"]).scripted("two", &["--deaf"]);
    nothing_survives_a_kill(stubborn, 4).await;
}

#[tokio::test]
async fn a_server_behind_a_shell_does_not_survive_us() {
    // In the background a shell gives its children no stdin, unless it is told to.
    let script = format!(
        "exec 3<&0; {} {} --deaf --grandchild --journal one.journal <&3 & wait",
        python().display(),
        scripted_server().display()
    );
    let behind = Servers::new().entry("one", json!({"command": "sh", "args": ["-c", script]}));
    nothing_survives_a_kill(behind, 4).await;
}

#[tokio::test]
async fn a_server_of_npx_does_not_survive_us() {
    let script = format!("{} stdio; true", everything_server().display());
    let npx = Servers::new().entry("one", json!({"command": "sh", "args": ["-c", script]}));
    nothing_survives_a_kill(npx, 3).await;
}

#[tokio::test]
async fn a_service_killed_in_the_middle_of_calls_leaves_nothing() {
    let servers = Servers::new().scripted("one", &["--grandchild", "--deaf"]);
    let (mut scene, processes) = with_processes(&servers, 3).await;
    let session = scene.client.create_session().await;
    let client = scene.client.clone();
    let body = json!({"content": "/one_hang {}\n/one_hang {}"});
    let path = crate::scene::messages_of(&session);
    let mut turn = tokio::task::JoinSet::new();
    turn.spawn(async move { client.request(reqwest::Method::POST, &path).json(&body).send().await.is_err() });
    assert_eventually!(scene.journal("one", "call hang").len() == 2, SOON);
    scene.service.kill().await;
    assert_eventually!(processes.are_gone(), LAST_MOMENTS);
    assert_eq!(turn.join_all().await, [true], "nobody answered");
}

#[tokio::test]
async fn a_guard_that_was_killed_is_replaced_with_the_next_child() {
    let servers =
        Servers::new().scripted("one", &["--grandchild", "--deaf"]).scripted("two", &["--deaf", "--grandchild"]);
    let (mut scene, before) = with_processes(&servers, 5).await;
    let pid = scene.service.pid();
    let guard = guard_of(pid).expect("a guard");
    kill(guard);
    assert_eventually!(!is_alive(guard), SOON);
    let one = scene.pids("one");
    kill(one[0]);
    assert_eventually!(scene.journal("one", "start ").len() == 2, SOON);
    assert_eq!(scene.call("one_echo", &json!({"text": "again"})).await, ("again".to_owned(), false));
    assert_eventually!(guard_of(pid).is_some_and(|new| new != guard), SOON);
    assert!(!one.iter().any(|&pid| is_alive(pid)), "what the dead one had started is gone as well");
    let now = Processes::of(&scene.service);
    assert_eq!(now.0.len(), 5, "{:?}", now.0);
    // The new one also knows of the children from before its time.
    scene.service.kill().await;
    assert_eventually!(now.are_gone() && before.are_gone(), LAST_MOMENTS);
}
