//! Processes, as `/proc` shows them.

use std::{fs, process::Command};

/// Whether a process is there and not only waiting to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// All that a process has started, and what these have.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.1)))
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(all.iter().filter(|(_, its_parent)| *its_parent == parent).map(|(child, _)| child));
        next += 1;
    }
    found.remove(0);
    found
}

/// The guard among the children of a service.
pub(crate) fn guard_of(pid: u32) -> Option<u32> {
    let is_guard = |pid: &u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_alive(*pid) && line.contains("mcp-guard")
    };
    descendants(pid).into_iter().find(is_guard)
}

/// How many sockets a process has open, and how many files, pipes and what else there is.
pub(crate) fn open_files(pid: u32) -> (usize, usize) {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process that runs");
    let kinds = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let (sockets, others): (Vec<_>, Vec<_>) = kinds.partition(|kind| kind.to_string_lossy().starts_with("socket:"));
    (sockets.len(), others.len())
}

/// Ends a process at once.
pub(crate) fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()), "{pid} cannot be killed");
}

/// State and parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have blanks and brackets in it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
