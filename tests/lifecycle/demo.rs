//! The demo, used as its banner says.

use std::{process::Stdio, time::Duration};

use chat_test_support::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::common::SOON;

/// Reads until the banner is complete.
async fn banner(stdout: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut lines = BufReader::new(stdout).lines();
    let mut banner = String::new();
    let reading = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            banner.push_str(&line);
            banner.push('\n');
            if line.contains("Ctrl-C") {
                return;
            }
        }
    };
    timeout(SOON, reading).await.expect("the banner comes at once");
    banner
}

/// What stands behind a label of the banner.
fn command<'a>(banner: &'a str, label: &str) -> &'a str {
    let line = banner.lines().find_map(|line| line.trim_start().strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label:?} in:\n{banner}")).trim()
}

async fn bash(script: &str) -> String {
    let running = Command::new("bash").args(["-c", script]).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(SOON, running).await.expect("it ends").expect("bash is there");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test]
async fn the_banners_lines_work_as_they_are() {
    let folder = TempDir::new();
    // Nothing is set: no key, and no address either.
    let mut demo = Command::new(env!("CARGO_BIN_EXE_chat-agent"))
        .args(["demo", "--port", "0"])
        .env_clear()
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let banner = banner(demo.stdout.take().expect("piped")).await;
    let start = command(&banner, "Start a session:");
    assert!(start.contains("http://127.0.0.1:"), "it shows itself to this machine only:\n{banner}");

    for (label, title) in [("Chat:", "chat"), ("Watch it work:", "metrics")] {
        let page = bash(&format!("curl -s {}", command(&banner, label))).await;
        assert!(page.contains(&format!("assets/{title}.js")), "{page:.200}");
    }
    let docs = bash(&format!("curl -s {}", command(&banner, "Read the API:"))).await;
    assert!(docs.contains("<html"), "{docs:.200}");

    let say = command(&banner, "Say something:");
    let watch = command(&banner, "Watch it come:");
    let said = bash(&format!("{start}\n{say}\necho\necho ---\n{watch}")).await;
    let (answer, events) = said.split_once("\n---\n").expect("both ran");
    let answer: serde_json::Value = serde_json::from_str(answer.trim()).unwrap_or_else(|_| panic!("{answer}"));
    assert_eq!(answer["message"]["role"], "assistant");
    assert!(answer["message"]["content"].as_str().is_some_and(|content| !content.is_empty()));
    let names: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!((names.first(), names.last()), (Some(&"message.started"), Some(&"message.completed")), "{events}");
    assert!(names.iter().filter(|name| **name == "message.delta").count() > 1, "it comes in pieces: {events}");
    // The second line goes on in the session of the first.
    assert!(events.contains("Hello!"), "{events}");

    // Ctrl-C ends it.
    bash(&format!("kill -s INT {}", demo.id().expect("it runs"))).await;
    let status = timeout(Duration::from_secs(15), demo.wait()).await.expect("it ends").expect("a child");
    assert!(status.success());
}
