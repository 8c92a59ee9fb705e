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
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::config::GuardCommand;

/// How long a group may take to end by itself before it is killed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often it is looked whether the guard is still there: until then nobody would end our children with us.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// The longest pause between two looks after guards that do not live.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long the guard's end is waited for.
const ENDING: Duration = Duration::from_secs(1);

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

/// Our side of the guard: started before the first child, and again should somebody have killed it. Cheap to clone; the
/// default has no guard.
#[derive(Clone, Default)]
pub(crate) struct Guard(Option<Arc<Post>>);

/// The thread that looks after the guard. All that waits for the guard waits there.
struct Post {
    /// None once it is to end.
    orders: Option<Sender<Order>>,
    ended: Mutex<Receiver<()>>,
}

enum Order {
    Watch(Pid),
    Forget(Pid),
}

impl Guard {
    pub(crate) fn start(command: Option<GuardCommand>) -> Self {
        let Some(command) = command else { return Self(None) };
        let mut watch = Watch { command, process: None, groups: BTreeSet::new() };
        watch.relieve();
        let (orders, taken) = channel();
        let (end, ended) = channel();
        let stand = move || {
            watch.stand(&taken);
            let _ = end.send(());
        };
        match thread::Builder::new().name("mcp-guard".into()).spawn(stand) {
            Ok(_) => Self(Some(Arc::new(Post { orders: Some(orders), ended: Mutex::new(ended) }))),
            Err(error) => {
                no_guard(&error);
                Self(None)
            }
        }
    }

    /// From now on this group ends with us.
    pub(crate) fn watch(&self, group: Pid) {
        self.order(Order::Watch(group));
    }

    /// This group has ended; its number may become somebody else's.
    pub(crate) fn forget(&self, group: Pid) {
        self.order(Order::Forget(group));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = self.0.as_ref().and_then(|post| post.orders.as_ref()) {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        drop(self.orders.take());
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(ENDING);
    }
}

fn no_guard(error: &io::Error) {
    tracing::warn!(error = %error, "no guard: MCP servers would survive a kill -9 of this process");
}

struct Watch {
    command: GuardCommand,
    process: Option<Child>,
    groups: BTreeSet<i32>,
}

impl Watch {
    /// Until there are no orders any more.
    fn stand(mut self, orders: &Receiver<Order>) {
        let mut pause = LOOK_AFTER;
        loop {
            match orders.recv_timeout(pause) {
                Ok(Order::Watch(group)) => {
                    self.groups.insert(group.as_raw_nonzero().get());
                    self.tell(&format!("+{group}\n"));
                }
                Ok(Order::Forget(group)) => {
                    self.groups.remove(&group.as_raw_nonzero().get());
                    self.tell(&format!("-{group}\n"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let gone = self.process.as_mut().is_none_or(|process| !matches!(process.try_wait(), Ok(None)));
                    if gone {
                        tracing::warn!("the guard of the MCP servers is gone, and another takes its place");
                        self.relieve();
                    }
                    // One that cannot live is not started every second.
                    pause = if gone { (pause * 2).min(LONGEST_PAUSE) } else { LOOK_AFTER };
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(mut process) = self.process.take() {
            // Its stdin closes, it ends what is left, and itself.
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }

    fn tell(&mut self, line: &str) {
        let stdin = self.process.as_mut().and_then(|process| process.stdin.as_mut());
        if stdin.is_none_or(|stdin| stdin.write_all(line.as_bytes()).is_err()) {
            self.relieve();
        }
    }

    /// Starts a guard in place of the one that is gone, and tells it what there is to know.
    fn relieve(&mut self) {
        if let Some(mut gone) = self.process.take() {
            let _ = gone.kill();
            let _ = gone.wait();
        }
        let started = Command::new(&self.command.program)
            .arg0(&self.command.name)
            .args(&self.command.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C goes to the terminal's group; the guard has to outlive us.
            .process_group(0)
            .spawn();
        match started {
            Ok(mut process) => {
                let all: String = self.groups.iter().map(|group| format!("+{group}\n")).collect();
                let _ = process.stdin.as_mut().map(|stdin| stdin.write_all(all.as_bytes()));
                self.process = Some(process);
            }
            Err(error) => no_guard(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use chat_test_support::{TempDir, assert_eventually};

    use super::*;

    /// A guard that writes down its number and what it is told, and does nothing else.
    fn scribe(folder: &TempDir, program: &str) -> (GuardCommand, impl Fn() -> Vec<String>) {
        let journal = folder.path().join("journal");
        let script = program.replace("JOURNAL", &journal.display().to_string());
        let command = GuardCommand { name: "sh".into(), program: "/bin/sh".into(), args: vec!["-c".into(), script] };
        (command, move || fs::read_to_string(&journal).unwrap_or_default().lines().map(str::to_owned).collect())
    }

    /// A process has been started by then, on a busy machine, too.
    const SOON: Duration = Duration::from_secs(20);

    const ATTENTIVE: &str = "echo $$ >> JOURNAL; while read line; do echo \"$line\" >> JOURNAL; done";

    fn group(number: i32) -> Pid {
        Pid::from_raw(number).expect("a number")
    }

    #[tokio::test]
    async fn a_guard_is_there_before_the_first_child_and_is_relieved_when_it_was_killed() {
        let folder = TempDir::new();
        let (command, journal) = scribe(&folder, ATTENTIVE);
        let guard = Guard::start(Some(command));
        assert_eventually!(journal().len() == 1, SOON);
        guard.watch(group(77));
        guard.watch(group(78));
        guard.forget(group(77));
        assert_eventually!(journal().len() == 4, SOON);
        assert_eq!(journal()[1..], ["+77", "+78", "-77"]);
        let pid: i32 = journal()[0].parse().expect("a number");
        rustix::process::kill_process(group(pid), Signal::KILL).expect("it was there");
        assert_eventually!(journal().len() == 6, SOON);
        assert_eq!(journal()[5], "+78", "the new one knows what there is");
    }

    #[tokio::test]
    async fn a_guard_that_will_not_listen_holds_nobody_up() {
        let folder = TempDir::new();
        let (command, journal) = scribe(&folder, "echo $$ >> JOURNAL; exec sleep 60");
        let guard = Guard::start(Some(command));
        assert_eventually!(journal().len() == 1, SOON);
        let began = Instant::now();
        for number in 2..20_000 {
            guard.watch(group(number));
        }
        drop(guard);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        let pid: i32 = journal()[0].parse().expect("a number");
        let _ = rustix::process::kill_process(group(pid), Signal::KILL);
    }
}
