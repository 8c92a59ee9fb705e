//! The command line.

mod mcp;

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    app::{self, App, mcp::GUARD_SUBCOMMAND},
    config::{BuiltIn, ConfigErrors, Flags, Loaded, LogFormat, LogLevel, Provider, Settings, SourceKind, Sources},
    telemetry,
};

/// A chat agent backend: sessions, memory, tools, limits and an archive over any OpenAI-compatible model.
#[derive(Debug, Parser)]
#[command(version, about, after_help = "Everything else is configuration: environment, .env or YAML. See README.md.")]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: FlagArgs,
}

#[derive(Debug, Args)]
struct FlagArgs {
    /// The YAML configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, global = true)]
    host: Option<String>,
    /// The port to listen on; 0 for a free one.
    #[arg(long, global = true)]
    port: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (the default).
    Serve,
    /// Serve with a built-in model that needs no key and no network.
    Demo,
    /// Print the API's OpenAPI document.
    Openapi {
        /// Compare it with this file instead, and fail if they differ.
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,
    },
    /// Print the effective configuration with its sources, secrets masked; exit with 2 if it cannot be served with.
    CheckConfig {
        /// Take warnings for errors.
        #[arg(long)]
        strict: bool,
    },
    /// Ask the service on this machine whether it serves; for container health checks.
    Healthcheck,
    /// Try the configured tool servers by hand.
    #[command(subcommand)]
    Mcp(mcp::McpCommand),
    /// Ends the children of a service that was killed. The service starts it by itself.
    #[command(name = GUARD_SUBCOMMAND, hide = true)]
    McpGuard,
}

/// The exit status of a configuration that cannot be served with.
const BAD_CONFIGURATION: u8 = 2;

impl Cli {
    /// Does what was asked for; the exit status tells how it went.
    pub fn run(self) -> ExitCode {
        let FlagArgs { config, host, port } = self.flags;
        let load = move || {
            let sources = Sources::from_process(Flags { config, host, port });
            Settings::load(&sources, &BuiltIn::this_build())
        };
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => with_settings(load(), |loaded| serve(loaded, false)),
            Command::Demo => with_settings(load(), |loaded| serve(demo_settings(loaded), true)),
            Command::Openapi { check } => print_openapi(check),
            Command::CheckConfig { strict } => {
                let loaded = load().and_then(|loaded| if strict { loaded.strict() } else { Ok(loaded) });
                with_settings(loaded, |loaded| print_configuration(&loaded))
            }
            Command::Healthcheck => {
                // In a container it is started with all of the service's secrets, beside its children.
                chat_mcp::keep_to_ourselves();
                with_settings(load(), |loaded| healthcheck(&loaded.settings))
            }
            Command::Mcp(command) => with_settings(load(), |loaded| mcp::run(command, &loaded.settings)),
            Command::McpGuard => {
                chat_mcp::guard::run();
                ExitCode::SUCCESS
            }
        }
    }
}

fn with_settings(loaded: Result<Loaded, ConfigErrors>, then: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match loaded {
        Ok(loaded) => then(loaded),
        Err(errors) => {
            eprintln!("The configuration cannot be used:\n{errors}");
            for warning in &errors.warnings {
                eprintln!("warning: {warning}");
            }
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

/// The demo shows itself to this machine only, unless somebody says otherwise.
fn demo_settings(mut loaded: Loaded) -> Loaded {
    loaded.settings.provider = Provider::Demo;
    let host_is_default = |line: &crate::config::Effective| line.name == "HOST" && line.source == SourceKind::Default;
    if loaded.effective.iter().any(host_is_default) {
        loaded.settings.server.host = "127.0.0.1".to_owned();
    }
    loaded
}

fn serve(loaded: Loaded, is_demo: bool) -> ExitCode {
    let log = &loaded.settings.log;
    // A demo's reader is a person at a terminal.
    let format = match log.format {
        _ if is_demo => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
        LogFormat::Text => telemetry::Format::Text,
    };
    let _guard = match telemetry::init(level(log.level), format) {
        Ok(guard) => guard,
        Err(error) => return fail(&format!("the log cannot be set up: {error}")),
    };
    for warning in &loaded.warnings {
        tracing::warn!("configuration: {warning}");
    }
    match &loaded.file {
        Some(file) => tracing::info!(file = %file.display(), "configuration file read"),
        None => tracing::info!("no YAML file: environment, .env and defaults"),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime cannot start: {error}")),
    };
    let result = runtime.block_on(async {
        let app = App::build(loaded).await?;
        let listener = app.bind().await?;
        if is_demo {
            print_banner(listener.local_addr().map_err(app::StartError::from)?);
        }
        app.run(listener).await;
        Ok::<(), app::StartError>(())
    });
    // A hung blocking call must not keep a drained service alive.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("chat-agent: {message}");
    ExitCode::FAILURE
}

fn level(level: LogLevel) -> tracing_subscriber::filter::LevelFilter {
    use tracing_subscriber::filter::LevelFilter;
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Off => LevelFilter::OFF,
    }
}

fn print_banner(address: std::net::SocketAddr) {
    let url = format!("http://{address}");
    println!(
        r#"
  The chat agent demo is running, with a built-in model: no key, no network.

  Chat:             {url}/chat
  Watch it work:    {url}/metrics/ui
  Read the API:     {url}/docs

  Start a session:  ID=$(curl -s -X POST {url}/sessions | sed 's/.*"id":"\([^"]*\)".*/\1/')
  Say something:    curl -s {url}/sessions/$ID/messages -H 'Content-Type: application/json' -d '{{"content":"Hello!"}}'
  Watch it come:    curl -sN {url}/sessions/$ID/messages -H 'Accept: text/event-stream' -H 'Content-Type: application/json' -d '{{"content":"And what do you remember?"}}'

  Ctrl-C ends it.
"#
    );
    let _ = std::io::stdout().flush();
}

fn print_openapi(check: Option<PathBuf>) -> ExitCode {
    let document = match app::describe() {
        Ok(document) => document,
        Err(error) => return fail(&error.to_string()),
    };
    let Some(path) = check else {
        return print(&document);
    };
    match std::fs::read_to_string(&path) {
        Ok(checked_in) if checked_in == document => ExitCode::SUCCESS,
        Ok(_) => fail(&format!(
            "{} is not what this build describes: run `chat-agent openapi > {}` and look at what changed",
            path.display(),
            path.display()
        )),
        Err(error) => fail(&format!("{} cannot be read: {error}", path.display())),
    }
}

fn print_configuration(loaded: &Loaded) -> ExitCode {
    let mut text = String::new();
    if let Some(file) = &loaded.file {
        text += &format!("# file: {}\n", file.display());
    }
    let mcp = &loaded.settings.mcp;
    if let Some(file) = &mcp.config_file {
        text += &format!("# MCP file: {}\n", file.display());
    }
    for server in &mcp.servers {
        text += &format!("# MCP server: {}, {}\n", server.name, server.shown);
    }
    let width = loaded.effective.iter().map(|line| line.name.len()).max().unwrap_or(0);
    for line in &loaded.effective {
        text += &format!("{:width$}  {:7}  {}\n", line.name, line.source.to_string(), line.value);
    }
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    print(&text)
}

/// To standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => fail(&format!("cannot write: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

/// A health check that takes longer has failed.
const HEALTHCHECK_PATIENCE: Duration = Duration::from_secs(3);

fn healthcheck(settings: &Settings) -> ExitCode {
    let host = match settings.server.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    match ask_health(host, settings.server.port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("not healthy: {error}")),
    }
}

/// One request by hand: a client library would be the larger part of this program.
fn ask_health(host: &str, port: u16) -> std::io::Result<()> {
    let address = (host, port).to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_PATIENCE)?;
    stream.set_read_timeout(Some(HEALTHCHECK_PATIENCE))?;
    stream.set_write_timeout(Some(HEALTHCHECK_PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status_line = [0; 12];
    stream.read_exact(&mut status_line)?;
    if &status_line == b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(std::io::Error::other("the service answers, but not with 200"))
    }
}
