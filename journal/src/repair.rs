//! Making a journal end with a whole record.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Error, Next, Position, Result, Tail, record, segment};

/// What says that a journal is closed is shorter, in octets.
const LAST_RECORD: u64 = 128;

/// What a repair came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Octets that were cut off the end.
    pub cut: u64,
}

/// Cuts half a record off the end of the journal in `folder`, as the end of a process leaves it. Damage that has whole records
/// behind it stays: readers pass it by. Nobody may be writing.
///
/// # Errors
/// When a file can't be read or cut.
pub fn repair(folder: &Path) -> Result<Repaired> {
    let Some(&last) = segment::numbers(folder)?.last() else { return Ok(Repaired::default()) };
    let path = segment::path(folder, last);
    let length = fs::metadata(&path)?.len();
    let mut tail = Tail::open(folder, Position { segment: last, offset: 0 });
    tail.finish();
    let header = segment::HEADER as u64;
    let mut end = if length < header { 0 } else { header };
    loop {
        match tail.next() {
            Ok(Next::Waiting) => break,
            Ok(Next::Record(_)) => end = tail.position().offset,
            // It counts once something whole has come behind it.
            Ok(Next::Damaged { .. }) => {}
            // A later make's segment is left to a later make.
            Err(Error::Version { .. }) => return Ok(Repaired::default()),
            Err(error) => return Err(error),
        }
    }
    if end < length {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(Repaired { cut: length.saturating_sub(end) })
}

/// Whether the journal in `folder` ends with [`Record::Closed`](crate::Record::Closed), told by its last octets alone.
///
/// # Errors
/// When the last segment can't be read.
pub fn is_closed(folder: &Path) -> Result<bool> {
    let Some(&last) = segment::numbers(folder)?.last() else { return Ok(false) };
    let file = fs::File::open(segment::path(folder, last))?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LAST_RECORD);
    let mut octets = vec![0; (length - from) as usize];
    file.read_exact_at(&mut octets, from)?;
    Ok((0..octets.len()).any(|at| record::is_closing(&octets[at..])))
}
