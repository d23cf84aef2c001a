//! What is known of the publications that are tapped, and what is written of them into which lesson's journal.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mingshi_journal as format;
use mingshi_journal::{Event, LostWhy, Opened, PacketHead, Record, What};

use crate::id::{ConnectionId, LessonId, PublicationId, SourceName};
use crate::lesson::Happening;
use crate::rtp::{av1, h264, vp8};
use crate::units::{Bitrate, ServerClock};
use crate::worker::tap::{Batch, Codec, End, Entry, MediaKind, PublicationSpec, TappedPacket};

use super::book::{Book, Flushed, Span, Trouble};
use super::select::{self, Choice, Picture};
use super::space::Room;

/// An encoding of which nothing came for so long doesn't flow.
const SILENT_AFTER: Duration = Duration::from_millis(2_500);
/// An encoding that is no longer chosen is kept on for so long, and a new publication whole: until a keyframe of the chosen
/// ones has come.
const LINGER: Duration = Duration::from_secs(3);
/// So long after a publication began it is known what its encodings take.
const MEASURED_AFTER: Duration = Duration::from_millis(1_900);
/// A keyframe that doesn't come is asked for again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Sources that end with their lesson are waited for so long.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// A keyframe that is wanted: over whose connection, of which publication and encoding.
pub(super) type Wanted = (ConnectionId, PublicationId, u8);

/// What is known of one encoding.
#[derive(Debug, Clone, Default)]
struct Layer {
    octets: u64,
    rate: Bitrate,
    last_packet: Option<Instant>,
    last_keyframe: Option<Instant>,
    asked: Option<Instant>,
    kept_until: Option<Instant>,
    anchor: Option<(u32, i64)>,
}

impl Layer {
    fn flows(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|last| now.saturating_duration_since(last) < SILENT_AFTER)
    }

    fn is_kept(&self, now: Instant) -> bool {
        self.kept_until.is_some_and(|until| now < until)
    }
}

/// What is known of one publication.
#[derive(Debug)]
struct Publication {
    spec: PublicationSpec,
    layers: Vec<Layer>,
    /// Its number in its lesson's journal, once it stands there.
    number: Option<u16>,
    since: Option<Instant>,
    choice: Choice,
    /// What the journal says of it.
    told: Choice,
    /// What was let go for want of room since that was told last.
    let_go: Option<Span>,
}

/// A lesson that is written.
#[derive(Debug)]
struct Written {
    book: Book,
    last_number: u16,
    closing: Option<Instant>,
}

/// All publications and all lessons that are written.
#[derive(Debug)]
pub(super) struct Desk {
    recordings: PathBuf,
    clock: ServerClock,
    keyframe_every: Duration,
    publications: HashMap<PublicationId, Publication>,
    lessons: BTreeMap<LessonId, Written>,
    room: Room,
    measured: Option<Instant>,
    /// Whether a disk was waited for lately: what the queue lost is its doing.
    pub(super) is_slow: bool,
}

impl Desk {
    pub(super) fn new(recordings: PathBuf, clock: ServerClock, keyframe_every: Duration) -> Self {
        Self {
            recordings,
            clock,
            keyframe_every,
            publications: HashMap::new(),
            lessons: BTreeMap::new(),
            room: Room::Ample,
            measured: None,
            is_slow: false,
        }
    }

    /// The lessons that are to be written are these: takes up those that are new, and closes the others.
    pub(super) fn reconcile(&mut self, on_air: &BTreeMap<LessonId, Opened>, now: Instant) {
        let at = self.clock.unix_nanos(now);
        for (&lesson, opened) in on_air {
            if self.lessons.contains_key(&lesson) {
                continue;
            }
            let folder = super::folder(&self.recordings, lesson);
            let book = Book::open(folder, Opened { at, ..opened.clone() });
            self.lessons.insert(lesson, Written { book, last_number: 0, closing: None });
            self.announce_all(lesson, now);
        }
        for (lesson, written) in &mut self.lessons {
            if !on_air.contains_key(lesson) {
                written.closing.get_or_insert(now + CLOSES_WITHIN);
            }
        }
        let flowing =
            |lesson: &LessonId| self.publications.values().any(|publication| publication.spec.lesson == *lesson);
        let due = |(lesson, written): (&LessonId, &Written)| {
            written.closing.is_some_and(|at| at <= now || !flowing(lesson)).then_some(*lesson)
        };
        for lesson in self.lessons.iter().filter_map(due).collect::<Vec<_>>() {
            let Some(mut written) = self.lessons.remove(&lesson) else { continue };
            for publication in self.publications.values_mut().filter(|publication| publication.spec.lesson == lesson) {
                if let Some(number) = publication.number.take() {
                    written.book.append(&Record::SourceEnded(format::SourceEnded { number, at }));
                }
            }
            match written.book.close(at) {
                Ok(()) => tracing::info!(%lesson, "the journal is closed"),
                // The next start of the server closes it.
                Err(error) => tracing::error!(%error, %lesson, "the journal can't be closed"),
            }
        }
    }

    /// Tells a journal of every publication of its lesson.
    fn announce_all(&mut self, lesson: LessonId, now: Instant) {
        let mut ids = Vec::new();
        for (&id, publication) in &mut self.publications {
            if publication.spec.lesson == lesson {
                publication.number = None;
                ids.push(id);
            }
        }
        for id in ids {
            self.announce(id, now);
        }
    }

    /// Tells the journal of a publication, if it is kept and not told yet.
    fn announce(&mut self, id: PublicationId, now: Instant) {
        let Some(publication) = self.publications.get_mut(&id).filter(|one| one.number.is_none()) else { return };
        let spec = &publication.spec;
        let Some(written) = self.lessons.get_mut(&spec.lesson) else { return };
        written.last_number = written.last_number.wrapping_add(1);
        let number = written.last_number;
        written.book.append(&Record::Source(format::Source {
            number,
            publication: spec.id.to_string(),
            participant: spec.participant.to_string(),
            end: match spec.end {
                End::Studio => format::End::Studio,
                End::Classroom => format::End::Classroom,
            },
            source: spec.source.to_string(),
            kind: match spec.kind {
                MediaKind::Voice => format::Kind::Voice,
                MediaKind::Video => format::Kind::Video,
            },
            rids: spec.rids.clone(),
            at: self.clock.unix_nanos(now),
        }));
        publication.number = Some(number);
        publication.since = Some(now);
        publication.told = Choice::default();
        for (layer, known) in (0..).zip(&mut publication.layers) {
            known.kept_until = Some(now + LINGER);
            // What came before isn't in the journal.
            known.last_keyframe = None;
            if let Some((timestamp, unix_nanos)) = known.anchor {
                written.book.append(&Record::Anchor(format::Anchor { source: number, layer, timestamp, unix_nanos }));
            }
        }
    }

    /// Takes in what a worker handed over.
    pub(super) fn feed(&mut self, batch: &Batch, now: Instant) {
        let mut payloads = &batch.payloads[..];
        for entry in &batch.entries {
            match entry {
                // Whoever is on stage: a child's picture and voice are kept nowhere.
                Entry::Began(spec) if spec.end == End::Classroom => {}
                Entry::Began(spec) => {
                    let layers = vec![Layer::default(); spec.rids.len().max(1)];
                    let spec = (**spec).clone();
                    let (id, choice) = (spec.id, Choice::default());
                    let known =
                        Publication { spec, layers, number: None, since: None, choice, told: choice, let_go: None };
                    self.publications.insert(id, known);
                    self.announce(id, now);
                }
                Entry::Ended(id) => self.ended(*id, now),
                Entry::Restarted(id, layer) => self.restarted(*id, *layer),
                Entry::Anchor { publication, layer, timestamp, unix_nanos } => {
                    self.anchor(*publication, *layer, *timestamp, *unix_nanos);
                }
                Entry::Packet(packet) => {
                    let Some((payload, rest)) = payloads.split_at_checked(packet.length.into()) else { return };
                    payloads = rest;
                    self.packet(packet, payload, now);
                }
                Entry::Lost { publication, span, packets } => {
                    self.lost(*publication, Span { from: span.0, to: span.1, packets: *packets });
                }
            }
        }
    }

    fn book_of(&mut self, id: PublicationId) -> Option<(&mut Publication, &mut Book, u16)> {
        let publication = self.publications.get_mut(&id)?;
        let number = publication.number?;
        let book = &mut self.lessons.get_mut(&publication.spec.lesson)?.book;
        Some((publication, book, number))
    }

    fn ended(&mut self, id: PublicationId, now: Instant) {
        let at = self.clock.unix_nanos(now);
        if let Some((publication, book, number)) = self.book_of(id) {
            if let Some(span) = publication.let_go.take() {
                book.append(&span.lost(Some(number), LostWhy::DiskFull));
            }
            book.append(&Record::SourceEnded(format::SourceEnded { number, at }));
        }
        self.publications.remove(&id);
    }

    fn restarted(&mut self, id: PublicationId, layer: u8) {
        // Of an encoding that isn't kept at present too: it may be again.
        if let Some((_, book, source)) = self.book_of(id) {
            book.append(&Record::Restarted(format::Restarted { source, layer }));
        }
        let publication = self.publications.get_mut(&id);
        if let Some(layer) = publication.and_then(|publication| publication.layers.get_mut(usize::from(layer))) {
            (layer.anchor, layer.last_keyframe) = (None, None);
        }
    }

    fn anchor(&mut self, id: PublicationId, layer: u8, timestamp: u32, unix_nanos: i64) {
        let publication = self.publications.get_mut(&id);
        if let Some(layer) = publication.and_then(|publication| publication.layers.get_mut(usize::from(layer))) {
            layer.anchor = Some((timestamp, unix_nanos));
        }
        if let Some((_, book, source)) = self.book_of(id) {
            book.append(&Record::Anchor(format::Anchor { source, layer, timestamp, unix_nanos }));
        }
    }

    fn packet(&mut self, packet: &TappedPacket, payload: &[u8], now: Instant) {
        let room = self.room;
        let Some(publication) = self.publications.get_mut(&packet.publication) else { return };
        let Some(layer) = publication.layers.get_mut(usize::from(packet.layer)) else { return };
        layer.octets += payload.len() as u64;
        layer.last_packet = Some(now);
        let Some(number) = publication.number else { return };
        let Some(written) = self.lessons.get_mut(&publication.spec.lesson) else { return };
        let is_voice = publication.spec.kind == MediaKind::Voice;
        if room == Room::None || !is_voice && !layer.is_kept(now) {
            // An encoding that isn't chosen is no loss; one that there is no room for is.
            let is_loss = room > Room::Ample && (room == Room::None || publication.choice == Choice::default());
            if is_loss {
                let span = Span { from: packet.arrival, to: packet.arrival, packets: 1 };
                publication.let_go = Some(span.and(publication.let_go));
            }
            return;
        }
        if let Some(span) = publication.let_go.take() {
            written.book.append(&span.lost(Some(number), LostWhy::DiskFull));
        }
        if begins_keyframe(packet.codec, payload) {
            layer.last_keyframe = Some(now);
        }
        let head = PacketHead {
            source: number,
            layer: packet.layer,
            codec: match packet.codec {
                Codec::H264(_) => format::Codec::H264,
                Codec::Vp8 => format::Codec::Vp8,
                Codec::Av1 => format::Codec::Av1,
                Codec::Opus | Codec::Red => format::Codec::Opus,
            },
            marker: packet.marker,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            arrival: packet.arrival,
        };
        written.book.packet(&head, payload);
        if written.book.is_full() {
            // What it comes to shows with the next flush.
            let _ = written.book.flush(now);
        }
    }

    fn lost(&mut self, id: PublicationId, span: Span) {
        let why = if self.is_slow { LostWhy::DiskSlow } else { LostWhy::QueueFull };
        if let Some((_, book, number)) = self.book_of(id) {
            book.append(&span.lost(Some(number), why));
            let reason = if why == LostWhy::DiskSlow { "disk_slow" } else { "queue_full" };
            metrics::counter!("mingshi_journal_lost_packets_total", "reason" => reason).increment(span.packets);
        }
    }

    /// Something happened in a lesson.
    pub(super) fn happened(&mut self, lesson: LessonId, happening: Happening, now: Instant) {
        let at = self.clock.unix_nanos(now);
        let what = match happening {
            Happening::Joined(identity) => What::Joined {
                participant: identity.participant.to_string(),
                name: identity.name.unwrap_or_default(),
                role: identity.role.word().to_owned(),
                school: identity.school,
            },
            Happening::Left(participant) => What::Left { participant: participant.to_string() },
            Happening::Stage(participants) => {
                What::Stage { participants: participants.iter().map(ToString::to_string).collect() }
            }
            Happening::Hand(participant, raised) => What::Hand { participant: participant.to_string(), raised },
        };
        if let Some(written) = self.lessons.get_mut(&lesson) {
            written.book.append(&Record::Event(Event { at, what }));
        }
    }

    /// Measures the encodings, chooses anew what is kept in so much room, and says which keyframes are wanted. To be called
    /// once a second.
    pub(super) fn measure(&mut self, room: Room, now: Instant) -> Vec<Wanted> {
        self.room = room;
        let span = self.measured.replace(now).map(|before| now.saturating_duration_since(before)).unwrap_or_default();
        let mut wanted = Vec::new();
        for publication in self.publications.values_mut() {
            for layer in &mut publication.layers {
                let rate = Bitrate::of(std::mem::take(&mut layer.octets), span);
                // The mean of this second and the ones before, of which each counts half as much as the next.
                layer.rate = if layer.rate == Bitrate::ZERO { rate } else { (layer.rate + rate).scaled(0.5) };
            }
            // At first all is kept, and what it takes isn't known.
            let is_new = publication.since.is_none_or(|since| now.saturating_duration_since(since) < MEASURED_AFTER);
            if is_new || publication.number.is_none() || publication.spec.kind == MediaKind::Voice {
                continue;
            }
            let is_slides = publication.spec.source == SourceName::slides();
            let picture = if is_slides { Picture::Slides } else { Picture::Camera };
            let known =
                publication.layers.iter().map(|layer| select::Layer { rate: layer.rate, flows: layer.flows(now) });
            let known: Vec<_> = known.collect();
            publication.choice = select::choose(&known, publication.choice, picture, room);
            if publication.choice != publication.told
                && let (Some(source), Some(written)) =
                    (publication.number, self.lessons.get_mut(&publication.spec.lesson))
            {
                publication.told = publication.choice;
                let kept = |&layer: &usize| publication.choice.keeps(layer);
                let layers = (0..publication.layers.len()).filter(kept).map(|layer| layer as u8).collect();
                written.book.append(&Record::Keeps(format::Keeps { source, layers, at: self.clock.unix_nanos(now) }));
                let is_left = |(number, layer): (usize, &Layer)| {
                    layer.is_kept(now) && layer.flows(now) && !publication.choice.keeps(number)
                };
                if publication.layers.iter().enumerate().any(is_left) {
                    // Who was shown what ends now goes on with a keyframe of what stays.
                    publication.layers.iter_mut().for_each(|layer| layer.last_keyframe = None);
                }
            }
            for (number, layer) in publication.layers.iter_mut().enumerate() {
                if !publication.choice.keeps(number) {
                    // Where there is no room there is none for what lingers either.
                    if room > Room::Ample {
                        layer.kept_until = None;
                    }
                    continue;
                }
                if !layer.is_kept(now) {
                    // What came before isn't in the journal, and nothing can be shown without a keyframe.
                    layer.last_keyframe = None;
                }
                layer.kept_until = Some(now + LINGER);
                let is_old = |at: Option<Instant>, age| at.is_none_or(|at| now.saturating_duration_since(at) >= age);
                if is_old(layer.last_keyframe, self.keyframe_every) && is_old(layer.asked, ASK_AGAIN) {
                    layer.asked = Some(now);
                    wanted.push((publication.spec.connection, publication.spec.id, number as u8));
                }
            }
        }
        wanted
    }

    /// Writes what waits, in every journal.
    pub(super) fn flush(&mut self, now: Instant) {
        let mut recovered = Vec::new();
        for (lesson, written) in &mut self.lessons {
            let before = written.book.trouble();
            match written.book.flush(now) {
                Flushed::Fine(packets, octets) => {
                    metrics::counter!("mingshi_journal_packets_total").increment(packets);
                    metrics::counter!("mingshi_journal_bytes_total").increment(octets);
                }
                Flushed::Recovered => recovered.push(*lesson),
                Flushed::Refused(error) if before.is_none() => tracing::error!(
                    %error,
                    %lesson,
                    "the lesson can't be recorded; it goes on, and writing is tried every second (录制写不进磁盘，请清理磁盘或检查硬盘；课不受影响)"
                ),
                Flushed::Refused(_) | Flushed::Waits => {}
            }
            let lost = written.book.take_lost();
            let reason = if before == Some(Trouble::Fails) { "disk_fails" } else { "disk_full" };
            if lost > 0 {
                metrics::counter!("mingshi_journal_lost_packets_total", "reason" => reason).increment(lost);
            }
        }
        for lesson in recovered {
            tracing::info!(%lesson, "the lesson is recorded again");
            self.announce_all(lesson, now);
        }
    }

    /// What was written and may not be on the disk yet.
    pub(super) fn take_unsynced(&mut self) -> Vec<format::Unsynced> {
        let all = self.lessons.values_mut().map(|written| written.book.take_unsynced());
        all.filter(|unsynced| !unsynced.is_empty()).collect()
    }

    /// Why something can't be written, if so.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let of_books = self.lessons.values().find_map(|written| written.book.trouble());
        of_books.or_else(|| (self.room == Room::None).then_some(Trouble::NoRoom))
    }

    /// How many lessons are written.
    pub(super) fn lessons(&self) -> usize {
        self.lessons.len()
    }

    /// Writes and syncs everything: the process ends, and the lessons go on in the next.
    pub(super) fn finish(&mut self) {
        for (lesson, written) in &mut self.lessons {
            if let Err(error) = written.book.finish() {
                tracing::error!(%error, %lesson, "the end of the journal can't be written");
            }
        }
    }
}

fn begins_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Opus | Codec::Red => true,
        Codec::Vp8 => vp8::glance(payload).keyframe_start,
        Codec::H264(_) => h264::glance(payload).keyframe_start,
        Codec::Av1 => av1::begins_keyframe(payload),
    }
}

#[cfg(test)]
mod tests;
