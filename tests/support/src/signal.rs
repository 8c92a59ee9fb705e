//! Signals to servers that are no children of ours, but of the shell that ends them with us.

use std::{fs, path::Path, process::Command};

/// Sends a signal (`-STOP`, `-CONT`) to the process whose number is in a file.
pub(crate) fn send(signal: &str, pid_file: &Path) {
    let pid = fs::read_to_string(pid_file).expect("a server that was started");
    let done = Command::new("kill").args([signal, pid.trim()]).status();
    assert!(done.is_ok_and(|status| status.success()), "kill {signal} {pid}");
}
