//! `ham3d-mcp`: an MCP server over a product catalogue, on standard input and output or over HTTP.

use std::{error::Error, io::stderr, process::ExitCode, time::Duration};

use clap::Parser;
use ham3d_mcp::{catalogue::Catalogue, config::Settings, http, server::CatalogueServer};
use rmcp::{ServiceExt, service::ServerInitializeError, transport::io::stdio_pipes};
use tokio::{net::TcpListener, runtime::Runtime, signal};
use tracing_subscriber::EnvFilter;

/// An MCP server over a shop's product catalogue in MySQL or MariaDB.
///
/// It speaks the protocol on standard input and output, or over HTTP at /mcp. Where the catalogue is, the variables
/// HAM3D_DB_* say.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Serve over HTTP on this address, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Answer HTTP requests for this name, too, beside the loopback ones (HAM3D_ALLOWED_HOSTS)
    #[arg(long, value_name = "NAME", requires = "http", value_parser = host)]
    allow_host: Vec<String>,
    /// How much to log on standard error: error, warn, info or debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: tracing::Level,
}

fn host(text: &str) -> Result<String, String> {
    if http::is_host(text) { Ok(text.to_owned()) } else { Err("not a host name, such as mcp.example.com".to_owned()) }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Standard output is the protocol's. Libraries get no further than warnings: their details quote messages.
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(false)
        .with_env_filter(EnvFilter::new(format!("warn,ham3d_mcp={}", cli.log_level)))
        .init();
    let settings = match Settings::read(variable) {
        Ok(settings) => settings,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(cli, settings));
    // Not dropped: that would wait for a read from standard input, which cannot be called off.
    runtime.shutdown_timeout(Duration::ZERO);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

async fn run(cli: Cli, settings: Settings) -> Result<(), Box<dyn Error>> {
    let catalogue = Catalogue::new(&settings.database)?;
    let server = CatalogueServer::new(catalogue.clone());
    let served = async {
        match cli.http {
            Some(address) => {
                let hosts: Vec<String> = settings.allowed_hosts.into_iter().chain(cli.allow_host).collect();
                over_http(&address, server, &hosts).await
            }
            None => over_stdio(server).await,
        }
    };
    let warm = async {
        catalogue.warm_up().await;
        // Beside serving, and never a reason to stop.
        std::future::pending().await
    };
    tokio::select! {
        result = served => result,
        never = warm => never,
    }
}

async fn over_http(address: &str, server: CatalogueServer, hosts: &[String]) -> Result<(), Box<dyn Error>> {
    let stop = stop_signal()?;
    let listener = TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let local = listener.local_addr()?;
    tracing::info!(address = %local, "listening");
    if !local.ip().is_loopback() && hosts.is_empty() {
        tracing::warn!("requests from elsewhere will be refused: --allow-host says by which name they may come");
    }
    http::serve(listener, server, hosts, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn over_stdio(server: CatalogueServer) -> Result<(), Box<dyn Error>> {
    let mut stop = std::pin::pin!(stop_signal()?);
    let service = tokio::select! {
        service = server.serve(stdio_pipes()) => service,
        () = &mut stop => return Ok(()),
    };
    let service = match service {
        Ok(service) => service,
        // A client that leaves without a word is no failure of ours.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let cancel = service.cancellation_token();
    let mut waiting = std::pin::pin!(service.waiting());
    tokio::select! {
        reason = &mut waiting => drop(reason?),
        () = &mut stop => {
            cancel.cancel();
            // Answers on their way get there; the protocol's library bounds this wait.
            drop(waiting.await?);
        }
    }
    Ok(())
}

/// Resolves when the process is asked to end. From here on it does so in order.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Without a way to hear of it there is nothing to wait for.
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
