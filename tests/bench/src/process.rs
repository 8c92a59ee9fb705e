//! Child processes, and what `/proc` tells about them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::Failure;

/// How long a process may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A child process; ended when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let name = command.get_program().to_owned();
        let child = command.spawn();
        let child = child.map_err(|error| format!("cannot start {}: {error}", name.display()))?;
        Ok(Self { child })
    }

    /// Starts this program as one of its other selves, and learns the port it listens on.
    pub(crate) fn start_self(arguments: &[&str]) -> Result<(Self, SocketAddr), Failure> {
        let mut process = Self::start(
            Command::new(std::env::current_exe()?)
                .args(arguments)
                // Held open as long as we live: its end tells the child to end.
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        let stdout = process.child.stdout.take().expect("piped");
        let mut port = String::new();
        BufReader::new(stdout).read_line(&mut port)?;
        let port = port.trim().parse().map_err(|_| format!("{arguments:?} did not start"))?;
        Ok((process, SocketAddr::from(([127, 0, 0, 1], port))))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error when it has ended.
    pub(crate) fn check_running(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("ended early: {status}").into()),
            None => Ok(()),
        }
    }

    fn terminate(&mut self) -> std::io::Result<()> {
        // The standard library only knows SIGKILL, after which nginx's workers would live on.
        let pid = self.pid().to_string();
        Command::new("sh").args(["-c", r#"kill -TERM "$0""#, &pid]).stderr(Stdio::null()).status()?;
        let deadline = Instant::now() + GRACE;
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // Each of these fails only for a process that has ended by then.
        let _ = self.terminate();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process and its children, taken once all of them run.
#[derive(Clone, Debug)]
pub(crate) struct Tree(Vec<u32>);

impl Tree {
    /// The tree below a process.
    pub(crate) fn of(root: u32) -> Self {
        let mut tree = vec![root];
        let processes: Vec<(u32, u32)> = pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
        let mut next = 0;
        while let Some(&parent) = tree.get(next) {
            tree.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        Self(tree)
    }

    /// A process without its children.
    pub(crate) fn alone(pid: u32) -> Self {
        Self(vec![pid])
    }

    /// How many there are below the root.
    pub(crate) fn children(&self) -> usize {
        self.0.len() - 1
    }

    /// User and system time that all of it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u64 = self.0.iter().filter_map(|&pid| ticks(pid)).sum();
        Duration::from_secs_f64(ticks as f64 / ticks_per_second())
    }

    /// Memory that is resident for all of it, in bytes.
    pub(crate) fn rss(&self) -> u64 {
        self.0.iter().filter_map(|&pid| resident(pid)).sum()
    }
}

/// How many files a process has open.
pub(crate) fn open_files(pid: u32) -> Result<usize, Failure> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/PID/stat` behind the name, which may hold anything: from the state on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

fn ticks(pid: u32) -> Option<u64> {
    let stat = stat(pid)?;
    let field = |index: usize| stat.get(index)?.parse::<u64>().ok();
    Some(field(11)? + field(12)?)
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The unit of the times in `/proc`, which only `sysconf` knows; 100 on every common Linux.
fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let output = Command::new("getconf").arg("CLK_TCK").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().trim().parse().unwrap_or(100.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_itself() {
        let tree = Tree::of(std::process::id());
        assert!(tree.rss() > 100 * 1024);
        // However little of the machine's time is ours.
        let (start, before) = (Instant::now(), tree.cpu());
        while tree.cpu() < before + Duration::from_millis(20) {
            assert!(start.elapsed() < Duration::from_secs(20), "what is worked does not show");
        }
        assert!(open_files(std::process::id()).expect("a process") >= 3);
    }

    #[test]
    fn sees_children() {
        let child = Process::start(Command::new("sleep").arg("60")).expect("sleep starts");
        let tree = Tree::of(std::process::id());
        assert!(tree.0.contains(&child.pid()));
        assert!(tree.children() >= 1);
        assert_eq!(Tree::alone(std::process::id()).children(), 0);
    }
}
