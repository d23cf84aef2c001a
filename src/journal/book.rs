//! One lesson's journal on the disk, and what becomes of it when the disk refuses.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mingshi_journal::{Closed, Error, Lost, LostWhy, Opened, PacketHead, Record, Unsynced, Writer};

/// What the disk refuses is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);
/// Octets that wait at most for a disk that refuses; then they are given up.
const MOST_WAITING: usize = 2 * 1024 * 1024;
/// So much is written at once, sooner than the next flush.
const WRITTEN_AT_ONCE: usize = 512 * 1024;

/// Packets in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// When the first came, nanoseconds on the server's clock.
    pub(super) from: i64,
    /// When the last came.
    pub(super) to: i64,
    /// How many.
    pub(super) packets: u64,
}

impl Span {
    /// Both together.
    pub(super) fn and(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let (from, to) = (self.from.min(other.from), self.to.max(other.to));
        Self { from, to, packets: self.packets + other.packets }
    }

    /// As it is told.
    pub(super) const fn lost(self, source: Option<u16>, why: LostWhy) -> Record {
        Record::Lost(Lost { from: self.from, to: self.to, source, why, packets: self.packets })
    }
}

/// Why nothing can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room.
    NoRoom,
    /// The disk fails in another way.
    Fails,
}

impl Trouble {
    fn of(error: &Error) -> Self {
        match error {
            Error::Io(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                Self::NoRoom
            }
            _ => Self::Fails,
        }
    }

    /// As the journal tells it.
    pub(super) const fn why(self) -> LostWhy {
        match self {
            Self::NoRoom => LostWhy::DiskFull,
            Self::Fails => LostWhy::Other,
        }
    }
}

/// What a flush came to.
#[derive(Debug)]
pub(super) enum Flushed {
    /// All is written: so many packets and octets.
    Fine(u64, u64),
    /// As before, after trouble: what was told meanwhile may be lost, and is to be told again.
    Recovered,
    /// The disk refuses.
    Refused(Error),
    /// It refused lately, and wasn't tried again.
    Waits,
}

/// One lesson's journal.
#[derive(Debug)]
pub(super) struct Book {
    folder: PathBuf,
    opened: Opened,
    writer: Option<Writer>,
    trouble: Option<(Trouble, Instant)>,
    /// What waits has been given up, and so is what comes.
    given_up: bool,
    /// What was added since the last flush that worked.
    waiting: Option<Span>,
    lost: Option<Span>,
    /// Lost packets that no counter has heard of.
    uncounted: u64,
    octets: u64,
}

impl Book {
    /// Takes a lesson's journal up; that the disk refuses shows when it is flushed.
    pub(super) fn open(folder: PathBuf, opened: Opened) -> Self {
        let mut book = Self {
            folder,
            opened,
            writer: None,
            trouble: None,
            given_up: false,
            waiting: None,
            lost: None,
            uncounted: 0,
            octets: 0,
        };
        // Without one the first flush tries again.
        let _ = book.begin();
        book
    }

    fn begin(&mut self) -> Result<(), Error> {
        let mut writer = Writer::open(&self.folder, self.opened.at)?;
        writer.append(&Record::Opened(self.opened.clone()))?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Adds a record that is no packet. In trouble it is let go: sources are told again afterwards.
    pub(super) fn append(&mut self, record: &Record) {
        let Some(writer) = self.writer.as_mut().filter(|_| !self.given_up) else { return };
        if let Err(error) = writer.append(record) {
            tracing::error!(%error, lesson = self.opened.lesson, "a record isn't in the journal");
        }
    }

    /// Adds a packet.
    pub(super) fn packet(&mut self, head: &PacketHead, payload: &[u8]) {
        let span = Span { from: head.arrival, to: head.arrival, packets: 1 };
        let Some(writer) = self.writer.as_mut().filter(|_| !self.given_up) else {
            return self.lose(span);
        };
        match writer.append_packet(head, payload) {
            Ok(()) => self.waiting = Some(span.and(self.waiting)),
            Err(_) => self.lose(span),
        }
    }

    /// Packets are missing; they are told of as soon as that can be written.
    fn lose(&mut self, span: Span) {
        self.uncounted += span.packets;
        self.lost = Some(span.and(self.lost));
    }

    /// Whether so much waits that it should be written now.
    pub(super) fn is_full(&self) -> bool {
        self.trouble.is_none() && self.writer.as_ref().is_some_and(|writer| writer.waiting() > WRITTEN_AT_ONCE)
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self, now: Instant) -> Flushed {
        if self.trouble.is_some_and(|(_, again)| now < again) {
            return Flushed::Waits;
        }
        let had_trouble = self.trouble.is_some();
        let outcome = self.try_flush();
        if let Err(error) = outcome {
            self.trouble = Some((Trouble::of(&error), now + RETRY));
            if self.writer.as_ref().is_some_and(|writer| writer.waiting() > MOST_WAITING) {
                self.give_up();
            }
            return Flushed::Refused(error);
        }
        self.trouble = None;
        let packets = self.waiting.take().map_or(0, |span| span.packets);
        let octets = std::mem::take(&mut self.octets);
        if had_trouble { Flushed::Recovered } else { Flushed::Fine(packets, octets) }
    }

    fn try_flush(&mut self) -> Result<(), Error> {
        if self.writer.is_none() {
            self.begin()?;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if let Some(lost) = self.lost {
            // What was given up and not even begun stands in memory no more, so this comes first.
            let why = self.trouble.map_or(LostWhy::DiskFull, |(trouble, _)| trouble.why());
            writer.flush()?;
            writer.append(&lost.lost(None, why))?;
            if let Err(error) = writer.flush() {
                writer.give_up();
                return Err(error);
            }
            self.lost = None;
        }
        let octets = writer.waiting() as u64;
        writer.flush()?;
        self.octets += octets;
        self.given_up = false;
        Ok(())
    }

    fn give_up(&mut self) {
        self.given_up = true;
        if let Some(writer) = &mut self.writer {
            writer.give_up();
        }
        if let Some(span) = self.waiting.take() {
            self.lose(span);
        }
    }

    /// Why nothing is written, if so.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.map(|(trouble, _)| trouble)
    }

    /// Lost packets since this was asked last.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted)
    }

    /// What was written and may not be on the disk yet.
    pub(super) fn take_unsynced(&mut self) -> Unsynced {
        self.writer.as_mut().map(Writer::take_unsynced).unwrap_or_default()
    }

    /// The lesson is over.
    pub(super) fn close(&mut self, at: i64) -> Result<(), Error> {
        self.try_flush()?;
        self.append(&Record::Closed(Closed { at }));
        self.finish()
    }

    /// Writes and syncs what there is; the process ends, or the lesson.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.try_flush()?;
        Ok(self.take_unsynced().sync()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::clock;
    use mingshi_journal::{Codec, Next, Position, Tail};

    fn opened() -> Opened {
        Opened { lesson: "l".into(), title: "t".into(), teacher: None, subject: None, grade: None, at: 1 }
    }

    fn head(sequence: u64) -> PacketHead {
        let arrival = sequence as i64;
        PacketHead { source: 1, layer: 0, codec: Codec::Vp8, marker: false, sequence, timestamp: 0, arrival }
    }

    fn records(folder: &std::path::Path) -> Vec<Record> {
        let mut tail = Tail::open(folder, Position::default());
        let mut records = Vec::new();
        loop {
            match tail.next().expect("readable") {
                Next::Record(record) => records.push(record),
                Next::Damaged { from, to } => panic!("damage from {from:?} to {to:?}"),
                Next::Waiting => return records,
            }
        }
    }

    #[test]
    fn what_comes_while_the_disk_refuses_is_kept_for_a_while_then_counted_and_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = folder.path().join("journal");
        // A file stands where the folder is to be: nothing can be written.
        std::fs::write(&journal, b"").expect("room");
        let mut now = clock::now();
        let mut book = Book::open(journal.clone(), opened());
        book.packet(&head(1), &[0; 1_000]);
        assert!(matches!(book.flush(now), Flushed::Refused(_)));
        assert!(matches!(book.flush(now), Flushed::Waits));
        book.packet(&head(2), &[0; 1_000]);
        std::fs::remove_file(&journal).expect("it is there");
        now += RETRY;
        assert!(matches!(book.flush(now), Flushed::Recovered));
        assert_eq!(book.take_lost(), 2);
        book.packet(&head(3), b"again");
        assert!(matches!(book.flush(now), Flushed::Fine(1, _)));
        let records = records(&journal);
        let [Record::Opened(_), Record::Lost(lost), Record::Packet(packet)] = &records[..] else {
            panic!("{records:?}")
        };
        assert_eq!((lost.from, lost.to, lost.packets, packet.sequence), (1, 2, 2, 3));
    }

    #[test]
    fn a_book_that_is_closed_ends_with_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut book = Book::open(folder.path().join("journal"), opened());
        book.packet(&head(1), b"media");
        book.close(5).expect("room");
        assert!(mingshi_journal::is_closed(&folder.path().join("journal")).expect("readable"));
        assert_eq!(records(&folder.path().join("journal")).len(), 3);
    }
}
