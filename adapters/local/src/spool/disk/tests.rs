//! What the conformance suites cannot know: files, crashes, several processes at one directory.

use std::fs::{self, DirEntry};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chat_domain::session::SessionId;
use uuid::Uuid;

use super::*;

/// A directory that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("chat-local-{}", Uuid::now_v7())))
    }

    async fn open(&self) -> DiskSpool {
        DiskSpool::open(&self.0, DISK_BYTES).await.expect("a spool")
    }

    fn children(&self, of: &str) -> Vec<DirEntry> {
        let mut entries: Vec<DirEntry> =
            fs::read_dir(self.0.join(of)).expect("a directory").map(|entry| entry.expect("an entry")).collect();
        entries.sort_by_key(DirEntry::file_name);
        entries
    }

    fn processes(&self) -> usize {
        self.children("").iter().filter(|entry| entry.file_name() != DEAD_LETTERS).count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn forget(id: u128) -> HistoryOp {
    HistoryOp::Forget { session: SessionId(Uuid::from_u128(id)), is_known: true }
}

async fn append(spool: &DiskSpool, id: u128) -> SpoolId {
    spool.append(&forget(id)).await.expect("room")
}

async fn sessions(spool: &DiskSpool) -> Vec<u128> {
    let pending = spool.pending().await.expect("a list");
    assert!(pending.is_sorted_by(|one, other| one.0 < other.0));
    pending.iter().map(|(_, session)| session.0.as_u128()).collect()
}

fn record_of(spool: &DiskSpool, id: SpoolId) -> PathBuf {
    let held = spool.inner.find(id).expect("held");
    held.directory.path.join(held.name.to_string())
}

#[tokio::test]
async fn what_dead_processes_left_comes_first_and_what_the_living_have_is_left_alone() {
    let scratch = Scratch::new();
    let (first, second, living) = (scratch.open().await, scratch.open().await, scratch.open().await);
    // Taken in turns, as replicas do; their order is that of appending, not of directories.
    append(&second, 1).await;
    append(&first, 2).await;
    append(&second, 3).await;
    append(&living, 9).await;
    drop((first, second));

    let heir = scratch.open().await;
    assert_eq!(sessions(&heir).await, [1, 2, 3]);
    append(&heir, 4).await;
    assert_eq!(sessions(&heir).await, [1, 2, 3, 4]);
    assert_eq!(sessions(&living).await, [9]);
    assert_eq!(scratch.processes(), 4);
    drop(heir);

    // An heir that dies leaves all it had.
    let heir = scratch.open().await;
    assert_eq!(sessions(&heir).await, [1, 2, 3, 4]);
    for (id, session) in heir.pending().await.expect("a list") {
        assert_eq!(heir.load(id).await.expect("readable"), HistoryOp::Forget { session, is_known: true });
        heir.remove(id).await.expect("removed");
    }
    assert_eq!(lock(&heir.inner.state).budget.used, 0);
    assert_eq!(scratch.processes(), 2, "directories that are empty are removed");
    drop((heir, living));
    assert_eq!(scratch.processes(), 1);
    assert_eq!(sessions(&scratch.open().await).await, [9]);
    fs::remove_dir_all(&scratch.0).expect("removed");
    assert!(sessions(&scratch.open().await).await.is_empty());
}

#[tokio::test]
async fn many_processes_that_start_at_once_share_what_was_left() {
    let scratch = Scratch::new();
    for id in 0..8 {
        append(&scratch.open().await, id).await;
    }
    let opening = (0..8).map(|_| scratch.open());
    let heirs = futures_util::future::join_all(opening).await;
    let mut found = Vec::new();
    for heir in &heirs {
        found.extend(sessions(heir).await);
    }
    found.sort_unstable();
    assert_eq!(found, (0..8).collect::<Vec<_>>(), "each record has exactly one heir");
}

#[tokio::test]
async fn torn_files_are_removed_and_foreign_ones_are_left() {
    let scratch = Scratch::new();
    let spool = scratch.open().await;
    let id = append(&spool, 1).await;
    let record = record_of(&spool, id);
    let torn = record.with_file_name("00000000000000000007-x.json.tmp");
    fs::write(&torn, "{\"op\":\"for").expect("written");
    fs::write(record.with_file_name("notes"), "an operator's").expect("written");
    drop(spool);
    let heir = scratch.open().await;
    assert_eq!(sessions(&heir).await, [1]);
    assert!(!torn.exists());
    heir.remove(id).await.expect("removed");
    assert!(record.with_file_name("notes").exists());
}

#[tokio::test]
async fn what_was_never_born_is_removed_once_nobody_can_be_making_it() {
    let scratch = Scratch::new();
    let named = |hours_ago: u64| {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let at = uuid::Timestamp::from_unix(uuid::NoContext, at - hours_ago * 3600, 0);
        scratch.0.join(format!("unborn-{}", Uuid::new_v7(at)))
    };
    let (old, locked, young, odd) = (named(2), named(3), named(0), scratch.0.join("unborn-of-somebody"));
    for path in [&old, &locked, &young, &odd] {
        fs::create_dir_all(path).expect("made");
    }
    fs::write(locked.join("lock"), "").expect("written");
    let _spool = scratch.open().await;
    assert_eq!([&old, &locked, &young, &odd].map(|path| path.exists()), [false, false, true, true]);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_without_quoting_it_and_buried() {
    let scratch = Scratch::new();
    let spool = scratch.open().await;
    let ids = [append(&spool, 1).await, append(&spool, 2).await, append(&spool, 3).await, append(&spool, 4).await];
    let wrong = r#"{"op":"forget","session":"my secret words"}"#;
    fs::write(record_of(&spool, ids[0]), wrong).expect("written");
    fs::write(record_of(&spool, ids[1]), b"\xff\xfe").expect("written");
    fs::remove_file(record_of(&spool, ids[2])).expect("removed");
    fs::copy(record_of(&spool, ids[3]), record_of(&spool, ids[1])).expect("copied");
    for id in &ids[..3] {
        let Err(SpoolError::Corrupt(reason)) = spool.load(*id).await else { panic!("{id:?} should be corrupt") };
        assert!(!reason.to_string().contains("secret"), "{reason}");
        spool.bury(*id, &format!("{reason}\n{}", "x".repeat(10_000))).await.expect("buried");
        spool.bury(*id, "again").await.expect("nothing happens");
    }
    assert_eq!(sessions(&spool).await, [4]);
    let letters = scratch.children(DEAD_LETTERS);
    let names: Vec<String> = letters.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    // Of the one that had vanished there is only the reason.
    assert_eq!(names.len(), 5, "{names:?}");
    assert_eq!(fs::read_to_string(letters[0].path()).expect("a record"), wrong);
    let reason = fs::read_to_string(letters[1].path()).expect("a reason");
    assert!(reason.starts_with("not an operation: Data error") && reason.len() < 2_000, "{reason}");
}

#[tokio::test]
async fn a_dead_letter_that_an_operator_puts_into_a_folder_of_its_own_is_taken_up() {
    let scratch = Scratch::new();
    let spool = scratch.open().await;
    let id = append(&spool, 7).await;
    spool.bury(id, "a table that has been mended since").await.expect("buried");
    drop(spool);
    let again = scratch.0.join("process-again");
    fs::create_dir(&again).expect("a folder");
    let letters = scratch.children(DEAD_LETTERS);
    let letter = letters.iter().find(|entry| entry.path().extension().is_some_and(|is| is == "json"));
    let letter = letter.expect("a dead letter");
    fs::rename(letter.path(), again.join(letter.file_name())).expect("moved");
    assert_eq!(sessions(&scratch.open().await).await, [7]);
}

#[tokio::test]
async fn it_is_private_and_bounded() {
    let scratch = Scratch::new();
    let size = serde_json::to_string(&forget(1)).expect("JSON").len() as u64;
    let spool = DiskSpool::open(&scratch.0, 2 * size).await.expect("a spool");
    let id = append(&spool, 1).await;
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let record = record_of(&spool, id);
    assert_eq!((mode(&record), mode(record.parent().expect("a parent")), mode(&scratch.0)), (0o600, 0o700, 0o700));
    append(&spool, 2).await;
    assert!(matches!(spool.append(&forget(3)).await, Err(SpoolError::Full)));
    assert!(matches!(spool.probe().await, Err(SpoolError::Full)));
    spool.remove(id).await.expect("removed");
    spool.probe().await.expect("room");
    // What is adopted counts.
    drop(spool);
    let heir = DiskSpool::open(&scratch.0, size).await.expect("a spool");
    assert!(matches!(heir.append(&forget(3)).await, Err(SpoolError::Full)));
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_harms_nothing() {
    let scratch = Scratch::new();
    fs::write(&scratch.0, "a file where a directory should be").expect("written");
    assert!(matches!(DiskSpool::open(scratch.0.join("below"), DISK_BYTES).await, Err(SpoolError::Io(_))));
    assert!(matches!(DiskSpool::open(&scratch.0, DISK_BYTES).await, Err(SpoolError::Io(_))));
    fs::remove_file(&scratch.0).expect("removed");

    let spool = scratch.open().await;
    append(&spool, 1).await;
    let used = lock(&spool.inner.state).budget.used;
    let own = spool.inner.own.path.clone();
    let elsewhere = scratch.0.join("elsewhere");
    fs::rename(&own, &elsewhere).expect("moved");
    assert!(matches!(spool.append(&forget(2)).await, Err(SpoolError::Io(_))));
    assert!(matches!(spool.probe().await, Err(SpoolError::Io(_))));
    fs::rename(&elsewhere, &own).expect("moved back");
    spool.probe().await.expect("well again");
    assert_eq!(sessions(&spool).await, [1]);
    assert_eq!(lock(&spool.inner.state).budget.used, used);
    append(&spool, 3).await;
    assert_eq!(sessions(&spool).await, [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_all_there_for_the_next_process() {
    let scratch = Scratch::new();
    let spool = scratch.open().await;
    let ids = futures_util::future::join_all((0..100).map(|id| append(&spool, id))).await;
    assert!(ids.is_sorted_by(|one, other| one < other), "in the order of appending");
    drop(spool);
    assert_eq!(sessions(&scratch.open().await).await, (0..100).collect::<Vec<_>>());
}

#[test]
fn names_are_read_as_they_are_written() {
    let name = RecordName { sequence: 1_763_805_600_123_456, session: SessionId(Uuid::from_u128(7)) };
    assert_eq!(name.to_string(), "00001763805600123456-00000000-0000-0000-0000-000000000007.json");
    assert_eq!(name.to_string().parse(), Ok(name));
    for other in ["", "lock", "1-2.json", "x-00000000-0000-0000-0000-000000000007.json", "probe.tmp", ".json"] {
        assert_eq!(other.parse::<RecordName>(), Err(()), "{other}");
    }
}
