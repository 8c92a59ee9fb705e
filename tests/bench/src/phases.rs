//! The measurement, phase by phase.

mod at_rest;
mod soak;
mod storage;
mod tools;
mod under_load;

use std::net::SocketAddr;

use chat_test_support::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;
use crate::cli::{Cli, PhaseName};
use crate::process::Process;
use crate::report::Report;
use crate::service::Service;

/// What every phase needs: the upstream, and a folder for files.
pub(crate) struct Stage<'a> {
    cli: &'a Cli,
    folder: TempDir,
    upstream: SocketAddr,
    _upstream: Process,
}

impl Stage<'_> {
    async fn service(&self) -> Result<Service, Failure> {
        Service::start(&self.cli.binary, self.folder.path(), self.upstream).await
    }
}

/// Runs the phases that are wanted.
pub(crate) fn run(cli: &Cli) -> Result<Report, Failure> {
    // One thread: on a small machine, the client must leave room for what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            report = measure(cli) => report,
            failure = interrupted() => Err(failure),
        }
    })
}

/// Returning instead of dying ends the children and removes the folder.
async fn interrupted() -> Failure {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return error.into(),
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    "interrupted".into()
}

async fn measure(cli: &Cli) -> Result<Report, Failure> {
    let mut report = Report::new();
    println!("{}", report.machine());
    let (process, upstream) = Process::start_self(&["upstream"])?;
    let stage = Stage { cli, folder: TempDir::new(), upstream, _upstream: process };
    if !cli.references_only {
        if cli.wants(PhaseName::Size) {
            at_rest::size(&stage, &mut report)?;
        }
        if cli.wants(PhaseName::Start) {
            at_rest::start(&stage, &mut report).await?;
        }
        if cli.wants(PhaseName::Memory) {
            at_rest::memory(&stage, &mut report).await?;
        }
    }
    under_load::run(&stage, &mut report).await?;
    if cli.wants(PhaseName::Tools) {
        tools::run(&stage, &mut report).await?;
    }
    if cli.wants(PhaseName::Storage) && !cli.references_only {
        storage::run(&stage, &mut report).await?;
    }
    if cli.wants(PhaseName::Soak) && !cli.references_only {
        soak::run(&stage, &mut report).await?;
    }
    Ok(report)
}
