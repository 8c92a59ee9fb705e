//! What the disk spool acknowledged survives a kill. The process that is killed is this test program once more, run for
//! one of its tests alone.
#![cfg(unix)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use chat_domain::{
    ports::history::{HistoryOp, Spool},
    session::SessionId,
};
use chat_local::spool::{DISK_BYTES, DiskSpool};
use uuid::Uuid;

/// The mark before an acknowledged id on the victim's output.
const KEPT: &str = "kept ";

fn directory(of: u32) -> PathBuf {
    std::env::temp_dir().join(format!("chat-local-crash-{of}"))
}

/// Appends until it is killed. The rest of the test program finds no directory of its parent's and has nothing to do.
#[tokio::test]
async fn victim() {
    let directory = directory(std::os::unix::process::parent_id());
    if !directory.exists() {
        return;
    }
    let spool = DiskSpool::open(directory, DISK_BYTES).await.expect("a spool");
    for number in 0.. {
        let op = HistoryOp::Forget { session: SessionId(Uuid::from_u128(number)), is_known: true };
        let id = spool.append(&op).await.expect("room");
        println!("{KEPT}{}", id.0);
    }
}

async fn run_and_kill(directory: &Path, appends: usize) -> Vec<u64> {
    let mut victim = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "victim", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(victim.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    let kept = |line: String| line.split_once(KEPT).and_then(|(_, id)| id.parse().ok());
    let mut told: Vec<u64> = lines.by_ref().filter_map(kept).take(appends).collect();

    // While it lives nobody takes what is its own.
    let other = DiskSpool::open(directory, DISK_BYTES).await.expect("a spool");
    let pending = other.pending().await.expect("a list");
    assert!(pending.iter().all(|(id, _)| !told.contains(&id.0)), "adopted from the living");
    drop(other);

    victim.kill().expect("killed");
    victim.wait().expect("ended");
    told.extend(lines.filter_map(kept));
    told
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let directory = directory(std::process::id());
    std::fs::create_dir_all(&directory).expect("a directory");
    let mut told = Vec::new();
    for appends in [1, 7, 40] {
        told.extend(run_and_kill(&directory, appends).await);
    }
    assert!(told.len() >= 48 && told.is_sorted());

    let heir = DiskSpool::open(&directory, DISK_BYTES).await.expect("a spool");
    let pending = heir.pending().await.expect("a list");
    // Each victim may have had one more on the disk than it could tell.
    let untold = pending.iter().filter(|(id, _)| !told.contains(&id.0)).count();
    assert!(untold <= 3, "{untold} that nobody was told of");
    assert!(told.iter().all(|id| pending.iter().any(|(found, _)| found.0 == *id)), "an acknowledged record is gone");
    for (id, session) in pending {
        assert_eq!(heir.load(id).await.expect("readable"), HistoryOp::Forget { session, is_known: true });
        heir.remove(id).await.expect("removed");
    }
    drop(heir);
    assert_eq!(std::fs::read_dir(&directory).expect("a directory").count(), 0, "nothing is left behind");
    std::fs::remove_dir(&directory).expect("removed");
}
