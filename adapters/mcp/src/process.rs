//! A server that runs as our child.

mod group;
mod stderr;
mod stdin;

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use self::{group::Group, stderr::Stderr, stdin::CountedStdin};
use crate::{
    config::{McpConfig, Transport},
    error::ConnectError,
    guard::Guard,
};

pub(crate) use self::stdin::Written;

/// How long a child may take to end after its stdin was closed, and again after SIGTERM: the protocol's way to shut down.
const ENDING: Duration = Duration::from_secs(1);

/// How long the pipe of a child that has ended may take to say so.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Results may be cut to less, but first they have to be read; one at a time of each child. What is longer than this is
/// not.
pub(crate) const MESSAGE_MAX: usize = 64 * 1024 * 1024;

/// A child with its process group. Dropping it kills the group.
pub(crate) struct Process {
    child: Child,
    group: Group,
    stderr: Option<Stderr>,
}

/// What is said over the child's stdout and stdin.
pub(crate) type Pipes = (ChildStdout, CountedStdin);

pub(crate) struct Start<'a> {
    pub(crate) server: &'a str,
    pub(crate) transport: &'a Transport,
    pub(crate) command: &'a str,
    pub(crate) args: &'a [SecretString],
    pub(crate) env: &'a [(String, SecretString)],
    pub(crate) cwd: Option<&'a std::path::Path>,
}

/// Closes what others of our user may see of this process (`/proc/PID/environ`, `mem`, `fd`): our children are such others,
/// and keys may be in our environment.
pub fn keep_to_ourselves() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(error = %error, "MCP servers that are children can read the environment of this process");
    }
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
        let group = Group::led_by(&child, guard);
        let stdin = child.stdin.take().map(CountedStdin::new);
        let pipes = child.stdout.take().zip(stdin);
        let stderr = child.stderr.take().map(|stderr| Stderr::read(stderr, start, config.log_stderr));
        let process = Self { child, group, stderr };
        let pipes = pipes.ok_or_else(|| ConnectError::Spawn(io::ErrorKind::BrokenPipe.into()))?;
        Ok((process, pipes))
    }

    /// Waits for the child to end. Whoever is left of its group ends with it, at once: later the group's number may be
    /// somebody else's.
    async fn wait(&mut self) -> Option<ExitStatus> {
        let status = self.child.wait().await;
        self.group.end();
        status.ok()
    }

    /// The status of a child that has ended, or is about to.
    pub(crate) async fn exit(&mut self) -> Option<ExitStatus> {
        let status = timeout(LAST_WORDS, self.wait()).await.ok()?;
        self.hear_out().await;
        status
    }

    /// Resolves some moments after the child has ended. Its pipes may outlive it: a child of its own may hold them.
    pub(crate) async fn ended(&mut self) {
        self.wait().await;
        // What it said last is read meanwhile, and the pipe's end mostly tells of its end before this does.
        sleep(LAST_WORDS).await;
    }

    /// Waits for the child, whose stdin is closed, and helps it to end, its children too.
    pub(crate) async fn end(mut self) {
        for signal in [Signal::TERM, Signal::KILL] {
            if timeout(ENDING, self.wait()).await.is_ok() {
                break;
            }
            self.group.signal(signal);
        }
        let _ = timeout(ENDING, self.wait()).await;
        // Nothing of it is there when this returns.
        let _ = timeout(ENDING, self.group.gone()).await;
        self.hear_out().await;
    }

    /// What a child that has ended wrote to stderr is in the pipe.
    async fn hear_out(&mut self) {
        if let Some(stderr) = &mut self.stderr {
            let _ = timeout(LAST_WORDS, stderr.end()).await;
        }
    }
}
