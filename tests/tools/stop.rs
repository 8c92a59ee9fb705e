//! The end of a service with tools.

use std::time::Duration;

use chat_test_support::{assert_eventually, mcp::Servers};
use tokio::net::TcpStream;

use crate::{
    processes::{descendants, is_alive},
    scene::{SOON, Scene},
};

#[tokio::test]
async fn a_signal_ends_the_service_and_all_its_processes_in_order() {
    let servers = Servers::new()
        .scripted("polite", &[])
        .scripted("stubborn", &["--grandchild", "--deaf"])
        .scripted("away", &["--silent"]);
    let mut scene = Scene::with(&servers, &[("MCP_START_TIMEOUT_SECONDS", "1")]).await;
    assert_eventually!(scene.is_ready("polite").await && scene.is_ready("stubborn").await, SOON);
    scene.ask("/polite_echo {}\n/stubborn_echo {}").await;
    // Three servers, a grandchild and the guard.
    assert_eventually!(descendants(scene.service.pid()).len() == 5, SOON);
    let processes = descendants(scene.service.pid());
    let exit = scene.service.terminate().await;
    assert!(exit.status.success() && exit.took < Duration::from_secs(10), "{exit:?}");
    let left: Vec<_> = processes.iter().filter(|&&pid| is_alive(pid)).collect();
    assert!(left.is_empty(), "{left:?} of {processes:?}");
    let stopped = scene.service.wait_for_log(|line| line["event"] == "stopped").await;
    assert_eq!(stopped["level"], "INFO", "{stopped}");
}

#[tokio::test]
async fn a_turn_that_is_using_a_tool_is_finished_first() {
    let servers = Servers::new().scripted("one", &[]);
    let mut scene = Scene::with(&servers, &[("SHUTDOWN_GRACE_SECONDS", "18")]).await;
    let session = scene.client.create_session().await;
    let turn = scene.client.say(&session, "/one_slow {\"until\": \"go-on\"}\n/one_echo {\"text\": \"x\"}");
    let address = scene.service.base_url().strip_prefix("http://").expect("a URL").to_owned();
    let ending = async {
        assert_eventually!(scene.journal("one", "call slow").len() == 1, SOON);
        scene.service.signal("TERM");
        // Whoever comes now is too late.
        assert_eventually!(TcpStream::connect(&address).await.is_err(), SOON);
        scene.touch("go-on");
    };
    let (answer, ()) = tokio::join!(turn, ending);
    assert_eq!(answer.expect(200).content(), "at last\nx");
    let exit = scene.service.wait().await;
    assert!(exit.status.success(), "{exit:?}");
    assert!(!scene.pids("one").iter().any(|&pid| is_alive(pid)));
}
