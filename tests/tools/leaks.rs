//! That turns leave nothing behind.

use chat_test_support::{assert_eventually, mcp::Servers};

use crate::{
    processes::{descendants, open_files},
    scene::{SOON, Scene},
};

/// Turns with tools that answer, fail, hang and are unknown; before and after them the same is open.
async fn turns_leave_nothing_open(turns: usize) {
    let servers = Servers::new().scripted("one", &[]).scripted("two", &["--only", "echo,hang"]);
    let scene = Scene::with(&servers, &[("MCP_TOOL_TIMEOUT_SECONDS", "0.2")]).await;
    let pid = scene.service.pid();
    let session = scene.client.create_session().await;
    let take = async |turns: usize| {
        for turn in 0..turns {
            let calls = match turn % 50 {
                0 => "/one_echo {}\n/two_hang {}\n/one_nothing {}",
                _ => "/one_echo {\"text\": \"a\"}\n/two_echo {}\n/one_fail {}",
            };
            scene.client.say(&session, calls).await.expect(200);
        }
    };
    take(20).await;
    let (children, (sockets, files)) = (descendants(pid), open_files(pid));
    assert_eq!(children.len(), 3, "two servers and the guard");
    take(turns).await;
    assert_eventually!(open_files(pid).1 == files, SOON);
    // Connections are kept for the next request, and now and then that comes before the last one is free again.
    assert!(open_files(pid).0 <= sockets + 4, "{} connections, and {sockets} before", open_files(pid).0);
    assert_eq!(descendants(pid), children, "the same processes");
}

#[tokio::test]
async fn two_hundred_turns_leave_no_process_and_no_file_open() {
    turns_leave_nothing_open(200).await;
}

#[tokio::test]
#[ignore = "takes a quarter of a minute; `make check-full` runs it"]
async fn a_thousand_turns_leave_no_process_and_no_file_open() {
    turns_leave_nothing_open(1_000).await;
}
