//! The commands: what they print and how they end.

use std::net::TcpListener;

use chat_test_support::{Exit, Upstream};
use serde_json::Value;

use crate::common::{agent, program};

fn code(exit: &Exit) -> Option<i32> {
    exit.status.code()
}

/// What a program says besides its log.
fn plain_lines(exit: &Exit) -> Vec<&str> {
    exit.stderr.lines().filter(|line| serde_json::from_str::<Value>(line).is_err()).collect()
}

#[tokio::test]
async fn help_names_every_command_and_flag() {
    let exit = program().arg("--help").run().await;
    assert_eq!(code(&exit), Some(0));
    for word in ["serve", "demo", "openapi", "check-config", "healthcheck", "--config", "--host", "--port"] {
        assert!(exit.stdout.contains(word), "no {word} in:\n{}", exit.stdout);
    }
    let exit = program().arg("--version").run().await;
    assert_eq!((code(&exit), exit.stdout.trim()), (Some(0), concat!("chat-agent ", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn what_is_no_command_is_refused() {
    for words in [&["--prot", "1"][..], &["sevre"], &["--port", "many"], &["--port", "65536"], &["openapi", "--check"]]
    {
        let exit = words.iter().fold(program(), |program, word| program.arg(word)).run().await;
        assert_eq!(code(&exit), Some(2), "{words:?}");
        assert!(exit.stderr.contains("error:") && exit.stdout.is_empty(), "{words:?}: {}", exit.stderr);
    }
}

#[tokio::test]
async fn check_config_shows_values_and_sources_and_no_secret() {
    let secrets = ["env-secret", "dotenv-secret", "yaml-secret", "file-secret"];
    let exit = program()
        .arg("check-config")
        .file("key", "file-secret\n")
        .file(".env", "RATE_RPS=2.5\nRATE_BURST=7\nADMIN_TOKEN=dotenv-secret\nLOG_LEVEL=\n")
        .file("config/app.config.yaml", "rate_rps: 9\nrate_burst: 9\nlog_level: DEBUG\nmcp_api_key: yaml-secret\n")
        .env("RATE_RPS", "3")
        .env("API_KEYS", "env-secret")
        .env("OPENROUTER_KEY_FILE", "key")
        .arg("--port")
        .arg("4000")
        .run()
        .await;
    assert_eq!(code(&exit), Some(0), "{}", exit.stderr);
    assert_eq!(exit.stdout.lines().next(), Some("# file: config/app.config.yaml"));
    let shown: Vec<Vec<&str>> = exit.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [
        ["PORT", "flag", "4000"],
        ["HOST", "env", "127.0.0.1"],
        ["RATE_RPS", "env", "3"],
        ["RATE_BURST", "dotenv", "7"],
        // Blank is unset, so the next source has its say.
        ["LOG_LEVEL", "yaml", "DEBUG"],
        ["AGENT_MAX_STEPS", "default", "10"],
        ["API_KEYS", "env", "***"],
        ["OPENROUTER_KEY", "env", "***"],
        ["ADMIN_TOKEN", "dotenv", "***"],
        ["MCP_API_KEY", "yaml", "***"],
    ] {
        assert!(shown.iter().any(|words| *words == line), "no {line:?} in:\n{}", exit.stdout);
    }
    for secret in secrets {
        assert!(!format!("{}{}", exit.stdout, exit.stderr).contains(secret), "{secret} is shown");
    }
}

#[tokio::test]
async fn check_config_takes_warnings_for_errors_when_strict() {
    let yaml = "rate_brust: 9\n";
    let lenient = program().arg("check-config").file("config/app.config.yaml", yaml).run().await;
    assert_eq!(code(&lenient), Some(0));
    assert!(lenient.stderr.starts_with("warning: rate_brust (config/app.config.yaml)"), "{}", lenient.stderr);
    assert!(lenient.stderr.contains("rate_burst"), "the nearest known name: {}", lenient.stderr);

    let strict = program().arg("check-config").arg("--strict").file("config/app.config.yaml", yaml).run().await;
    assert_eq!((code(&strict), strict.stdout.as_str()), (Some(2), ""));
    assert!(strict.stderr.contains("rate_brust (config/app.config.yaml)"), "{}", strict.stderr);

    let clean = program().arg("check-config").arg("--strict").run().await;
    assert_eq!((code(&clean), clean.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn openapi_prints_what_is_served() {
    let printed = program().arg("openapi").run().await;
    assert_eq!((code(&printed), printed.stderr.as_str()), (Some(0), ""));
    let document: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert!(document["paths"]["/sessions/{session_id}/messages"]["post"].is_object());

    // It is the API's, not a configuration's: a broken one does not matter, a different one changes nothing.
    let broken = program().arg("openapi").env("RATE_RPS", "0").run().await;
    assert_eq!((code(&broken), &broken.stdout), (Some(0), &printed.stdout));
    let upstream = Upstream::start().await;
    let service = agent(&upstream).env("API_KEYS", "k").env("ADMIN_TOKEN", "t").start().await;
    assert_eq!(service.client().get("/openapi.json").await.expect(200).text, printed.stdout);
}

#[tokio::test]
async fn openapi_check_compares_a_file() {
    let document = program().arg("openapi").run().await.stdout;
    let changed = document.replacen("/sessions", "/chats", 1);
    for (file, expected, said) in [
        (Some(document.as_str()), 0, ""),
        (Some(changed.as_str()), 1, "api.json is not what this build describes: run `chat-agent openapi > api.json`"),
        (None, 1, "api.json cannot be read: "),
    ] {
        let check = program().arg("openapi").arg("--check").arg("api.json");
        let exit = match file {
            Some(text) => check.file("api.json", text),
            None => check,
        };
        let exit = exit.run().await;
        assert_eq!((code(&exit), exit.stdout.as_str()), (Some(expected), ""), "{}", exit.stderr);
        assert!(exit.stderr.contains(said), "{}", exit.stderr);
        assert_eq!(exit.stderr.lines().count(), expected as usize, "{}", exit.stderr);
    }
}

#[tokio::test]
async fn a_health_check_asks_the_service_on_this_machine() {
    let upstream = Upstream::start().await;
    let mut service = agent(&upstream).start().await;
    let port = service.base_url().rsplit(':').next().expect("a port").to_owned();
    // What is listened on is not always what can be asked.
    for host in ["127.0.0.1", "0.0.0.0", "localhost"] {
        let exit = program().arg("healthcheck").env("HOST", host).env("PORT", &port).run().await;
        assert_eq!((code(&exit), exit.stdout.as_str(), exit.stderr.as_str()), (Some(0), "", ""), "{host}");
    }
    service.kill().await;
    let exit = program().arg("healthcheck").env("PORT", &port).run().await;
    assert_eq!(code(&exit), Some(1));
    assert!(exit.stderr.starts_with("chat-agent: not healthy: "), "{}", exit.stderr);
    assert_eq!(exit.stderr.lines().count(), 1);
}

#[tokio::test]
async fn a_health_check_fails_when_something_else_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let other = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").expect("it listens");
    });
    let exit = program().arg("healthcheck").env("PORT", port).run().await;
    other.join().expect("no panic");
    assert_eq!(code(&exit), Some(1));
    assert!(exit.stderr.contains("not with 200"), "{}", exit.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    for command in ["serve", "demo"] {
        let exit = program().arg(command).env("PORT", address.port().to_string()).env("LOG_LEVEL", "OFF").run().await;
        assert_eq!(code(&exit), Some(1), "{command}");
        let said = format!("chat-agent: cannot listen on {address}: ");
        let line = exit.stderr.lines().last().unwrap_or_default();
        assert!(line.starts_with(&said) && line.contains("another program listens there"), "{}", exit.stderr);
        assert_eq!(plain_lines(&exit), [line], "{command}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_told_in_one_line() {
    // A name too long for any name server to be asked: one that cannot be reached would take its time.
    for host in ["203.0.113.1", &"x".repeat(64)] {
        let exit = program().env("HOST", host).run().await;
        assert_eq!(code(&exit), Some(1), "{host}");
        let lines = plain_lines(&exit);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(&format!("chat-agent: cannot listen on {host}:0: ")), "{lines:?}");
    }
}
