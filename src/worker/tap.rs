//! What the journal gets of the publications that come to this worker: each packet once, in the order of arrival, and what
//! becomes of the publications. A media thread never waits for it: what finds no room is counted, and told as lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::id::{PublicationId, SourceName};
pub use crate::rtp::codec::Codec;
use crate::rtp::red;
use crate::rtp::sequence::is_later;
use crate::sfu::Inbound;
pub use crate::sfu::PublicationSpec;
pub use crate::sfu::input::{End, MediaKind};

/// Batches that may wait for the journal.
const CAPACITY: usize = 1_024;
/// Octets of payload that may wait for the journal, of all workers together.
const MOST_WAITING: usize = 64 * 1024 * 1024;
/// What was gathered is handed over after so long, or as soon as it is so large.
const GATHERED_FOR: Duration = Duration::from_millis(10);
const GATHERED_AT_MOST: usize = 128 * 1024;
/// A worker that ends waits so long for room.
const LAST_TRY: Duration = Duration::from_millis(500);

/// A packet, its payload in the batch's octets.
#[derive(Debug, Clone, Copy)]
pub struct TappedPacket {
    /// Of which publication.
    pub publication: PublicationId,
    /// Of which encoding.
    pub layer: u8,
    /// Its codec; redundant audio is taken apart, so this is never [`Codec::Red`].
    pub codec: Codec,
    /// Extended sequence number.
    pub sequence: u64,
    /// Media time.
    pub timestamp: u32,
    /// Marker.
    pub marker: bool,
    /// When it was received, nanoseconds on the server's clock.
    pub arrival: i64,
    /// Octets of payload.
    pub length: u16,
}

/// What the journal is told.
#[derive(Debug)]
pub enum Entry {
    /// A publication begins.
    Began(Box<PublicationSpec>),
    /// It is over.
    Ended(PublicationId),
    /// An encoding's stream began anew.
    Restarted(PublicationId, u8),
    /// A media time of an encoding on the server's clock, from a sender report.
    Anchor {
        /// Of which publication.
        publication: PublicationId,
        /// Of which encoding.
        layer: u8,
        /// Media time.
        timestamp: u32,
        /// The same instant on the server's clock, nanoseconds.
        unix_nanos: i64,
    },
    /// A packet.
    Packet(TappedPacket),
    /// So many packets of a publication found no room.
    Lost {
        /// Of which publication.
        publication: PublicationId,
        /// When the first and the last of them arrived, nanoseconds on the server's clock.
        span: (i64, i64),
        /// How many.
        packets: u64,
    },
}

/// What came together.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order.
    pub entries: Vec<Entry>,
    /// The packets' payloads one after the other.
    pub payloads: Vec<u8>,
}

/// The way from the workers to the journal; cheap to clone.
#[derive(Debug, Clone)]
pub struct Way {
    batches: Sender<Batch>,
    emptied: Receiver<Batch>,
    waiting: Arc<AtomicUsize>,
}

/// The journal's end of the way.
#[derive(Debug)]
pub struct Tapped {
    batches: Receiver<Batch>,
    emptied: Sender<Batch>,
    waiting: Arc<AtomicUsize>,
}

/// Makes a way and its end.
#[must_use]
pub fn way() -> (Way, Tapped) {
    let (batches, received) = bounded(CAPACITY);
    let (emptied_sender, emptied) = bounded(64);
    let waiting = Arc::new(AtomicUsize::new(0));
    let end = Tapped { batches: received, emptied: emptied_sender, waiting: Arc::clone(&waiting) };
    (Way { batches, emptied, waiting }, end)
}

impl Tapped {
    /// The next batch, if one comes in time; none either when all workers are gone, see [`Tapped::is_over`].
    ///
    /// # Errors
    /// Whether the time is up or nothing will ever come.
    pub fn next(&self, patience: Duration) -> Result<Batch, RecvTimeoutError> {
        let batch = self.batches.recv_timeout(patience)?;
        self.waiting.fetch_sub(batch.payloads.len(), Ordering::Relaxed);
        Ok(batch)
    }

    /// Gives a batch back once it has been read: the next is gathered in its memory.
    pub fn give_back(&self, mut batch: Batch) {
        batch.entries.clear();
        batch.payloads.clear();
        // There are enough then.
        let _ = self.emptied.try_send(batch);
    }

    /// Octets of payload that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Which packets of an encoding have been handed over.
#[derive(Debug, Default)]
struct Window {
    highest: Option<u64>,
    /// The time of the highest.
    timestamp: u32,
    seen: [u64; Self::WORDS],
}

impl Window {
    const WORDS: usize = 16;
    const BITS: u64 = 64 * Self::WORDS as u64;

    /// Takes note of a number; returns whether it is new, as far as is remembered.
    fn take(&mut self, sequence: u64, timestamp: u32) -> bool {
        let highest = *self.highest.get_or_insert(sequence);
        if sequence >= highest {
            let passed = (sequence - highest).min(Self::BITS);
            for between in (sequence + 1 - passed)..=sequence {
                let (word, bit) = Self::place(between);
                self.seen[word] &= !bit;
            }
            (self.highest, self.timestamp) = (Some(sequence), timestamp);
        } else if highest - sequence >= Self::BITS {
            // Readers put packets in order, and know by themselves what they have.
            return true;
        }
        let (word, bit) = Self::place(sequence);
        let is_new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        is_new
    }

    const fn place(sequence: u64) -> (usize, u64) {
        ((sequence % Self::BITS / 64) as usize, 1 << (sequence % 64))
    }
}

impl Batch {
    /// Takes a packet that isn't known yet; `of` is its publication, its encoding and its arrival.
    fn keep(&mut self, window: &mut Window, of: (PublicationId, u8, i64), packet: &Inbound<'_>) {
        let Ok(length) = u16::try_from(packet.payload.len()) else { return };
        if length == 0 || !window.take(packet.sequence, packet.timestamp) {
            return;
        }
        let (publication, layer, arrival) = of;
        self.payloads.extend_from_slice(packet.payload);
        self.entries.push(Entry::Packet(TappedPacket {
            publication,
            layer,
            codec: packet.codec,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            arrival,
            length,
        }));
    }
}

/// What is tapped of one publication.
#[derive(Debug)]
struct Source {
    id: PublicationId,
    windows: Vec<Window>,
}

/// A worker's end of the way. Publications go by the keys that the worker's router gives them.
#[derive(Debug)]
pub struct Tap {
    way: Way,
    gathered: Batch,
    /// When what was gathered is to be handed over.
    due: Option<Instant>,
    sources: HashMap<usize, Source>,
}

impl Tap {
    /// One that taps studios; classrooms never are, on stage or not.
    #[must_use]
    pub fn new(way: Way) -> Self {
        Self { way, gathered: Batch::default(), due: None, sources: HashMap::new() }
    }

    /// A local publication begins, under this key.
    pub fn began(&mut self, key: usize, spec: &PublicationSpec) {
        // The slides' backup shows the same once more; a child's picture and voice are kept nowhere.
        if spec.source == SourceName::slides_backup() || spec.end == End::Classroom {
            return;
        }
        let windows = (0..spec.rids.len().max(1)).map(|_| Window::default()).collect();
        self.sources.insert(key, Source { id: spec.id, windows });
        self.gathered.entries.push(Entry::Began(Box::new(spec.clone())));
    }

    /// It is over.
    pub fn ended(&mut self, key: usize) {
        if let Some(source) = self.sources.remove(&key) {
            self.gathered.entries.push(Entry::Ended(source.id));
        }
    }

    /// An encoding's stream began anew.
    pub fn restarted(&mut self, key: usize, layer: u8) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        if let Some(window) = source.windows.get_mut(usize::from(layer)) {
            *window = Window::default();
            self.gathered.entries.push(Entry::Restarted(source.id, layer));
        }
    }

    /// A sender report related an encoding's media time to the server's clock.
    pub fn anchor(&mut self, key: usize, layer: u8, timestamp: u32, unix_nanos: i64) {
        if let Some(source) = self.sources.get(&key) {
            self.gathered.entries.push(Entry::Anchor { publication: source.id, layer, timestamp, unix_nanos });
        }
    }

    /// A packet came, late or not; `arrival` is in nanoseconds on the server's clock.
    pub fn packet(&mut self, key: usize, layer: u8, packet: &Inbound<'_>, arrival: i64) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let Some(window) = source.windows.get_mut(usize::from(layer)) else { return };
        let of = (source.id, layer, arrival);
        if packet.codec != Codec::Red {
            return self.gathered.keep(window, of, packet);
        }
        // What a packet says again fills the gap before it.
        let Some(primary) = red::primary_offset(packet.payload) else { return };
        let (highest, spoken) = (window.highest, window.timestamp);
        let count = red::blocks(packet.payload).count() as u64;
        for (block, back) in red::blocks(packet.payload).zip((1..=count).rev()) {
            let sequence = packet.sequence.saturating_sub(back);
            let timestamp = packet.timestamp.wrapping_sub(block.offset());
            if highest.is_some_and(|highest| sequence > highest) && is_later(timestamp, spoken) {
                let payload = block.payload();
                let said = Inbound { codec: Codec::Opus, sequence, timestamp, marker: false, payload };
                self.gathered.keep(window, of, &said);
            }
        }
        let said = Inbound { codec: Codec::Opus, payload: &packet.payload[primary..], ..*packet };
        self.gathered.keep(window, of, &said);
    }

    /// Hands over what was gathered, once it is time. Returns how many packets found no room.
    pub fn hand_over(&mut self, now: Instant) -> u64 {
        if self.gathered.entries.is_empty() {
            return 0;
        }
        let due = *self.due.get_or_insert(now + GATHERED_FOR);
        if now < due && self.gathered.payloads.len() < GATHERED_AT_MOST {
            return 0;
        }
        self.due = None;
        let octets = self.gathered.payloads.len();
        if self.way.waiting.load(Ordering::Relaxed) + octets > MOST_WAITING {
            return self.lose();
        }
        let next = self.way.emptied.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.gathered, next);
        self.way.waiting.fetch_add(octets, Ordering::Relaxed);
        match self.way.batches.try_send(batch) {
            Ok(()) => 0,
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                self.way.waiting.fetch_sub(octets, Ordering::Relaxed);
                self.gathered = batch;
                self.lose()
            }
        }
    }

    /// Hands over the rest: the worker ends.
    pub fn finish(mut self) {
        let octets = self.gathered.payloads.len();
        self.way.waiting.fetch_add(octets, Ordering::Relaxed);
        if self.way.batches.send_timeout(self.gathered, LAST_TRY).is_err() {
            self.way.waiting.fetch_sub(octets, Ordering::Relaxed);
            tracing::warn!(octets, "the journal didn't take the last of a media thread");
        }
        self.sources.clear();
    }

    /// Forgets the packets that were gathered, and says so with what is handed over next.
    fn lose(&mut self) -> u64 {
        let mut lost: HashMap<PublicationId, ((i64, i64), u64)> = HashMap::new();
        let mut count = 0;
        self.gathered.payloads.clear();
        self.gathered.entries.retain(|entry| {
            let (publication, span, packets) = match entry {
                Entry::Packet(packet) => {
                    count += 1;
                    (packet.publication, (packet.arrival, packet.arrival), 1)
                }
                Entry::Lost { publication, span, packets } => (*publication, *span, *packets),
                // The next sender report says the same again.
                Entry::Anchor { .. } => return false,
                Entry::Began(_) | Entry::Ended(_) | Entry::Restarted(..) => return true,
            };
            let ((from, to), sum) = lost.entry(publication).or_insert((span, 0));
            (*from, *to) = ((*from).min(span.0), (*to).max(span.1));
            *sum += packets;
            false
        });
        let lost = lost.into_iter().map(|(publication, (span, packets))| Entry::Lost { publication, span, packets });
        self.gathered.entries.extend(lost);
        // What is told of a publication comes before its end.
        self.gathered.entries.sort_by_key(|entry| matches!(entry, Entry::Ended(_)));
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ConnectionId, LessonId, ParticipantId};
    use crate::worker::clock;

    fn spec(end: End, source: SourceName, rids: &[&str]) -> PublicationSpec {
        PublicationSpec {
            id: PublicationId::from_u64(7),
            lesson: LessonId::from_u64(1),
            participant: ParticipantId::from_u64(2),
            connection: ConnectionId::random_on(0),
            end,
            source,
            kind: MediaKind::Video,
            rids: rids.iter().map(|&rid| rid.to_owned()).collect(),
            since: clock::now(),
        }
    }

    fn camera() -> PublicationSpec {
        spec(End::Studio, SourceName::camera(), &["l", "h"])
    }

    fn packet(sequence: u64, payload: &[u8]) -> Inbound<'_> {
        Inbound { codec: Codec::Vp8, sequence, timestamp: sequence as u32 * 960, marker: true, payload }
    }

    /// The sequence numbers and payloads of a batch.
    fn packets(batch: &Batch) -> Vec<(u64, Vec<u8>)> {
        let mut at = 0;
        let all = batch.entries.iter().filter_map(|entry| match entry {
            Entry::Packet(packet) => {
                let end = at + usize::from(packet.length);
                let payload = batch.payloads[at..end].to_vec();
                at = end;
                Some((packet.sequence, payload))
            }
            _ => None,
        });
        all.collect()
    }

    fn take(tapped: &Tapped) -> Batch {
        tapped.next(Duration::ZERO).expect("a batch")
    }

    #[test]
    fn a_turn_s_packets_are_handed_over_together_late_ones_too_and_each_once() {
        let (way, tapped) = way();
        let (mut tap, now) = (Tap::new(way), clock::now());
        tap.began(3, &camera());
        for sequence in [10, 12, 12, 11, 10, 13] {
            tap.packet(3, 1, &packet(sequence, &[sequence as u8; 5]), 1);
        }
        tap.packet(4, 0, &packet(1, b"a stranger's"), 1);
        assert_eq!(tap.hand_over(now), 0);
        assert!(tapped.next(Duration::ZERO).is_err(), "it waits for more");
        tap.hand_over(now + GATHERED_FOR);
        let batch = take(&tapped);
        assert!(matches!(&batch.entries[0], Entry::Began(spec) if spec.id == PublicationId::from_u64(7)));
        let expected: Vec<_> = [10, 12, 11, 13].map(|sequence| (sequence, vec![sequence as u8; 5])).into();
        assert_eq!(packets(&batch), expected);
        assert_eq!(tapped.waiting(), 0);
    }

    #[test]
    fn a_stream_that_begins_anew_may_repeat_its_numbers() {
        let (way, tapped) = way();
        let mut tap = Tap::new(way);
        tap.began(3, &camera());
        tap.packet(3, 0, &packet(10, b"before"), 1);
        tap.restarted(3, 0);
        tap.packet(3, 0, &packet(10, b"after"), 2);
        tap.ended(3);
        tap.finish();
        let batch = take(&tapped);
        assert_eq!(packets(&batch), [(10, b"before".to_vec()), (10, b"after".to_vec())]);
        assert!(matches!(batch.entries[2], Entry::Restarted(_, 0)) && matches!(batch.entries[4], Entry::Ended(_)));
        assert!(tapped.next(GATHERED_FOR).is_err_and(|error| error.is_disconnected()));
    }

    #[test]
    fn redundant_voice_is_taken_apart_and_fills_gaps() {
        let (way, tapped) = way();
        let mut tap = Tap::new(way);
        tap.began(3, &spec(End::Studio, SourceName::camera(), &[]));
        let red = |sequence: u64, said: &[u8], before: &[u8]| {
            let blocks = [red::Block::new(960, before).expect("a short block")];
            let mut out = vec![0; red::written_len(&blocks, said.len())];
            red::write(111, &blocks, said, &mut out);
            (sequence, out)
        };
        for (sequence, payload) in [red(1, b"one", b"zero"), red(2, b"two", b"one"), red(4, b"four", b"three")] {
            tap.packet(3, 0, &Inbound { codec: Codec::Red, ..packet(sequence, &payload) }, 1);
        }
        tap.finish();
        let batch = take(&tapped);
        let said = [(1, "one"), (2, "two"), (3, "three"), (4, "four")];
        assert_eq!(packets(&batch), said.map(|(sequence, said)| (sequence, said.as_bytes().to_vec())));
        let is_opus = |entry: &Entry| !matches!(entry, Entry::Packet(packet) if packet.codec != Codec::Opus);
        assert!(batch.entries.iter().all(is_opus));
    }

    #[test]
    fn classrooms_and_the_slides_backup_are_never_tapped() {
        let (way, tapped) = way();
        let mut tap = Tap::new(way);
        tap.began(1, &spec(End::Classroom, SourceName::camera(), &[]));
        tap.began(2, &spec(End::Studio, SourceName::slides_backup(), &[]));
        tap.began(3, &camera());
        for key in 1..=3 {
            tap.packet(key, 0, &packet(1, b"picture"), 1);
        }
        tap.finish();
        assert_eq!(packets(&take(&tapped)).len(), 1, "the teacher's");
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_and_nothing_else_is_lost() {
        let (way, tapped) = way();
        let (mut tap, mut now) = (Tap::new(way), clock::now());
        tap.began(3, &camera());
        let mut lost = 0;
        for sequence in 0..(CAPACITY as u64 + 5) {
            tap.packet(3, 0, &packet(sequence, b"media"), sequence as i64);
            tap.hand_over(now);
            now += GATHERED_FOR;
            lost += tap.hand_over(now);
        }
        tap.ended(3);
        assert_eq!(lost, 5);
        assert_eq!(packets(&take(&tapped)), [(0, b"media".to_vec())]);
        now += GATHERED_FOR;
        tap.hand_over(now);
        tap.hand_over(now + GATHERED_FOR);
        let mut last = take(&tapped);
        while let Ok(batch) = tapped.next(Duration::ZERO) {
            last = batch;
        }
        let [Entry::Lost { span, packets: 5, .. }, Entry::Ended(_)] = last.entries[..] else { panic!("{last:?}") };
        assert_eq!(span, (CAPACITY as i64, CAPACITY as i64 + 4));
    }

    #[test]
    fn a_window_forgets_what_is_long_past() {
        let mut window = Window::default();
        assert!(window.take(5, 0) && !window.take(5, 0));
        assert!(window.take(5 + Window::BITS - 1, 0));
        assert!(!window.take(5, 0), "still remembered");
        assert!(window.take(5 + Window::BITS, 0) && window.take(6, 0));
        assert!(window.take(1 << 40, 0) && !window.take(1 << 40, 0));
        assert!(window.take(7, 0) && window.take(7, 0), "too old to tell");
    }
}
