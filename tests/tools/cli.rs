//! `chat-agent mcp`: a configuration tried by hand.

use chat_test_support::{
    Exit, TempDir,
    mcp::{Servers, fetch_server, filesystem_server},
};

use crate::scene::{AT_ONCE, program};

async fn mcp(servers: &Servers, args: &[&str]) -> Exit {
    let launch = servers.given_to(program()).arg("mcp");
    args.iter().fold(launch, |launch, arg| launch.arg(arg)).run().await
}

#[tokio::test]
async fn real_servers_are_listed_and_a_broken_one_is_a_failure() {
    let files = TempDir::new();
    let good = Servers::new()
        .command("filesystem", &filesystem_server(), &[&files.path().display().to_string()])
        .command("fetch", &fetch_server(), &[]);
    let exit = mcp(&good, &["list"]).await;
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    assert!(
        exit.stdout.contains("filesystem (stdio): ready, ") && exit.stdout.contains("fetch (stdio): ready, 1 tool")
    );
    assert!(exit.stdout.lines().any(|line| line.trim_start().starts_with("read_text_file  ")), "{}", exit.stdout);
    assert_eq!(exit.stderr, "", "what is well has nothing to say");

    let bad = Servers::new()
        .command("fetch", &fetch_server(), &[])
        .command("broken", "no-such-command".as_ref(), &[])
        .scripted("ending", &["--exit", "3"]);
    let exit = mcp(&bad, &["list"]).await;
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    for words in [
        "fetch (stdio): ready",
        "broken (stdio): down: the command no-such-command was not found in PATH",
        "ending (stdio): down: it ended before the handshake was done (exit status: 3)",
    ] {
        assert!(exit.stdout.contains(words), "{words} in {}", exit.stdout);
    }
    assert!(exit.stderr.contains("MCP_LOG_STDERR=true"), "{}", exit.stderr);
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_printed() {
    let servers = Servers::new().scripted("one", &[]).scripted("never", &["--silent"]);
    let exit = mcp(&servers, &["call", "one", "echo", r#"{"text": "سلام"}"#]).await;
    assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(0), "سلام\n"), "{exit:?}");
    assert!(exit.took < AT_ONCE, "other servers are not waited for: {:?}", exit.took);
    let exit = mcp(&servers, &["call", "one", "structured"]).await;
    assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(0), "{\"answer\":42}\n"), "{exit:?}");
    let exit = mcp(&servers, &["call", "one", "fail", "{}"]).await;
    assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(1), "it did not work\n"), "{exit:?}");
}

#[tokio::test]
async fn what_cannot_be_called_is_told_in_words() {
    let servers = Servers::new().scripted("one", &["--only", "echo,fail"]).scripted("away", &["--exit", "3"]);
    for (args, words) in [
        (["call", "two", "echo", "{}"], "there is no server two; configured are: one, away"),
        (["call", "one", "nothing", "{}"], "one has no tool nothing; it has: echo, fail"),
        (["call", "one", "echo", "{broken"], "the arguments are no JSON object"),
        (["call", "one", "echo", "[1]"], "the arguments are no JSON object"),
        (["call", "away", "echo", "{}"], "away cannot be talked to: it ended before the handshake was done"),
    ] {
        let exit = mcp(&servers, &args).await;
        assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(1), ""), "{args:?}: {exit:?}");
        assert!(exit.stderr.contains(words), "{words} in {}", exit.stderr);
    }
}

#[tokio::test]
async fn without_servers_it_says_how_to_have_some() {
    for args in [&["list"][..], &["call", "one", "echo"]] {
        let exit = mcp(&Servers::new(), args).await;
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains("MCP_AGENT_SERVERS") && exit.stderr.contains("MCP_SERVER_URL"), "{}", exit.stderr);
    }
}

#[tokio::test]
async fn no_process_outlives_the_command() {
    let servers = Servers::new().scripted("one", &["--grandchild", "--deaf"]);
    let launch = servers.given_to(program()).env("MCP_LOG_STDERR", "true");
    let exit = launch.clone().arg("mcp").arg("call").arg("one").arg("process").run().await;
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    let process: serde_json::Value = serde_json::from_str(&exit.stdout).expect("JSON");
    let pid = process["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id");
    assert!(!crate::processes::is_alive(pid));
}
