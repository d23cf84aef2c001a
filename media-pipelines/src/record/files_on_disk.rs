//! The one place where the recorder's files are written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::rendition::FileChange;

/// Files that stay open; there is one for every rendition that is being written.
const OPEN_AT_MOST: usize = 32;

/// A DVR folder that is being written.
#[derive(Debug)]
pub(super) struct FilesOnDisk {
    folder: PathBuf,
    open: BTreeMap<String, File>,
    /// Files that were ended and aren't known to be on disk.
    unsynced: Vec<File>,
}

impl FilesOnDisk {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder, open: BTreeMap::new(), unsynced: Vec::new() }
    }

    /// Make a change.
    pub(super) fn apply(&mut self, change: &FileChange) -> io::Result<()> {
        match change {
            FileChange::Put { path, offset, octets } => self.file(path)?.write_all_at(octets, *offset),
            FileChange::End { path, length } => {
                self.file(path)?.set_len(*length)?;
                self.unsynced.extend(self.open.remove(path));
                if self.unsynced.len() > OPEN_AT_MOST { self.sync() } else { Ok(()) }
            }
            FileChange::Replace { path, octets } => {
                let path = self.folder.join(path);
                make_parent(&path)?;
                replace(&path, octets, false)
            }
        }
    }

    /// Whether a file has at least this many octets.
    pub(super) fn has(&self, path: &str, length: u64) -> bool {
        fs::metadata(self.folder.join(path)).is_ok_and(|found| found.len() >= length)
    }

    /// Everything written so far is on disk when this returns.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        for file in self.open.values().chain(&self.unsynced) {
            file.sync_data()?;
        }
        self.unsynced.clear();
        Ok(())
    }

    fn file(&mut self, path: &str) -> io::Result<&mut File> {
        if !self.open.contains_key(path) {
            let whole = self.folder.join(path);
            make_parent(&whole)?;
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(whole)?;
            self.open.insert(path.to_owned(), file);
        }
        self.open.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Put a file with this content in the place of what is there: a reader finds the old one or the new one, whole.
pub(super) fn replace(path: &Path, octets: &[u8], sync: bool) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(octets)?;
    if sync {
        file.sync_data()?;
    }
    fs::rename(&new, path)
}
