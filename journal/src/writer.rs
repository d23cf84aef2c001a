//! Appending to a journal.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::record::{self, PacketHead, Record};
use crate::segment::{self, SEGMENT_OCTETS};
use crate::{Result, frame};

/// Appends records to the journal in a folder. A journal has one writer at a time; each begins a segment of its own, so what
/// an earlier one left cut off stays as it is.
///
/// Records gather in memory until [`Writer::flush`]; what is flushed survives the end of the process, and what is synced the
/// end of the machine.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    number: u32,
    unix_nanos: i64,
    /// None while the next segment has yet to be begun.
    file: Option<Arc<File>>,
    octets: u64,
    buffer: Vec<u8>,
    /// So many octets at the beginning of the buffer are the rest of a record that is half written.
    half: usize,
    /// Whether something was written to the segment since it was last given out to be synced.
    is_fresh: bool,
    unsynced: Vec<Arc<File>>,
}

/// Files with octets that may not be on the disk yet.
#[derive(Debug, Default)]
pub struct Unsynced(Vec<Arc<File>>);

impl Unsynced {
    /// Waits until all that was flushed before is on the disk. May take long, on any thread but one with media.
    ///
    /// # Errors
    /// When the disk fails; what was not synced may be lost with the machine, and syncing again doesn't tell.
    pub fn sync(self) -> io::Result<()> {
        self.0.iter().try_for_each(|file| file.sync_data())
    }

    /// Whether there is nothing to sync.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Writer {
    /// Goes on with the journal in `folder`, which is made if need be, in a new segment. `unix_nanos` is the present, for the
    /// segments' headers.
    ///
    /// # Errors
    /// When the folder can't be made or the segment not be begun.
    pub fn open(folder: &Path, unix_nanos: i64) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let number = segment::numbers(folder)?.last().copied().unwrap_or(0);
        let mut writer = Self {
            folder: folder.to_owned(),
            number,
            unix_nanos,
            file: None,
            octets: 0,
            buffer: Vec::new(),
            half: 0,
            is_fresh: false,
            unsynced: Vec::new(),
        };
        writer.begin_segment()?;
        Ok(writer)
    }

    /// Adds a record to those that the next [`Writer::flush`] writes.
    ///
    /// # Errors
    /// When it is too long; nothing is added then.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        record::append(record, &mut self.buffer)
    }

    /// Adds a packet without making a [`Record`] of it.
    ///
    /// # Errors
    /// See [`Writer::append`].
    pub fn append_packet(&mut self, head: &PacketHead, payload: &[u8]) -> Result<()> {
        self.unix_nanos = self.unix_nanos.max(head.arrival);
        record::append_packet(head, payload, &mut self.buffer)
    }

    /// The number of the segment that is written.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.number
    }

    /// Octets that wait for the next [`Writer::flush`].
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// When the disk is full or fails. What couldn't be written still waits: flush again, or [`Writer::give_up`].
    pub fn flush(&mut self) -> Result<()> {
        while !self.buffer.is_empty() {
            if self.octets >= SEGMENT_OCTETS && self.half == 0 {
                self.end_segment();
            }
            if self.file.is_none() {
                self.begin_segment()?;
            }
            let Some(file) = &self.file else { continue };
            match (&**file).write(&self.buffer) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => self.written(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Forgets what waits. Where a record was half written, a new segment is begun, so that readers find their way.
    /// Returns how many octets were forgotten.
    pub fn give_up(&mut self) -> usize {
        if self.half > 0 {
            self.end_segment();
        }
        let forgotten = self.buffer.len();
        self.buffer.clear();
        forgotten
    }

    /// What was flushed since this was asked last, to be synced wherever it may take its time.
    pub fn take_unsynced(&mut self) -> Unsynced {
        let mut files = std::mem::take(&mut self.unsynced);
        if std::mem::take(&mut self.is_fresh) {
            files.extend(self.file.clone());
        }
        Unsynced(files)
    }

    /// Flushes and waits until all is on the disk.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        Ok(self.take_unsynced().sync()?)
    }

    /// So many octets of the buffer have been written.
    fn written(&mut self, octets: usize) {
        let mut boundary = self.half;
        while boundary < octets {
            boundary += frame::total(&self.buffer[boundary..]);
        }
        self.half = boundary - octets;
        self.buffer.drain(..octets);
        self.octets += octets as u64;
        self.is_fresh = true;
    }

    fn end_segment(&mut self) {
        self.half = 0;
        self.unsynced.extend(self.file.take());
    }

    fn begin_segment(&mut self) -> Result<()> {
        let file = loop {
            match segment::create(&self.folder, self.number + 1, self.unix_nanos) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.number += 1,
                created => break created?,
            }
        };
        self.number += 1;
        self.octets = 0;
        self.is_fresh = true;
        self.file = Some(Arc::new(file));
        Ok(())
    }
}
