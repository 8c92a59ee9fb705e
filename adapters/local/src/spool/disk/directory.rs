//! One process's part of the spool: [`Directory`], and how files get into it so that a crash leaves all of one or none.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use chat_domain::session::SessionId;
use uuid::Uuid;

/// What the name of a directory begins with before it is locked.
const UNBORN: &str = "unborn-";
const LOCK: &str = "lock";
const RECORD: &str = "json";
const REASON: &str = "txt";
const TEMPORARY: &str = "tmp";

/// Being made takes no time: after an hour, what is still unborn was left by a crash.
const STILLBORN: Duration = Duration::from_secs(60 * 60);

/// A directory of records that belongs to this process while it lives: its own, or one it adopted.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// Locked; the system lets go of it when this process ends, however it ends.
    _lock: File,
}

/// A record's place in the order of all, and the session it belongs to: all that has to be known of it without reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordName {
    pub(super) sequence: u64,
    pub(super) session: SessionId,
}

impl RecordName {
    /// The name of the file that says why the record was buried.
    pub(super) fn reason(&self) -> String {
        format!("{:020}-{}.{REASON}", self.sequence, self.session)
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{}.{RECORD}", self.sequence, self.session)
    }
}

impl FromStr for RecordName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let stem = name.strip_suffix(RECORD).and_then(|rest| rest.strip_suffix('.')).ok_or(())?;
        let (sequence, session) = stem.split_once('-').ok_or(())?;
        Ok(Self { sequence: sequence.parse().map_err(drop)?, session: session.parse().map_err(drop)? })
    }
}

impl Directory {
    /// This process's own. It is made under another name and gets its own once it is locked: nobody adopts it in between.
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        let name = Uuid::now_v7();
        let (unborn, path) = (root.join(format!("{UNBORN}{name}")), root.join(format!("process-{name}")));
        create_private(&unborn)?;
        let lock = File::create(unborn.join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        fs::rename(&unborn, &path)?;
        sync(root)?;
        Ok(Self { path, _lock: lock })
    }

    /// Those whose processes are no more.
    pub(super) fn adopt_all(root: &Path) -> io::Result<Vec<Self>> {
        let mut adopted = Vec::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let is_process = entry.file_name().to_str().is_some_and(|name| name.starts_with("process-"));
            if is_process && entry.file_type()?.is_dir() {
                adopted.extend(Self::adopt(entry.path())?);
            }
        }
        Ok(adopted)
    }

    /// Removes what processes have left that were killed while they made theirs. There is nothing in it.
    pub(super) fn remove_stillborn(root: &Path) -> io::Result<()> {
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let made = entry.file_name().to_str().and_then(|name| made_at(name.strip_prefix(UNBORN)?));
            if made.is_some_and(|made| SystemTime::now().duration_since(made).is_ok_and(|age| age > STILLBORN)) {
                let path = entry.path();
                // What fails here is tried again by the next process; what is not empty is none of ours.
                let _ = fs::remove_file(path.join(LOCK));
                let _ = fs::remove_dir(path);
            }
        }
        Ok(())
    }

    fn adopt(path: PathBuf) -> io::Result<Option<Self>> {
        let lock = match OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK)) {
            Ok(lock) => lock,
            // Another process that starts just now was quicker, and there was nothing in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The records in it, with their sizes in bytes. What a crash left half written was never acknowledged, and is removed.
    pub(super) fn records(&self) -> io::Result<Vec<(RecordName, u64)>> {
        let mut records = Vec::new();
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(records),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            match entry.file_name().to_str().map(RecordName::from_str) {
                Some(Ok(name)) => records.push((name, entry.metadata()?.len())),
                _ if path.extension().is_some_and(|extension| extension == TEMPORARY) => fs::remove_file(path)?,
                _ if path.ends_with(LOCK) => {}
                _ => tracing::warn!(path = %path.display(), "a file in the history spool that is none of ours"),
            }
        }
        Ok(records)
    }

    /// Writes a record. It is on the disk, under its name, when this returns; after an error it is not there.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        write(&self.path, name, bytes)
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    /// Removes a record; one that is not there is removed already.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves a record to another directory; nothing happens if it is not there.
    pub(super) fn move_to(&self, name: &str, other: &Path) -> io::Result<()> {
        match fs::rename(self.path.join(name), other.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync(other).and_then(|()| sync(&self.path)),
        }
    }

    /// Whether a file can be written, told by doing it.
    pub(super) fn probe(&self) -> io::Result<()> {
        let path = self.path.join(format!("probe-{}.{TEMPORARY}", Uuid::now_v7()));
        let written = new_file(&path).and_then(|mut file| {
            file.write_all(b"probe")?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        written.and(removed)
    }
}

impl Drop for Directory {
    /// Removes it if nothing is in it but the lock; otherwise the next process adopts it.
    fn drop(&mut self) {
        let is_lock = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == LOCK);
        if fs::read_dir(&self.path).is_ok_and(|mut entries| entries.all(is_lock)) {
            // What fails here is tried again by the next process.
            let _ = fs::remove_file(self.path.join(LOCK)).and_then(|()| fs::remove_dir(&self.path));
        }
    }
}

/// Writes a file under a temporary name and moves it: it is there whole or not at all, whenever the machine stops.
pub(super) fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (path, temporary) = (directory.join(name), directory.join(format!("{name}.{TEMPORARY}")));
    let write = || {
        let mut file = new_file(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync(directory)
    };
    write().inspect_err(|_| {
        // Not acknowledged, so it must not be found; and a full disk needs the room.
        let _ = fs::remove_file(&temporary);
        let _ = fs::remove_file(&path);
    })
}

/// A file of this name that only this user can read.
fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A directory that only this user can read, with its parents; one that is there is left as it is. All that is made is on
/// the disk when this returns.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let holders: Vec<&Path> = missing.filter_map(Path::parent).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    for holder in holders {
        let holder = if holder.as_os_str().is_empty() { Path::new(".") } else { holder };
        match sync(holder) {
            // One may be allowed to make things in a directory, and not to read it.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// When a directory was named, by its UUID.
fn made_at(id: &str) -> Option<SystemTime> {
    let (seconds, nanos) = id.parse::<Uuid>().ok()?.get_timestamp()?.to_unix();
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// Names are on the disk once their directory is.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
