//! A server that runs as our child.

use std::{
    io,
    pin::Pin,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::process::{Pid, Signal, test_kill_process_group};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::{
    config::{McpConfig, Transport},
    error::ConnectError,
    guard::{Guard, kill_group},
};

/// How long a child may take to end after its stdin was closed, and again after SIGTERM: the protocol's way to shut down.
const ENDING: Duration = Duration::from_secs(1);

/// How long the pipe of a child that has ended may take to say so.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Where a line of stderr is cut in the log.
const STDERR_LINE_MAX: u64 = 2048;

/// A child with its process group. Dropping it kills the group.
pub(crate) struct Process {
    child: Child,
    group: Option<Pid>,
    guard: Guard,
}

/// What is said over the child's stdout and stdin.
pub(crate) type Pipes = (ChildStdout, CountedStdin);

/// A child's stdin that counts what could be written to it: when nothing could since a call began, the call was never
/// heard of.
pub(crate) struct CountedStdin {
    stdin: ChildStdin,
    pub(crate) written: Arc<AtomicU64>,
}

impl AsyncWrite for CountedStdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stdin).poll_write(cx, bytes))?;
        self.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

pub(crate) struct Start<'a> {
    pub(crate) server: &'a str,
    pub(crate) transport: &'a Transport,
    pub(crate) command: &'a str,
    pub(crate) args: &'a [SecretString],
    pub(crate) env: &'a [(String, SecretString)],
    pub(crate) cwd: Option<&'a std::path::Path>,
}

impl Process {
    pub(crate) fn start(start: &Start<'_>, config: &McpConfig, guard: &Guard) -> Result<(Self, Pipes), ConnectError> {
        if let Some(cwd) = start.cwd
            && !cwd.is_dir()
        {
            return Err(ConnectError::NoDirectory(cwd.display().to_string()));
        }
        let mut command = Command::new(start.command);
        command
            .args(start.args.iter().map(ExposeSecret::expose_secret))
            .env_clear()
            .envs(config.environment.iter().map(|(name, value)| (name, value)))
            .envs(start.env.iter().map(|(name, value)| (name, value.expose_secret())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The group is what ends; and Ctrl-C in a terminal is for us, who end the children in order.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cwd) = start.cwd {
            command.current_dir(cwd);
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ConnectError::CommandNotFound(start.command.to_owned()),
            _ => ConnectError::Spawn(error),
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group {
            guard.watch(group);
        }
        let stdin = child.stdin.take().map(|stdin| CountedStdin { stdin, written: Arc::default() });
        let pipes = child.stdout.take().zip(stdin);
        let stderr = child.stderr.take();
        let process = Self { child, group, guard: guard.clone() };
        let pipes = pipes.ok_or_else(|| ConnectError::Spawn(io::ErrorKind::BrokenPipe.into()))?;
        if let Some(stderr) = stderr {
            read_stderr(stderr, start, config.log_stderr);
        }
        Ok((process, pipes))
    }

    /// The status of a child that has ended, or is about to.
    pub(crate) async fn exit(&mut self) -> Option<ExitStatus> {
        timeout(Duration::from_millis(200), self.child.wait()).await.ok()?.ok()
    }

    /// Resolves some moments after the child has ended. Its pipes may outlive it: a child of its own may hold them.
    pub(crate) async fn ended(&mut self) {
        let _ = self.child.wait().await;
        // What it said last is read meanwhile, and the pipe's end mostly tells of its end before this does.
        sleep(LAST_WORDS).await;
    }

    /// Waits for the child, whose stdin is closed, and helps it to end, its children too.
    pub(crate) async fn end(mut self) {
        if timeout(ENDING, self.child.wait()).await.is_err() {
            if let Some(group) = self.group {
                kill_group(group, Signal::TERM);
            }
            let _ = timeout(ENDING, self.child.wait()).await;
        }
        // Whoever is left of the group, and then its leader, so that nothing of it is there when this returns.
        if let Some(group) = self.group {
            kill_group(group, Signal::KILL);
        }
        let _ = timeout(ENDING, self.child.wait()).await;
        let gone = async {
            // Its children are somebody else's to reap.
            while self.group.is_some_and(|group| test_kill_process_group(group).is_ok()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(ENDING, gone).await.is_ok()
            && let Some(group) = self.group.take()
        {
            // Its number may be somebody else's from now on.
            self.guard.forget(group);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            kill_group(group, Signal::KILL);
            self.guard.forget(group);
        }
    }
}

/// A child that nobody reads from stops at 64 KiB, so it is read, wanted or not.
#[expect(clippy::disallowed_methods, reason = "reads until the child ends, beside all requests")]
fn read_stderr(stderr: ChildStderr, start: &Start<'_>, log: bool) {
    let server = start.server.to_owned();
    let transport = start.transport.clone();
    tokio::spawn(async move {
        let mut reader = BufReader::new(stderr);
        if !log {
            let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
            return;
        }
        let mut line = Vec::new();
        // A line without an end comes in pieces.
        while let Ok(1..) = (&mut reader).take(STDERR_LINE_MAX).read_until(b'\n', &mut line).await {
            let text = String::from_utf8_lossy(&line);
            let text = transport.redact(text.trim_end());
            if !text.is_empty() {
                tracing::info!(event = "mcp_stderr", server = %server, line = %text, "stderr of an MCP server");
            }
            line.clear();
        }
    });
}
