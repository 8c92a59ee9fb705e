//! Signals. They are sent from here and not by a process, which might start late while a test looks at the clock.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal (`STOP`, `CONT`, `TERM`, `INT`) to a process.
pub(crate) fn send_to(pid: u32, name: &str) {
    let signal = match name {
        "CONT" => Signal::CONT,
        "INT" => Signal::INT,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        _ => panic!("no test has sent {name} so far: add it here"),
    };
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(process, signal).unwrap_or_else(|error| panic!("cannot send {name} to {pid}: {error}"));
}

/// Sends a signal (`-STOP`, `-CONT`) to the process whose number is in a file: to a server that is no child of ours, but of
/// the shell that ends it with us.
pub(crate) fn send(signal: &str, pid_file: &Path) {
    let pid = fs::read_to_string(pid_file).expect("a server that was started");
    send_to(pid.trim().parse().expect("a process id"), signal.trim_start_matches('-'));
}
