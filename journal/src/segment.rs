//! The files that a journal is made of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The version of the format that is written, and the latest that is read.
pub const VERSION: u16 = 1;

/// A segment that has grown so long, in octets, is followed by the next.
pub const SEGMENT_OCTETS: u64 = 64 * 1024 * 1024;

const MAGIC: [u8; 8] = *b"MINGSHIJ";

/// Octets before the first record: magic, version, number, nanoseconds since 1970, checksum.
pub(crate) const HEADER: usize = 26;

const SUFFIX: &str = "journal";

pub(crate) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.{SUFFIX}"))
}

/// The numbers of the segments in a folder, in order; none where there is no folder.
pub(crate) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.strip_suffix('.'));
        numbers.extend(stem.and_then(|stem| stem.parse::<u32>().ok()).filter(|number| *number > 0));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Begins a segment. Its name is on the disk when this returns.
pub(crate) fn create(folder: &Path, number: u32, unix_nanos: i64) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create_new(true).open(path(folder, number))?;
    let written = file.write_all(&header(number, unix_nanos)).and_then(|()| File::open(folder)?.sync_all());
    if let Err(error) = written {
        // Where there is no room, nothing shall be left of each attempt.
        let _ = fs::remove_file(path(folder, number));
        return Err(error);
    }
    Ok(file)
}

fn header(number: u32, unix_nanos: i64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[10..14].copy_from_slice(&number.to_le_bytes());
    header[14..22].copy_from_slice(&unix_nanos.to_le_bytes());
    let sum = crc32c::crc32c(&header[..22]);
    header[22..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The version that a segment's header names; `None` if it is no such header.
pub(crate) fn version(header: &[u8; HEADER]) -> Option<u16> {
    let sum = u32::from_le_bytes([header[22], header[23], header[24], header[25]]);
    (header.starts_with(&MAGIC) && crc32c::crc32c(&header[..22]) == sum)
        .then(|| u16::from_le_bytes([header[8], header[9]]))
}
