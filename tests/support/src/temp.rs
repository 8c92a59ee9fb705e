use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder of its own that is removed, with all it holds, when dropped.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a new empty folder under the system's temporary folder.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn new() -> Self {
        loop {
            let path = std::env::temp_dir().join(format!("chat-test-{:016x}", random()));
            // `create_dir` refuses what exists: a folder is never shared with another test.
            match fs::create_dir(&path) {
                Ok(()) => return Self { path },
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot create {}: {error}", path.display()),
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it, with the folders on the way, and returns the file's path.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path.join(name);
        let folder = file.parent().expect("a file has a folder");
        fs::create_dir_all(folder).expect("a temporary folder can be made");
        fs::write(&file, text).expect("a temporary file can be written");
        file
    }
}

impl Default for TempDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Litter in the temporary folder is no reason to fail a test.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Unpredictable enough for a file name: the standard library seeds its hashers from the system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_away_with_its_contents() {
        let folder = TempDir::new();
        let file = folder.write("config/app.yaml", "a: 1");
        assert_eq!(fs::read_to_string(&file).expect("written"), "a: 1");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }
}
