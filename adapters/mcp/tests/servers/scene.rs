//! A test's servers and the port over them.

use std::{ffi::OsString, fs, path::PathBuf, sync::Arc, time::Duration};

use chat_domain::{
    message::ToolOutcome,
    ports::{
        Clock, NoObserver, Propagation,
        tools::{Tool, ToolPort},
    },
};
use chat_local::system::{SystemClock, SystemRandom};
use chat_mcp::{McpConfig, McpTools, Phase, ServerConfig, ServerStatus, Transport};
use chat_test_support::{
    TempDir,
    mcp::{python, scripted_server, search_path},
};
use serde_json::{Value, value::to_raw_value};

pub(crate) const RESULT_MAX: usize = 64 * 1024;

/// Long enough for a slow machine, short enough to wait for in a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs the script with these arguments.
pub(crate) fn scripted(name: &str, args: &[&str]) -> ServerConfig {
    let script = scripted_server().display().to_string();
    let args = [script.as_str()].iter().chain(args).map(|&arg| arg.into()).collect();
    command(name, &python().display().to_string(), args)
}

pub(crate) fn command(name: &str, command: &str, args: Vec<secrecy::SecretString>) -> ServerConfig {
    with_transport(name, Transport::Stdio { command: command.into(), args, env: vec![], cwd: None })
}

pub(crate) fn with_transport(name: &str, transport: Transport) -> ServerConfig {
    ServerConfig {
        name: name.into(),
        required: false,
        allowed_tools: None,
        tool_timeout: None,
        max_concurrent_calls: 64,
        transport,
    }
}

pub(crate) fn config(servers: Vec<ServerConfig>) -> McpConfig {
    McpConfig {
        servers,
        app_name: "chat-backend".into(),
        app_version: "1.2.3".into(),
        tool_timeout: PATIENCE,
        start_timeout: PATIENCE,
        handshake_timeout: PATIENCE,
        result_max_bytes: RESULT_MAX,
        log_stderr: false,
        environment: vec![("PATH".into(), search_path()), ("LANG".into(), OsString::from("C.UTF-8"))],
        propagation: Propagation::default(),
        guard: None,
    }
}

/// The port with its clock, and a folder for what servers write down.
pub(crate) struct Scene {
    pub(crate) tools: Arc<McpTools>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) folder: TempDir,
}

impl Scene {
    pub(crate) fn of(config: McpConfig) -> Self {
        Self::within(TempDir::new(), config)
    }

    pub(crate) fn within(folder: TempDir, config: McpConfig) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let tools = McpTools::start(config, clock.clone(), Arc::new(SystemRandom), Arc::new(NoObserver))
            .expect("the port starts");
        Self { tools: Arc::new(tools), clock, folder }
    }

    /// With these servers, all started.
    pub(crate) async fn started(servers: Vec<ServerConfig>) -> Self {
        let scene = Self::of(config(servers));
        scene.tools.started(scene.clock.moment().plus(PATIENCE)).await;
        scene
    }

    pub(crate) fn status(&self, server: &str) -> ServerStatus {
        self.tools.servers().into_iter().find(|status| &*status.name == server).expect("the server is configured")
    }

    pub(crate) fn phase(&self, server: &str) -> Phase {
        self.status(server).phase
    }

    /// The tool the model calls by this name.
    pub(crate) fn tool(&self, function: &str) -> Tool {
        let catalogue = self.tools.catalogue();
        catalogue.by_function(function).unwrap_or_else(|| panic!("{function} is on offer")).clone()
    }

    pub(crate) fn functions(&self) -> Vec<String> {
        self.tools.catalogue().tools().iter().map(|tool| tool.function.to_string()).collect()
    }

    pub(crate) async fn call(&self, function: &str, arguments: Value) -> ToolOutcome {
        self.call_tool(&self.tool(function), arguments).await
    }

    pub(crate) async fn call_tool(&self, tool: &Tool, arguments: Value) -> ToolOutcome {
        let arguments = to_raw_value(&arguments).expect("JSON");
        self.tools.call("call_1", tool, &arguments, self.clock.moment().plus(PATIENCE)).await
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }
}

/// The lines of a journal, and those that begin so.
pub(crate) fn entries(journal: &PathBuf, beginning: &str) -> Vec<String> {
    let text = fs::read_to_string(journal).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix(beginning)).map(str::to_owned).collect()
}
