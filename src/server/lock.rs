//! One server at a time uses a data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why the data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another server uses it.
    #[error("the data folder {folder} is in use by the server with process id {pid}")]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The other server's process id, as far as it told.
        pid: String,
    },
    /// It can't be made or written to.
    #[error("the data folder {folder} can't be used: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A data folder that is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    // The kernel holds the lock for as long as the file is open.
    _lock: File,
}

impl DataFolder {
    /// Make the folder, readable by us only, and take it.
    ///
    /// # Errors
    /// [`LockError`] says who has it, or why it can't be used.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Folder { folder: path.into(), source };
        make_private(path).map_err(failed)?;
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join("mingshi.lock"));
        let mut lock = options.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = lock.read_to_string(&mut pid);
                return Err(LockError::InUse { folder: path.into(), pid: pid.trim().into() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let write = |mut file: &File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&lock).map_err(failed)?;
        Ok(Self { path: path.into(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A folder that only its owner may look into: it holds keys and children's lessons.
pub(super) fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_server_on_a_folder_is_told_who_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let first = DataFolder::take(&data).expect("a new folder");
        match DataFolder::take(&data) {
            Err(LockError::InUse { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("expected to be refused, got {other:?}"),
        }
        drop(first);
        assert!(DataFolder::take(&data).is_ok(), "free again");
    }
}
