//! No orphans: a small process beside us that kills our children's process groups when we die without having done so.
//!
//! Killing a child's own group takes its children with it (`npx` starts a shell that starts the server), but only somebody
//! who is alive can do it. The guard reads from a pipe which groups there are; the pipe closes when we die, of `kill -9`
//! too, and then it ends them.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::config::GuardCommand;

/// How long a group may take to end by itself before it is killed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The guard's whole life: to be called by the program that [`GuardCommand`] names.
///
/// Reads lines `+GROUP` and `-GROUP` from stdin, and when that ends, ends all groups that are left.
pub fn run() {
    let mut groups = BTreeSet::new();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let Some((sign, group)) = line.split_at_checked(1) else { continue };
        let Some(group) = group.parse().ok().filter(|&group: &i32| group > 1).and_then(Pid::from_raw) else { continue };
        match sign {
            "+" => groups.insert(group.as_raw_nonzero()),
            _ => groups.remove(&group.as_raw_nonzero()),
        };
    }
    let end = |signal| {
        groups.iter().filter_map(|group| Pid::from_raw(group.get())).for_each(|group| kill_group(group, signal));
    };
    if !groups.is_empty() {
        end(Signal::TERM);
        thread::sleep(LAST_WORDS);
        end(Signal::KILL);
    }
}

/// A group that has ended already is none of our business.
pub(crate) fn kill_group(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}

/// Our side of the guard: started with the first child, and again should somebody have killed it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guard(Arc<Mutex<Post>>);

struct Post {
    command: Option<GuardCommand>,
    process: Option<Child>,
    groups: BTreeSet<i32>,
}

impl Guard {
    pub(crate) fn new(command: Option<GuardCommand>) -> Self {
        Self(Arc::new(Mutex::new(Post { command, process: None, groups: BTreeSet::new() })))
    }

    /// From now on this group ends with us.
    pub(crate) fn watch(&self, group: Pid) {
        let mut post = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let group = group.as_raw_nonzero().get();
        post.groups.insert(group);
        if !post.tell(&format!("+{group}\n")) {
            post.relieve();
        }
    }

    /// This group has ended; its number may become somebody else's.
    pub(crate) fn forget(&self, group: Pid) {
        let mut post = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let group = group.as_raw_nonzero().get();
        if post.groups.remove(&group) && !post.tell(&format!("-{group}\n")) {
            post.relieve();
        }
    }
}

impl Post {
    fn tell(&mut self, line: &str) -> bool {
        let stdin = self.process.as_mut().and_then(|process| process.stdin.as_mut());
        stdin.is_some_and(|stdin| stdin.write_all(line.as_bytes()).is_ok())
    }

    /// Starts a guard in place of the one that is gone, and tells it what there is to know.
    fn relieve(&mut self) {
        if let Some(mut gone) = self.process.take() {
            let _ = gone.kill();
            let _ = gone.wait();
        }
        let Some(command) = &self.command else { return };
        let started = Command::new(&command.program)
            .arg0(&command.name)
            .args(&command.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C goes to the terminal's group; the guard has to outlive us.
            .process_group(0)
            .spawn();
        match started {
            Ok(process) => self.process = Some(process),
            Err(error) => {
                tracing::warn!(error = %error, "no guard: MCP servers would survive a kill -9 of this process");
                return;
            }
        }
        let all: String = self.groups.iter().map(|group| format!("+{group}\n")).collect();
        self.tell(&all);
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Its stdin closes, it ends what is left, and itself.
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}
