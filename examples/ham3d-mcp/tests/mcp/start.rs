//! Starting and ending.

use std::{process::Stdio, time::Duration};

use chat_test_support::MariaDb;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::common::{PATIENCE, binary, found, load, over_stdio, shop, variables};

/// The exit status, standard output and standard error of a start that fails, or ends at once.
async fn run(variables: Vec<(&'static str, String)>, arguments: &[&str]) -> (i32, String, String) {
    let output = binary(variables).args(arguments).stdin(Stdio::null()).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("an end").expect("the binary");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("a status"), text(output.stdout), text(output.stderr))
}

fn without(name: &str) -> Vec<(&'static str, String)> {
    variables(shop()).into_iter().filter(|(key, _)| *key != name).collect()
}

fn with(name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    without(name).into_iter().chain([(name, value.to_owned())]).collect()
}

#[tokio::test]
async fn each_missing_variable_by_its_sentence() {
    for name in ["HAM3D_DB_USER", "HAM3D_DB_NAME"] {
        let sentence = format!("Environment variable {name} must be configured for the ham3d server.\n");
        for variables in [without(name), with(name, ""), with(name, " \t")] {
            assert_eq!(run(variables, &[]).await, (2, String::new(), sentence.clone()));
        }
    }
    let (status, _, errors) = run(Vec::new(), &["--http", "127.0.0.1:0"]).await;
    assert_eq!(status, 2);
    assert_eq!(
        errors,
        "Environment variable HAM3D_DB_USER must be configured for the ham3d server.\n\
         Environment variable HAM3D_DB_NAME must be configured for the ham3d server.\n"
    );
}

#[tokio::test]
async fn bad_numbers_are_refused_without_being_shown() {
    let (status, output, errors) = run(with("HAM3D_DB_PORT", "hunter2"), &[]).await;
    assert_eq!((status, output.as_str()), (2, ""));
    assert_eq!(errors, "Environment variable HAM3D_DB_PORT must be a whole number from 1 to 65535.\n");
}

#[tokio::test]
async fn the_host_has_a_default() {
    let client = over_stdio(binary(without("HAM3D_DB_HOST"))).await;
    assert_ne!(found(&client, json!({})).await["total"], 0);
}

#[tokio::test]
async fn a_client_that_leaves_ends_it() {
    let (status, output, _) = run(variables(shop()), &[]).await;
    assert_eq!((status, output.as_str()), (0, ""));
}

/// A shell's pipe ends before the answer is there.
#[tokio::test]
async fn answers_are_finished_and_standard_output_is_the_protocols_alone() {
    let mut child = binary(variables(shop())).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary");
    let messages = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "pipe", "version": "0"}}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "search_products", "arguments": {"query": "PLA"}}}),
    ];
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(messages.map(|message| format!("{message}\n")).concat().as_bytes()).await.expect("a reader");
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("an end").expect("output");
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("nothing but messages")).collect();
    assert_eq!(answers.iter().map(|answer| answer["id"].clone()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(answers[1]["result"]["isError"], false);
}

async fn ends_on(signal: Signal, mut command: Command) {
    // Not a pipe: what is read as a terminal is, where a read cannot be called off.
    let (_open, input) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let input = std::os::fd::OwnedFd::from(input);
    let mut child = command.stdin(input).stdout(Stdio::piped()).spawn().expect("the binary");
    // Signals count from the moment it listens to them; there is nothing to see of that.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pid = Pid::from_raw(child.id().expect("running").try_into().expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("our child");
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("an end").expect("our child");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn signals_end_it_in_order_though_nobody_closes_its_input() {
    for signal in [Signal::TERM, Signal::INT] {
        ends_on(signal, binary(variables(shop()))).await;
        let mut http = binary(variables(shop()));
        http.args(["--http", "127.0.0.1:0"]);
        ends_on(signal, http).await;
    }
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (status, _, errors) = run(variables(shop()), &["--http", &address]).await;
    assert_eq!(status, 1);
    assert!(errors.contains(&format!("cannot listen on {address}")), "{errors}");
}

#[tokio::test]
async fn connections_are_there_before_they_are_needed() {
    let server = MariaDb::start();
    let database = server.database();
    assert!(load(&database).status().expect("load.sh").success());
    let mut variables = variables(&database);
    variables.push(("HAM3D_DB_POOL_MIN_SIZE", "3".to_owned()));
    variables.push(("HAM3D_DB_POOL_MAX_SIZE", "4".to_owned()));
    let client = over_stdio(binary(variables)).await;
    let connections = || {
        let count = database.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()");
        // One of them is the one that asks.
        count.trim().parse::<u32>().expect("a number") - 1
    };
    chat_test_support::assert_eventually!(connections() == 3, PATIENCE);
    let calls = (0..30).map(|_| async { found(&client, json!({})).await });
    futures_util::future::join_all(calls).await;
    assert_eq!(connections(), 4, "no more than there may be");
}

/// The README's way to load the catalogue does no harm to one that is there.
#[tokio::test]
async fn loading_twice_changes_nothing() {
    let database = MariaDb::shared().database();
    assert!(load(&database).output().expect("load.sh").status.success());
    database.sql("UPDATE ham3d_product SET title = 'kept'");
    assert!(!load(&database).output().expect("load.sh").status.success());
    assert_eq!(database.sql("SELECT DISTINCT title FROM ham3d_product"), "kept\n");
}
