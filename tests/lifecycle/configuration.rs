//! Configurations that are refused, and where the ones that are not come from.

use std::os::unix::ffi::OsStringExt;

#[cfg(not(all(feature = "redis", feature = "mysql", feature = "mongodb")))]
use chat_agent::config::BuiltIn;
use chat_test_support::{Exit, Launch};

use crate::common::program;

const YAML: &str = "config/app.config.yaml";

/// Fails the test unless the program ended for its configuration; returns the problems.
fn problems(exit: &Exit) -> Vec<&str> {
    assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(2), ""), "{}", exit.stderr);
    let mut lines = exit.stderr.lines();
    assert_eq!(lines.next(), Some("The configuration cannot be used:"));
    lines.filter(|line| !line.starts_with("warning: ")).collect()
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_and_no_secret() {
    let secrets = ["sëcret-one", "secret-two", "secret-three", "secret four", "secret-five"];
    let servers = "mcp: {servers: {web: {url: 'ws://h/${TOKEN}', headers: {X: secret-five}}, fetch: {comand: uvx}}}";
    let broken = program()
        .file(".env", "RATE_BURST=0\nHISTORY_STORAGE_BACKEND=mysql\nHISTORY_MYSQL_PASSWORD=secret-two\n")
        .file(YAML, "log_level: LOUD\nlgo_format: json\nopenai_api_key: secret four\n")
        .env("RATE_RPS", "0")
        .env("MEMORY_DEFAULT", "60")
        .env("ADMIN_TOKEN", secrets[0])
        .env("REDIS_URL", "reddis://:secret-three@host")
        .env("MCP_AGENT_LLM", "openai")
        .file("etc/mcp.yaml", servers)
        .env("MCP_AGENT_CONFIG", "etc/mcp.yaml")
        .env("MCP_AGENT_SERVERS", "web,fetch")
        .env("TOKEN", "secret-five")
        .arg("--host")
        .arg("a b");
    let expected = [
        "RATE_BURST (.env): must be a whole number from 1",
        "HISTORY_MYSQL_USER (not set): must be set for HISTORY_STORAGE_BACKEND=mysql",
        "HISTORY_MYSQL_DATABASE (not set): must be set for HISTORY_STORAGE_BACKEND=mysql",
        "log_level (config/app.config.yaml): must be one of TRACE",
        "openai_api_key (config/app.config.yaml): must be printable ASCII",
        "RATE_RPS (environment): must be a number from",
        "MEMORY_DEFAULT (environment): must be at most MEMORY_MAX, and 60 is more than 50",
        "ADMIN_TOKEN (environment): must be printable ASCII",
        "REDIS_URL (environment): must be a URL like redis://",
        "MCP_AGENT_MODEL (not set): must name a model for MCP_AGENT_LLM=openai",
        "etc/mcp.yaml: mcp.servers.web.url: must be an http:// or https:// URL with a host",
        "etc/mcp.yaml: mcp.servers.fetch: must have a `command` to start or a `url` to connect to",
        "--host (command line): must be an address or a host name",
    ];
    // Whatever needs a configuration refuses a bad one alike.
    for command in [None, Some("serve"), Some("demo"), Some("check-config"), Some("healthcheck")] {
        let exit = command.into_iter().fold(broken.clone(), Launch::arg).run().await;
        let mut problems = problems(&exit);
        problems.retain(|line| !line.contains("not in this build"));
        for expected in expected {
            assert!(problems.iter().any(|line| line.starts_with(expected)), "no {expected:?} in:\n{}", exit.stderr);
        }
        assert_eq!(problems.len(), expected.len(), "{command:?}:\n{}", exit.stderr);
        assert!(exit.stderr.contains("warning: lgo_format (config/app.config.yaml)"), "{}", exit.stderr);
        assert!(exit.stderr.contains("warning: etc/mcp.yaml: mcp.servers.fetch.comand: "), "{}", exit.stderr);
        for secret in secrets {
            assert!(!exit.stderr.contains(secret), "{secret} is shown:\n{}", exit.stderr);
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_in_one_line() {
    let named = |launch: Launch, file: &str| launch.env("APP_CONFIG_FILE", file);
    let cases = [
        (
            named(program(), "no.yaml"),
            "APP_CONFIG_FILE (environment): must name a readable YAML file, but no.yaml does not exist",
        ),
        (
            named(program().file("dir/x", ""), "dir"),
            "APP_CONFIG_FILE (environment): must name a readable YAML file, but dir is a directory",
        ),
        (
            named(program().file("l1.yaml", b"a: \xe9"), "l1.yaml"),
            "APP_CONFIG_FILE (environment): must name a readable YAML file, but l1.yaml must be UTF-8",
        ),
        (
            program().arg("--config").arg("no.yaml"),
            "--config (command line): must name a readable YAML file, but no.yaml does not exist",
        ),
        (program().file(YAML, "rate_rps: [1\nadmin_token: sesame"), "config/app.config.yaml: "),
        (program().file(YAML, "- rate_rps: 1"), "config/app.config.yaml: "),
        (program().file(".env", b"A=\xff\xfe"), ".env: must be UTF-8, and is not at line 1 column 3"),
        (program().env("OPENROUTER_KEY_FILE", "no-key"), "OPENROUTER_KEY_FILE (environment): "),
        (program().env("MCP_AGENT_SERVERS", "a"), "MCP_AGENT_SERVERS (environment): needs a file that describes"),
        (
            program().env("MCP_AGENT_SERVERS", "a").env("MCP_AGENT_CONFIG", "no.yaml"),
            "MCP_AGENT_CONFIG (environment): must name a readable YAML or JSON file, but no.yaml does not exist",
        ),
        (
            program().env("MCP_AGENT_SERVERS", "a").file("mcp_agent.config.yaml", "mcp: {servers: {b: sesame}}"),
            "MCP_AGENT_SERVERS (environment): names `a`, which mcp_agent.config.yaml does not have; it has b",
        ),
        (
            program().env("MCP_AGENT_SERVERS", "a").file("mcp_agent.config.yaml", "mcp: [sesame"),
            "mcp_agent.config.yaml: is not valid YAML: ",
        ),
        (program().env("ADMIN_TOKEN", "sesame").file("t", "sesame").env("ADMIN_TOKEN_FILE", "t"), "ADMIN_TOKEN"),
    ];
    for (launch, expected) in cases {
        let exit = launch.run().await;
        let problems = problems(&exit);
        assert_eq!(problems.len(), 1, "{}", exit.stderr);
        assert!(problems[0].starts_with(expected), "{expected:?}: {}", exit.stderr);
        assert!(!exit.stderr.contains("sesame"), "{}", exit.stderr);
    }
}

/// Nothing is missing in the usual build: `make check-full` runs this in others.
#[cfg(not(all(feature = "redis", feature = "mysql", feature = "mongodb")))]
#[tokio::test]
async fn what_is_not_in_this_build_is_refused() {
    let BuiltIn { redis, mysql, mongodb, otel } = BuiltIn::this_build();
    let history = "HISTORY_STORAGE_BACKEND";
    let mysql_settings = [(history, "mysql"), ("HISTORY_MYSQL_USER", "u"), ("HISTORY_MYSQL_DATABASE", "d")];
    let cases = [
        ("REDIS_URL", &[("REDIS_URL", "redis://:secret@localhost")][..], redis),
        (history, &[(history, "redis"), ("HISTORY_REDIS_URL", "redis://localhost")], redis),
        (history, &mysql_settings, mysql),
        (history, &[(history, "mongodb")], mongodb),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://secret@localhost:4318")], otel),
    ];
    for (variable, settings, is_built_in) in cases {
        let exit = program().arg("check-config").envs(settings.iter().copied()).run().await;
        if is_built_in {
            assert_eq!(exit.status.code(), Some(0), "{settings:?}: {}", exit.stderr);
            continue;
        }
        let problems = problems(&exit);
        assert!(
            matches!(problems[..], [line] if line.starts_with(&format!("{variable} (environment): needs "))
                && line.contains("not in this build") && !line.contains("secret")),
            "{settings:?}: {}",
            exit.stderr
        );
    }
}

#[tokio::test]
async fn check_config_shows_the_servers_and_no_secret() {
    let servers = "mcp:\n  servers:\n    files: {command: npx, args: ['--key=sesame-1', '${KEY}'], env: {A: sesame-2}}\n    \
                   web: {url: 'https://u:sesame-3@tools.example.com:8443/${KEY}', headers: {X: sesame-5}}\n    \
                   unused: {transport: sse}\n";
    let exit = program()
        .arg("check-config")
        .arg("--strict")
        .file("config/mcp_agent.config.yaml", servers)
        .file("config/mcp_agent.secrets.yaml", "mcp: {servers: {files: {env: {B: sesame-4}}}}")
        .file(".env", "KEY=sesame-6\nMCP_AGENT_SERVERS=web,files\n")
        .env("MCP_SERVER_URL", "http://localhost:9/mcp?sesame-7")
        .env("MCP_API_KEY", "sesame-8")
        .run()
        .await;
    assert_eq!((exit.status.code(), exit.stderr.as_str()), (Some(0), ""));
    let told: Vec<_> = exit.stdout.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        told,
        [
            "# MCP file: config/mcp_agent.config.yaml",
            "# MCP server: web, streamable_http tools.example.com:8443",
            "# MCP server: files, stdio npx",
            "# MCP server: default, streamable_http localhost:9",
        ]
    );
    assert!(!exit.stdout.contains("sesame"), "{}", exit.stdout);
}

#[tokio::test]
async fn the_python_services_server_file_is_read_as_it_is() {
    let exit = program()
        .arg("check-config")
        .arg("--strict")
        .file("mcp_agent.config.yaml", include_str!("../fixtures/python/mcp_agent.config.yaml"))
        .env("MCP_AGENT_SERVERS", "filesystem, fetch")
        .run()
        .await;
    assert_eq!((exit.status.code(), exit.stderr.as_str()), (Some(0), ""));
    for line in ["# MCP server: filesystem, stdio npx", "# MCP server: fetch, stdio uvx"] {
        assert!(exit.stdout.lines().any(|told| told == line), "no {line:?} in:\n{}", exit.stdout);
    }
}

#[tokio::test]
async fn the_environment_has_to_be_text() {
    let latin = std::ffi::OsString::from_vec(b"b\xe9ta".to_vec());
    let exit = program().env("HISTORY_NAMESPACE", latin).run().await;
    assert_eq!(problems(&exit), ["HISTORY_NAMESPACE (environment): must be valid UTF-8"]);
}

#[tokio::test]
async fn flags_are_stronger_than_everything() {
    let service = program()
        .env("HOST", "no-such-host.invalid")
        .env("PORT", "1")
        .env("APP_CONFIG_FILE", "no.yaml")
        .file("given.yaml", "host: neither-this.invalid\nadmin_token: sesame")
        .file(".env", "PORT=2")
        .arg("--host=127.0.0.1")
        .arg("--port=0")
        .arg("--config=given.yaml")
        .start()
        .await;
    service.wait_for_log(|line| line["message"] == "configuration file read" && line["file"] == "given.yaml").await;
    let admin = service.client().with_header("x-admin-token", "sesame");
    let config = admin.get("/admin/config").await.expect(200);
    let entries = config.body.as_array().expect("a list");
    for (name, value, source) in
        [("HOST", "127.0.0.1", "flag"), ("PORT", "0", "flag"), ("APP_CONFIG_FILE", "given.yaml", "flag")]
    {
        let entry = entries.iter().find(|entry| entry["name"] == name).expect("every variable is listed");
        assert_eq!((&entry["value"], &entry["source"]), (&value.into(), &source.into()), "{name}");
    }
}

#[tokio::test]
async fn files_in_the_working_directory_are_read() {
    for file in ["config/app.config.yaml", "config/app.config.yml", "app/config/app.config.yaml"] {
        let service = program().file(file, "admin_token: from-yaml\n").file(".env", "LOG_LEVEL=info\n").start().await;
        service.wait_for_log(|line| line["file"] == file).await;
        service.client().with_header("x-admin-token", "from-yaml").get("/admin/runtime").await.expect(200);
    }
    // The template is never taken for a configuration.
    let service = program().file("config/app.config.example.yaml", "admin_token: from-template\n").start().await;
    service.wait_for_log(|line| line["message"] == "no YAML file: environment, .env and defaults").await;
    let answer = service.client().with_header("x-admin-token", "from-template").get("/admin/runtime").await;
    assert_eq!(answer.expect(503).code(), "admin_disabled");
}

#[tokio::test]
async fn the_python_services_files_start_the_service() {
    let dotenv = include_str!("../fixtures/python/.env");
    // A Redis that this build or machine does not have cannot be overridden away: a blank value is no value.
    let dotenv: String =
        dotenv.lines().filter(|line| !line.starts_with("REDIS_URL=")).flat_map(|line| [line, "\n"]).collect();
    let yaml = include_str!("../fixtures/python/app.config.yaml");
    let service = program()
        .file(".env", dotenv)
        .file("app/config/app.config.yaml", yaml)
        .env("HISTORY_STORAGE_BACKEND", "none")
        .env("MCP_AGENT_SERVERS", "none")
        // Theirs is WARNING, and the address is told at INFO.
        .env("LOG_LEVEL", "INFO")
        .start()
        .await;
    let client = service.client();
    client.get("/").await.expect(200);
    let session = client.post("/sessions", &serde_json::json!({})).await.expect(201);
    assert_eq!(session.body["memory_limit"], 12, "MEMORY_DEFAULT of .env is stronger than that of the YAML file");
    assert_eq!(client.get("/admin/runtime").await.expect(503).code(), "admin_disabled", "`change-me` counts as unset");
    let warned = service.logs().into_iter().filter(|line| line["level"] == "WARNING").count();
    assert!(warned >= 2, "of the template's token and the old provider:\n{}", service.log_text());
    for secret in ["sk-or-v1", "fixture-mongo-pass", "pa$$w0rd", "fixture-redis-pass"] {
        assert!(!service.log_text().contains(secret), "{secret} is logged");
    }
}
