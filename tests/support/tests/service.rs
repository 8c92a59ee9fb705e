//! Child processes, with a shell in the service's place.

use std::time::Duration;

use chat_test_support::Service;

const LISTENS: &str = r#"echo '{"event":"listening","address":"127.0.0.1:9"}' >&2"#;

fn shell(script: &str) -> chat_test_support::service::Launch {
    Service::launch("/bin/sh").arg("-c").arg(format!("{LISTENS}; {script}"))
}

#[tokio::test]
async fn learns_the_address_and_keeps_the_log() {
    let mut service =
        shell("echo plain >&2; cat file >&2; exec sleep 60").file("file", "{\"event\":\"read\"}\n").start().await;
    assert_eq!(service.base_url(), "http://127.0.0.1:9");
    service.wait_for_log(|line| line["event"] == "read").await;
    assert_eq!(service.logs()[1], "plain");
    assert!(service.is_running());
    assert!(service.terminate().await.took < Duration::from_secs(5));
    assert!(!service.is_running());
}

#[tokio::test]
async fn what_is_written_last_is_in_the_exit() {
    // What it has started writes on after its end: to whoever reads, the same as being behind.
    let script = "until [ -e go ]; do sleep 0.02; done; (sleep 0.3; echo last >&2) &";
    let mut service = shell(script).start().await;
    std::fs::write(service.folder().join("go"), "").expect("a file");
    let exit = service.wait().await;
    assert!(exit.stderr.ends_with("\nlast"), "{exit:?}");
}

#[tokio::test]
async fn the_environment_is_the_tests_own() {
    let exit = Service::launch("/usr/bin/env").env("A", "b").without_env("PORT").run().await;
    let lines = exit.stdout.lines().filter(|line| !line.starts_with("LLVM_"));
    assert_eq!(lines.collect::<Vec<_>>(), ["A=b", "HOST=127.0.0.1"]);
    assert!(exit.status.success());
}

#[tokio::test]
async fn a_crash_leaves_the_folder_for_the_next_start() {
    let launch = shell("echo x >> kept; exec sleep 60");
    let mut first = launch.clone().start().await;
    let folder = first.folder().to_owned();
    chat_test_support::assert_eventually!(folder.join("kept").exists(), Duration::from_secs(5));
    assert!(!first.kill().await.status.success());
    let second = launch.start().await;
    assert_eq!(second.folder(), folder);
    drop((first, second));
    assert!(!folder.exists());
}

#[tokio::test]
#[should_panic(expected = "ended before it listened")]
async fn a_start_that_fails_fails_the_test() {
    let _ = Service::launch("/bin/false").start().await;
}
