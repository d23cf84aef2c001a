//! How much room is left on the disk.

use std::path::Path;

/// The disk that recordings are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Octets that can still be written.
    pub free: u64,
}

impl Disk {
    /// Of the disk that `path`, or whatever of it is there, is on.
    ///
    /// # Errors
    /// When it can't be asked.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let there = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let stat = rustix::fs::statvfs(there)?;
        Ok(Self { free: stat.f_bavail.saturating_mul(stat.f_frsize) })
    }
}
