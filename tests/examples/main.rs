//! The examples, run as their readers run them, against the demo.

use std::{
    env::consts::EXE_SUFFIX,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use chat_test_support::{DeadPort, Service, TempDir, Upstream, mcp::Servers};
use tokio::{net::TcpListener, process::Command, time::timeout};

/// The variables of the whole flow's example, which it shares between languages.
const VARIABLES: [&str; 9] = [
    "CHAT_API_URL",
    "CHAT_MEMORY_LIMIT",
    "CHAT_SESSION_METADATA",
    "CHAT_USER_MESSAGE",
    "CHAT_MESSAGE_ROLE",
    "CHAT_MESSAGE_MEMORY_LIMIT",
    "CHAT_MESSAGE_OPTIONS",
    "CHAT_REQUEST_TIMEOUT",
    "CHAT_API_KEY",
];

/// How long an interpreter may take to start and do its work.
const PATIENCE: Duration = Duration::from_secs(60);

async fn demo() -> Service {
    demo_with(&[]).await
}

async fn demo_with(settings: &[(&str, &str)]) -> Service {
    let service = Service::launch(env!("CARGO_BIN_EXE_chat-agent")).arg("demo");
    let service = service.env("RATE_RPS", "1000").env("RATE_BURST", "1000");
    settings.iter().fold(service, |service, (name, value)| service.env(name, value)).start().await
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn tool(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools").join(path);
    assert!(path.exists(), "{} is missing: run tests/setup.sh", path.display());
    path
}

fn python(name: &str) -> Command {
    let mut command = Command::new(tool("examples/bin/python"));
    command.arg(source(name));
    command
}

/// The whole flow, in Rust and in Python.
fn basic_sessions() -> [(&'static str, Command); 2] {
    // Beside this test's own folder.
    let tests = std::env::current_exe().expect("where this test is");
    let built = tests.parent().and_then(Path::parent).expect("the build's folder").join("examples");
    let rust = built.join(format!("basic_session{EXE_SUFFIX}"));
    assert!(rust.exists(), "{} is missing: run cargo build --examples", rust.display());
    [("Rust", Command::new(rust)), ("Python", python("basic_session.py"))]
}

/// Runs it with these variables and no other of its own.
async fn run(mut command: Command, variables: &[(&str, &str)]) -> Output {
    for name in VARIABLES {
        command.env_remove(name);
    }
    let child = command.envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true).output();
    timeout(PATIENCE, child).await.expect("it ends").expect("it runs")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert!(!text.contains("Traceback") && !text.contains("panicked"), "{text}");
    text
}

#[tokio::test]
async fn a_session_is_made_used_and_removed() {
    let service = demo().await;
    for (language, example) in basic_sessions() {
        let output = stdout(&run(example, &[("CHAT_API_URL", service.base_url())]).await);
        assert!(output.contains("I am the demo model"), "{language}: {output}");
        let lines: Vec<_> = output.lines().collect();
        let (first, last) = (lines[0], lines[lines.len() - 1]);
        let id = first.strip_prefix("session ").and_then(|rest| rest.split(',').next()).expect("the session's id");
        assert!(first.ends_with("remembers 10 messages"), "{language}: {first}");
        assert_eq!(last, format!("session {id} is gone"), "{language}");
        assert_eq!(service.client().get(&format!("/sessions/{id}")).await.status, 404, "{language}");
    }
}

#[tokio::test]
async fn every_variable_has_its_effect() {
    let service = demo().await;
    let address = format!("{}/", service.base_url());
    for (language, example) in basic_sessions() {
        let variables = [
            ("CHAT_API_URL", address.as_str()),
            ("CHAT_MEMORY_LIMIT", "7"),
            ("CHAT_SESSION_METADATA", r#"{"shop": "کتاب"}"#),
            ("CHAT_USER_MESSAGE", "one two three four five six"),
            ("CHAT_MESSAGE_ROLE", "assistant"),
            ("CHAT_MESSAGE_MEMORY_LIMIT", "2"),
            ("CHAT_MESSAGE_OPTIONS", r#"{"max_tokens": 3}"#),
            ("CHAT_REQUEST_TIMEOUT", "20.5"),
        ];
        let output = stdout(&run(example, &variables).await);
        assert!(output.contains("remembers 7 messages"), "{language}: {output}");
        assert!(output.contains("> one two three four five six\nHello! I am\n"), "{language}: {output}");
        assert!(output.replace(' ', "").contains("\"completion_tokens\":3"), "{language}: {output}");
    }
    let large_metadata = format!(r#"{{"shop": "{}"}}"#, "x".repeat(17_000));
    // What has no trace in the output is refused when it is wrong in a way that only the service knows.
    for (variable, value, reason) in [
        ("CHAT_MEMORY_LIMIT", "1000", "memory_limit"),
        ("CHAT_SESSION_METADATA", &large_metadata, "metadata"),
        ("CHAT_MESSAGE_MEMORY_LIMIT", "1000", "memory_limit"),
        ("CHAT_MESSAGE_OPTIONS", r#"{"server_names": []}"#, "server_names"),
    ] {
        for (language, example) in basic_sessions() {
            let output = run(example, &[("CHAT_API_URL", service.base_url()), (variable, value)]).await;
            let told = stderr(&output, 1);
            assert!(told.contains("the service answered 4") && told.contains(reason), "{language}: {told}");
            assert!(told.contains("(request "), "{language}: {told}");
        }
    }
    let active = service.client().get("/metrics").await.body["active_sessions"].clone();
    assert_eq!(active, 0, "a failed message leaves no session behind");
}

#[tokio::test]
async fn the_role_reaches_the_model() {
    let upstream = Upstream::start().await;
    let service = Service::launch(env!("CARGO_BIN_EXE_chat-agent")).env("OPENROUTER_KEY", "k").env("RATE_BURST", "100");
    let service = service.env("OPENROUTER_BASE_URL", upstream.base_url()).start().await;
    for (language, example) in basic_sessions() {
        let variables = [("CHAT_API_URL", service.base_url()), ("CHAT_MESSAGE_ROLE", "assistant")];
        stdout(&run(example, &variables).await);
        let request = upstream.last_request();
        assert_eq!(request.messages().last().expect("a message")["role"], "assistant", "{language}");
    }
}

#[tokio::test]
async fn no_answer_is_waited_for_longer_than_the_timeout() {
    // Takes connections, as its backlog does, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    for (language, example) in basic_sessions() {
        let began = Instant::now();
        let told = stderr(&run(example, &[("CHAT_API_URL", &address), ("CHAT_REQUEST_TIMEOUT", "0.2")]).await, 1);
        assert!(told.starts_with("no answer from the service: "), "{language}: {told}");
        assert!(began.elapsed() < Duration::from_secs(25), "{language}: as long as without");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let bad = [
        ("CHAT_API_URL", "localhost:8000"),
        ("CHAT_API_URL", "ftp://localhost"),
        ("CHAT_API_URL", "http://"),
        ("CHAT_MEMORY_LIMIT", "0"),
        ("CHAT_MEMORY_LIMIT", "-1"),
        ("CHAT_MEMORY_LIMIT", "many"),
        ("CHAT_MEMORY_LIMIT", "2.5"),
        ("CHAT_SESSION_METADATA", "[1]"),
        ("CHAT_SESSION_METADATA", "\"text\""),
        ("CHAT_SESSION_METADATA", "{"),
        ("CHAT_SESSION_METADATA", "null"),
        ("CHAT_MESSAGE_ROLE", "system"),
        ("CHAT_MESSAGE_MEMORY_LIMIT", "۰"),
        ("CHAT_MESSAGE_OPTIONS", "temperature=1"),
        ("CHAT_MESSAGE_OPTIONS", "{\"a\":1} {\"b\":2}"),
        ("CHAT_REQUEST_TIMEOUT", "0"),
        ("CHAT_REQUEST_TIMEOUT", "nan"),
        ("CHAT_REQUEST_TIMEOUT", "inf"),
        ("CHAT_REQUEST_TIMEOUT", "soon"),
        ("CHAT_API_KEY", "two words"),
        ("CHAT_API_KEY", "کلید"),
        ("CHAT_API_KEY", "a\r\nX-Admin-Token: b"),
    ];
    for (variable, value) in bad {
        for (language, example) in basic_sessions() {
            // A value of another variable may come before.
            let told = stderr(&run(example, &[("CHAT_API_URL", &address), (variable, value)]).await, 2);
            assert!(told.starts_with(&format!("{variable} must be ")), "{language}: {variable}={value}: {told}");
        }
    }
    for (language, example) in basic_sessions() {
        let both = [("CHAT_API_URL", address.as_str()), ("CHAT_MEMORY_LIMIT", "x"), ("CHAT_MESSAGE_OPTIONS", "x")];
        let told = stderr(&run(example, &both).await, 2);
        assert!(told.contains("CHAT_MEMORY_LIMIT must") && told.contains("CHAT_MESSAGE_OPTIONS must"), "{language}");
    }
    let connected = timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(connected.is_err(), "somebody asked the service all the same");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told() {
    let dead = DeadPort::take();
    let address = format!("http://{}", dead.address());
    for (language, example) in basic_sessions() {
        let told = stderr(&run(example, &[("CHAT_API_URL", &address)]).await, 1);
        assert!(told.starts_with("no answer from the service: "), "{language}: {told}");
    }
    let told = stderr(&run(python("streaming_session.py"), &[("CHAT_API_URL", &address)]).await, 1);
    assert!(told.starts_with("no answer from the service: "), "{told}");
}

#[tokio::test]
async fn a_streamed_answer_is_shown_as_it_comes() {
    let launch = Service::launch(env!("CARGO_BIN_EXE_chat-agent")).arg("demo");
    let service = Servers::new().scripted("notes", &[]).given_to(launch).start().await;
    let mut example = python("streaming_session.py");
    example.arg(r#"/tool echo {"text": "سلام"}"#);
    let output = stdout(&run(example, &[("CHAT_API_URL", service.base_url())]).await);
    let lines: Vec<_> = output.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], r#"[notes: echo {"text": "سلام"}]"#, "{output}");
    assert!(lines[1].starts_with("[echo is done after "), "{output}");
    assert!(lines[2].contains("سلام"), "the answer quotes it: {output}");
    assert!(lines[3].starts_with("usage {"), "{output}");

    let mut example = python("streaming_session.py");
    example.arg("again, and too soon");
    let limited = Service::launch(env!("CARGO_BIN_EXE_chat-agent")).arg("demo").env("RATE_BURST", "1");
    // However long Python takes from one request to the next.
    let limited = limited.env("RATE_RPS", "0.001").start().await;
    let told = stderr(&run(example, &[("CHAT_API_URL", limited.base_url())]).await, 1);
    assert!(told.starts_with("the service answered 429: "), "{told}");
}

/// The example in JavaScript, in a folder with the packages that it needs.
struct JavaScript(TempDir);

impl JavaScript {
    fn new() -> Self {
        let folder = TempDir::new();
        // Packages are looked for beside the file.
        let packages = tool("examples-js/node_modules");
        std::os::unix::fs::symlink(packages, folder.path().join("node_modules")).expect("a link to the packages");
        std::fs::copy(source("basic_session.mjs"), folder.path().join("main.mjs")).expect("a copy of the example");
        Self(folder)
    }

    fn saying(&self, content: &str) -> Command {
        let mut node = Command::new("node");
        node.arg(self.0.path().join("main.mjs")).arg(content);
        node
    }
}

#[tokio::test]
async fn javascript_makes_its_client_from_the_published_description() {
    let service = demo().await;
    let example = JavaScript::new();
    let node = || example.saying("My name is Ada.");
    let output = stdout(&run(node(), &[("CHAT_API_URL", &format!("{}/", service.base_url()))]).await);
    assert!(output.contains("Nice to meet you, Ada"), "{output}");
    let dead = DeadPort::take();
    let told = stderr(&run(node(), &[("CHAT_API_URL", &format!("http://{}", dead.address()))]).await, 1);
    assert!(told.contains("ECONNREFUSED"), "{told}");
}

#[tokio::test]
async fn every_example_can_send_a_key() {
    let service = demo_with(&[("API_KEYS", "right")]).await;
    let javascript = JavaScript::new();
    let examples = || {
        let others = [("streaming", python("streaming_session.py")), ("JavaScript", javascript.saying("Hello!"))];
        basic_sessions().into_iter().chain(others)
    };
    for (name, example) in examples() {
        let variables = [("CHAT_API_URL", service.base_url()), ("CHAT_API_KEY", "right")];
        let output = stdout(&run(example, &variables).await);
        assert!(output.contains("I am the demo model"), "{name}: {output}");
    }
    for (name, example) in examples() {
        let told = stderr(&run(example, &[("CHAT_API_URL", service.base_url())]).await, 1);
        assert!(told.contains("X-API-Key"), "{name}: {told}");
    }
}
