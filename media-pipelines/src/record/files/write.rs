//! Files that are whole or not there, whenever the process is killed.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::mp4::{Layout, Piece};

/// How much is copied at once.
const COPY_BLOCK: usize = 256 << 10;
/// Segments that stay open while pictures and voice take turns.
const OPEN_AT_MOST: usize = 4;

/// Where `name` is written until it is whole.
#[must_use]
pub fn unfinished(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.part"))
}

/// Remove what an earlier run had not finished.
///
/// # Errors
/// What the system says.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with('.') && name.contains(".part")) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Wait until the disk has what was written of `name`.
///
/// # Errors
/// What the system says.
pub fn sync(folder: &Path, name: &str) -> io::Result<()> {
    File::open(unfinished(folder, name))?.sync_all()
}

/// Give a finished file its name, for good: its octets and its name outlive a power failure.
///
/// # Errors
/// What the system says.
pub fn publish(folder: &Path, name: &str) -> io::Result<()> {
    sync(folder, name)?;
    fs::rename(unfinished(folder, name), folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// Write a small file in one go.
///
/// # Errors
/// What the system says.
pub fn write_whole(folder: &Path, name: &str, octets: &[u8]) -> io::Result<()> {
    fs::write(unfinished(folder, name), octets)?;
    publish(folder, name)
}

/// Copy a small file.
///
/// # Errors
/// What the system says.
pub fn copy_whole(from: &Path, folder: &Path, name: &str) -> io::Result<()> {
    fs::copy(from, unfinished(folder, name))?;
    publish(folder, name)
}

/// Write a movie to `path`, its samples copied from `sources` with a bounded amount of memory. Only [`publish`] waits for
/// the disk.
///
/// # Errors
/// What the system says; a source that ends before a sample does is [`io::ErrorKind::UnexpectedEof`].
pub fn write_movie(path: &Path, layout: &Layout, sources: &[PathBuf]) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(4 * COPY_BLOCK, File::create(path)?);
    output.write_all(&layout.head)?;
    let mut open = OpenFiles { sources, files: VecDeque::new() };
    let mut block = vec![0; COPY_BLOCK];
    for piece in &layout.pieces {
        match piece {
            Piece::Here(octets) => output.write_all(octets)?,
            Piece::Copied { file, offset, size } => {
                let source = open.get(*file)?;
                let (mut offset, end) = (*offset, *offset + *size);
                while offset < end {
                    let length = usize::try_from(end - offset).unwrap_or(COPY_BLOCK).min(COPY_BLOCK);
                    source.read_exact_at(&mut block[..length], offset)?;
                    output.write_all(&block[..length])?;
                    offset += length as u64;
                }
            }
        }
    }
    output.flush()
}

/// The few sources that were read last.
struct OpenFiles<'a> {
    sources: &'a [PathBuf],
    files: VecDeque<(u32, File)>,
}

impl OpenFiles<'_> {
    fn get(&mut self, number: u32) -> io::Result<&File> {
        if !self.files.iter().any(|(open, _)| *open == number) {
            let path = self.sources.get(number as usize).ok_or(io::ErrorKind::NotFound)?;
            self.files.truncate(OPEN_AT_MOST - 1);
            self.files.push_front((number, File::open(path)?));
        }
        let found = self.files.iter().find(|(open, _)| *open == number);
        found.map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
