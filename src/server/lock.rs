//! One server at a time uses a data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the server that has a data folder says of itself in the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// Its process id; empty where it can't be read.
    pub pid: String,
    /// Where it is reached, as `http://127.0.0.1:8080`, several separated by a space; empty until it listens.
    pub addresses: String,
    /// Since when it runs, RFC 3339 in UTC; empty until it listens.
    pub since: String,
}

impl Holder {
    fn read(file: &File) -> Self {
        let mut text = String::new();
        // What can't be read is not known; that the folder is taken holds all the same.
        let _ = file.take(MAX_LOCK_FILE).read_to_string(&mut text);
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| *key == name));
            value.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        Self { pid: field("pid"), addresses: field("addresses"), since: field("since") }
    }

    fn write(&self, mut file: &File) -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "pid={}\naddresses={}\nsince={}\n", self.pid, self.addresses, self.since)
    }

    /// In Chinese, as part of a sentence.
    #[must_use]
    pub fn in_chinese(&self) -> String {
        let mut words = format!("进程号 {}", known(&self.pid, "未知"));
        for (word, value) in [("地址", &self.addresses), ("启动于", &self.since)] {
            if !value.is_empty() {
                words += &format!("，{word} {value}");
            }
        }
        words
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process id {}", known(&self.pid, "unknown"))?;
        for (word, value) in [("at", &self.addresses), ("since", &self.since)] {
            if !value.is_empty() {
                write!(f, ", {word} {value}")?;
            }
        }
        Ok(())
    }
}

fn known<'a>(value: &'a str, otherwise: &'a str) -> &'a str {
    if value.is_empty() { otherwise } else { value }
}

/// Why the data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another server uses it.
    #[error(
        "数据目录 {folder} 已由另一个服务器使用（{}）。 The data folder {folder} is in use by another server ({holder})",
        holder.in_chinese()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The other server, as far as it told.
        holder: Holder,
    },
    /// It can't be made or written to.
    #[error("数据目录 {folder} 无法使用。 The data folder {folder} can't be used: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// More than this no server writes into a lock file.
const MAX_LOCK_FILE: u64 = 4096;

/// A data folder that is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    // The kernel holds the lock for as long as the file is open.
    lock: File,
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
        let lock = options.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::InUse { folder: path.into(), holder: Holder::read(&lock) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let taken = Self { path: path.into(), lock };
        taken.tell(&Holder { pid: std::process::id().to_string(), ..Holder::default() });
        Ok(taken)
    }

    /// Tell whoever comes second where we are reached and since when.
    pub fn announce(&self, addresses: &[String], since: OffsetDateTime) {
        let since = since.replace_nanosecond(0).unwrap_or(since).format(&Rfc3339).unwrap_or_default();
        self.tell(&Holder { pid: std::process::id().to_string(), addresses: addresses.join(" "), since });
    }

    /// The folder is ours whether or not this can be told: a full disk must not keep a server from coming back.
    fn tell(&self, holder: &Holder) {
        if let Err(error) = holder.write(&self.lock) {
            tracing::warn!(%error, folder = %self.path.display(), "the lock file can't be written");
        }
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
    use time::macros::datetime;

    #[test]
    fn the_second_server_on_a_folder_is_told_who_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let first = DataFolder::take(&data).expect("a new folder");
        let refused = || DataFolder::take(&data).expect_err("it is taken").to_string();
        let pid = std::process::id();
        assert!(refused().contains(&format!("（进程号 {pid}）")), "{}", refused());
        first.announce(&["http://127.0.0.1:8080".into()], datetime!(2026-11-24 08:00:00.5 UTC));
        for part in [
            format!("进程号 {pid}，地址 http://127.0.0.1:8080，启动于 2026-11-24T08:00:00Z"),
            format!("process id {pid}, at http://127.0.0.1:8080, since 2026-11-24T08:00:00Z"),
        ] {
            assert!(refused().contains(&part), "{}", refused());
        }
        drop(first);
        assert!(DataFolder::take(&data).is_ok(), "free again");
    }

    #[test]
    fn a_lock_file_that_nobody_holds_or_can_read_is_no_obstacle() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("mingshi.lock");
        std::fs::write(&file, [0xff; 9000]).expect("left behind");
        let first = DataFolder::take(folder.path()).expect("nobody holds it");
        std::fs::write(&file, [0xff; 9000]).expect("overwritten by somebody");
        let refused = DataFolder::take(folder.path()).expect_err("it is taken").to_string();
        assert!(refused.contains("process id unknown"), "{refused}");
        drop(first);
    }
}
