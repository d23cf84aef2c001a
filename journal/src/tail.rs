//! Reading a journal, whole or while it is written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::frame::{self, Found, Look};
use crate::record::{self, Read, Record};
use crate::{Error, Result, VERSION, segment};

/// Octets that are read at once.
const CHUNK: usize = 256 * 1024;

/// A place in a journal. The default is its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The segment's number.
    pub segment: u32,
    /// Octets from the segment's beginning.
    pub offset: u64,
}

/// What a reader comes upon next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// A record.
    Record(Record),
    /// Between these places there is nothing that can be read; what comes next stands at `to`.
    Damaged {
        /// Behind the last whole record.
        from: Position,
        /// Where reading goes on.
        to: Position,
    },
    /// Nothing whole is there yet; ask again later. Of a journal that is finished: its end.
    Waiting,
}

/// Follows a journal from a place on, over the ends of segments, while its writer goes on.
#[derive(Debug)]
pub struct Tail {
    folder: PathBuf,
    position: Position,
    /// Where what can't be read begins, while the next record is looked for.
    damaged: Option<Position>,
    file: Option<File>,
    /// What was read from `position` on stands between `at` and `end`.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    is_finished: bool,
}

impl Tail {
    /// Reads the journal in `folder` from `position` on, which is one that [`Tail::position`] once told or the default.
    /// The folder need not be there yet.
    #[must_use]
    pub fn open(folder: &Path, position: Position) -> Self {
        Self {
            folder: folder.to_owned(),
            position,
            damaged: None,
            file: None,
            buffer: Vec::new(),
            at: 0,
            end: 0,
            is_finished: false,
        }
    }

    /// Where the record begins that comes next: a reader that is opened there tells everything that this one has yet to tell.
    #[must_use]
    pub fn position(&self) -> Position {
        self.damaged.unwrap_or(self.position)
    }

    /// Says that nobody writes any more. Half a record at the end is then damage like anywhere else.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// What comes next.
    ///
    /// # Errors
    /// When a file can't be read, or is of a later version of the format.
    #[expect(clippy::should_implement_trait, reason = "what waits may go on, and reading may fail")]
    pub fn next(&mut self) -> Result<Next> {
        loop {
            if self.file.is_none()
                && let Some(next) = self.open_segment()?
            {
                return Ok(next);
            }
            let step = if self.damaged.is_some() {
                self.search()?
            } else if self.position.offset < segment::HEADER as u64 {
                self.header()?
            } else {
                self.record()?
            };
            if let Some(next) = step {
                return Ok(next);
            }
        }
    }

    /// Opens the segment of the position, or tells what there is instead.
    fn open_segment(&mut self) -> Result<Option<Next>> {
        let numbers = segment::numbers(&self.folder)?;
        let Some(&number) = numbers.iter().find(|number| **number >= self.position.segment) else {
            return Ok(Some(self.damage_ends().unwrap_or(Next::Waiting)));
        };
        if number != self.position.segment {
            // From the very beginning on, the first there is will do; anywhere else a segment is missing.
            let missing = Some(self.position).filter(|position| position.segment > 0);
            self.damaged = self.damaged.or(missing);
            self.position = Position { segment: number, offset: 0 };
            if self.damaged.is_some() {
                return Ok(self.damage_ends());
            }
        }
        match File::open(segment::path(&self.folder, number)) {
            Ok(file) => self.file = Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Next::Waiting)),
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    fn header(&mut self) -> Result<Option<Next>> {
        let Some(header) = self.rest().first_chunk::<{ segment::HEADER }>() else {
            return self.more_than_is_there();
        };
        match segment::version(header) {
            Some(version) if version > VERSION => Err(Error::Version { segment: self.position.segment, version }),
            Some(_) => {
                self.pass(segment::HEADER);
                Ok(None)
            }
            None => {
                self.damaged = Some(self.position);
                Ok(None)
            }
        }
    }

    fn record(&mut self) -> Result<Option<Next>> {
        match frame::look(self.rest()) {
            Look::Whole(kind, payload) => {
                let from = self.position;
                let (end, read) = (payload.end, record::read(kind, &self.rest()[payload]));
                self.pass(end);
                Ok(match read {
                    Read::Record(record) => Some(Next::Record(record)),
                    Read::Unknown => None,
                    Read::Unreadable => Some(Next::Damaged { from, to: self.position }),
                })
            }
            Look::Incomplete(_) => self.more_than_is_there(),
            Look::Bad => {
                self.damaged = Some(self.position);
                self.pass(1);
                Ok(None)
            }
        }
    }

    /// Looks for the next whole record behind damage.
    fn search(&mut self) -> Result<Option<Next>> {
        match frame::find(self.rest(), record::is_plausible) {
            Found::At(offset) => {
                self.pass(offset);
                Ok(self.damage_ends())
            }
            Found::NotBefore(offset) => {
                self.pass(offset);
                self.more_than_is_there()
            }
        }
    }

    fn damage_ends(&mut self) -> Option<Next> {
        let to = self.position;
        self.damaged.take().map(|from| Next::Damaged { from, to })
    }

    /// What was read so far isn't enough: reads more, goes on to the next segment, or waits.
    fn more_than_is_there(&mut self) -> Result<Option<Next>> {
        if self.fill()? > 0 {
            return Ok(None);
        }
        let later = segment::numbers(&self.folder)?.into_iter().find(|number| *number > self.position.segment);
        if later.is_none() && !self.is_finished {
            return Ok(Some(Next::Waiting));
        }
        // The writer may have added to this segment before it began the next.
        if self.fill()? > 0 {
            return Ok(None);
        }
        if !self.rest().is_empty() {
            // It will never be whole. There may still be whole records in what it claims to be long.
            self.damaged = self.damaged.or(Some(self.position));
            self.pass(1);
            return Ok(None);
        }
        let Some(later) = later else { return Ok(Some(self.damage_ends().unwrap_or(Next::Waiting))) };
        self.file = None;
        (self.at, self.end) = (0, 0);
        let is_missing = later != self.position.segment + 1;
        if is_missing {
            self.damaged = self.damaged.or(Some(self.position));
        }
        self.position = Position { segment: later, offset: 0 };
        Ok(self.damage_ends())
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..self.end]
    }

    fn pass(&mut self, octets: usize) {
        self.at += octets;
        self.position.offset += octets as u64;
    }

    /// Reads on; tells how many octets came.
    fn fill(&mut self) -> Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK];
        } else if self.buffer.len() < self.end + CHUNK / 2 {
            self.buffer.resize(self.end + CHUNK, 0);
        }
        loop {
            match file.read_at(&mut self.buffer[self.end..], self.position.offset + self.end as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
            }
        }
    }
}
