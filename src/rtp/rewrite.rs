//! Rewriting of sequence numbers and timestamps: a receiver sees one stream without a jump, whatever sources follow one another in it.

use std::collections::VecDeque;

use super::timeline::ticks;
use super::vp8::{Numbers, Offsets};

/// So many changes of source back a retransmission can be served.
const PAST_EPOCHS: usize = 8;
/// What is shown at once is squeezed to 2^-8 of its media time: pictures 33 ms apart come 11 ticks apart, and a minute of
/// still slides is a quarter of a second.
const SQUEEZE: u32 = 8;
/// A source that seems further behind the one before it than this, in seconds, has a wrong clock.
const MAX_OVERLAP: i64 = 4;
/// The anchor moves on before media time is so far from it that it looks like the past.
const MAX_FROM_ANCHOR: u32 = 1 << 30;

/// The time from one source to the next in a slot, while a source is sent without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Epoch<S> {
    source: S,
    first_in: u64,
    first_out: u64,
    anchor_in: u32,
    anchor_out: u32,
    pictures: Offsets,
    /// Whether media time before the anchor is squeezed: what is shown at once, and what overlaps the source before.
    squeezed: bool,
}

/// Where a packet goes in the outgoing stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Index of the outgoing packet; its low 16 bits are the sequence number, the rest the roll-over count.
    pub sequence: u64,
    /// Outgoing media time.
    pub timestamp: u32,
    /// To apply to picture numbers.
    pub pictures: Offsets,
}

/// What is known of the packet with which a source begins.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Extended sequence number of the incoming stream.
    pub sequence: u64,
    /// Its media time.
    pub timestamp: u32,
    /// Its picture numbers.
    pub numbers: Numbers,
    /// Replay: the media time at which the source is live now. Everything up to there is shown at once.
    pub live_timestamp: Option<u32>,
}

/// Last packet that went out, on the incoming side.
#[derive(Debug, Clone, Copy)]
struct Last<S> {
    source: S,
    timestamp_in: u32,
    timestamp_out: u32,
    sequence_out: u64,
    numbers_out: Numbers,
}

/// One outgoing stream. `S` names a source.
///
/// **Invariant**: no outgoing index is given to two packets, whatever order sources change in, as long as
/// no source passes one packet twice.
#[derive(Debug)]
pub struct Rewriter<S> {
    /// What goes out now.
    epoch: Option<Epoch<S>>,
    last: Option<Last<S>>,
    /// Apart, so that a packet touches little memory.
    rest: Box<Rest<S>>,
}

/// What of a stream a packet in order has nothing to do with.
#[derive(Debug)]
struct Rest<S> {
    clock_rate: u32,
    first_sequence: u64,
    first_timestamp: u32,
    /// What went out before, for retransmissions, oldest first.
    past: VecDeque<Epoch<S>>,
}

impl<S: Copy + PartialEq> Rewriter<S> {
    /// A stream that begins with these numbers. `first_sequence` below 2^15 leaves the roll-over count beyond doubt (RFC 3711 §3.3.1).
    #[must_use]
    pub fn new(clock_rate: u32, first_sequence: u16, first_timestamp: u32) -> Self {
        let first_sequence = u64::from(first_sequence & 0x7fff);
        let rest = Rest { clock_rate, first_sequence, first_timestamp, past: VecDeque::new() };
        Self { epoch: None, last: None, rest: Box::new(rest) }
    }

    /// The source that goes out now.
    #[must_use]
    pub fn source(&self) -> Option<S> {
        self.epoch.as_ref().map(|epoch| epoch.source)
    }

    /// The source and media time of the last packet in order that went out.
    #[must_use]
    pub fn last_in(&self) -> Option<(S, u32)> {
        self.last.map(|last| (last.source, last.timestamp_in))
    }

    /// From here on, packets of `source` go out. `gap_nanos` is the time on the server's clock from the last packet that
    /// went out to where `start` is live; the outgoing media time moves on by as much. Where that would not leave room
    /// after the last packet, media time is squeezed until it is in step again.
    pub fn begin(&mut self, source: S, start: Start, gap_nanos: Option<i64>) {
        let live = start.live_timestamp.unwrap_or(start.timestamp);
        let at_once = i64::from(live.wrapping_sub(start.timestamp) >> SQUEEZE);
        let (first_out, anchor_in, anchor_out, pictures) = match self.last {
            None => {
                let anchor_out = self.rest.first_timestamp.wrapping_add(at_once as u32);
                (self.rest.first_sequence, live, anchor_out, Offsets::default())
            }
            Some(last) => {
                let least = at_once + 1;
                let gap = ticks(gap_nanos.unwrap_or(0), self.rest.clock_rate).min(i64::from(MAX_FROM_ANCHOR));
                let gap = if gap < -MAX_OVERLAP * i64::from(self.rest.clock_rate) { least } else { gap };
                let short = (least - gap).max(0);
                // What the squeeze leaves of it takes room too.
                let overlap = (short << SQUEEZE).div_euclid((1 << SQUEEZE) - 1) + i64::from(short > 0);
                let anchor_out = last.timestamp_out.wrapping_add((gap + overlap) as u32);
                let pictures = Offsets::following(last.numbers_out, start.numbers);
                (last.sequence_out + 1, live.wrapping_add(overlap as u32), anchor_out, pictures)
            }
        };
        let squeezed = anchor_in != start.timestamp;
        let epoch = Epoch { source, first_in: start.sequence, first_out, anchor_in, anchor_out, pictures, squeezed };
        if let Some(past) = self.epoch.replace(epoch) {
            if self.rest.past.len() == PAST_EPOCHS {
                self.rest.past.pop_front();
            }
            self.rest.past.push_back(past);
        }
    }

    /// The place of a packet of `source`, or `None` if `source` isn't the one that goes out now, or the packet is older than its beginning.
    #[inline]
    pub fn map(&mut self, source: S, sequence: u64, timestamp: u32, numbers: Numbers) -> Option<Mapped> {
        let epoch = self.epoch.as_mut().filter(|epoch| epoch.source == source && sequence >= epoch.first_in)?;
        let mapped = epoch.apply(sequence, timestamp);
        if (MAX_FROM_ANCHOR..1 << 31).contains(&timestamp.wrapping_sub(epoch.anchor_in)) {
            (epoch.anchor_in, epoch.anchor_out, epoch.squeezed) = (timestamp, mapped.timestamp, false);
        }
        if self.last.is_none_or(|last| mapped.sequence > last.sequence_out) {
            self.last = Some(Last {
                source,
                timestamp_in: timestamp,
                timestamp_out: mapped.timestamp,
                sequence_out: mapped.sequence,
                numbers_out: mapped.pictures.apply(numbers),
            });
        }
        Some(mapped)
    }

    /// How many packets, and how many ticks, before this packet the outgoing stream runs as its source did: not across a
    /// change of source, and not where media time is squeezed.
    #[must_use]
    pub fn unbroken(&self, sequence: u64, timestamp: u32) -> (u64, u32) {
        self.epoch.as_ref().map_or((0, 0), |epoch| {
            let since = timestamp.wrapping_sub(epoch.anchor_in) as i32;
            let ticks = if epoch.squeezed { since.max(0) as u32 } else { u32::MAX };
            (sequence.saturating_sub(epoch.first_in), ticks)
        })
    }

    /// Outgoing media time of `timestamp` of the source that goes out now.
    #[must_use]
    pub fn timestamp(&self, source: S, timestamp: u32) -> Option<u32> {
        self.epoch.as_ref().filter(|epoch| epoch.source == source).map(|epoch| epoch.timestamp(timestamp))
    }

    /// The highest number that was given to a packet.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.last.map(|last| last.sequence_out)
    }

    /// Which packet of which source went out under this 16-bit sequence number, and how.
    ///
    /// `timestamp_of` tells the media time of a packet that is still held.
    pub fn resolve(&self, sequence: u16, timestamp_of: impl FnOnce(S, u64) -> Option<u32>) -> Option<(S, u64, Mapped)> {
        let highest = self.last?.sequence_out;
        let back = (highest as u16).wrapping_sub(sequence);
        let out = highest.checked_sub(u64::from(back)).filter(|_| back < 1 << 15)?;
        let mut epochs = self.epoch.iter().chain(self.rest.past.iter().rev());
        let epoch = epochs.find(|epoch| epoch.first_out <= out)?;
        let sequence_in = epoch.first_in + (out - epoch.first_out);
        let timestamp = timestamp_of(epoch.source, sequence_in)?;
        Some((epoch.source, sequence_in, epoch.apply(sequence_in, timestamp)))
    }
}

impl<S> Epoch<S> {
    const fn timestamp(&self, timestamp: u32) -> u32 {
        let since = timestamp.wrapping_sub(self.anchor_in) as i32;
        if since >= 0 {
            self.anchor_out.wrapping_add(since as u32)
        } else {
            let squeeze = if self.squeezed { SQUEEZE } else { 0 };
            self.anchor_out.wrapping_sub(since.unsigned_abs() >> squeeze)
        }
    }

    const fn apply(&self, sequence: u64, timestamp: u32) -> Mapped {
        Mapped {
            sequence: self.first_out + (sequence - self.first_in),
            timestamp: self.timestamp(timestamp),
            pictures: self.pictures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn start(sequence: u64, timestamp: u32) -> Start {
        Start { sequence, timestamp, numbers: Numbers::default(), live_timestamp: None }
    }

    fn map(rewriter: &mut Rewriter<char>, source: char, sequence: u64, timestamp: u32) -> Option<(u64, u32)> {
        rewriter.map(source, sequence, timestamp, Numbers::default()).map(|mapped| (mapped.sequence, mapped.timestamp))
    }

    #[test]
    fn a_change_of_source_leaves_no_gap_and_keeps_its_time() {
        let mut rewriter = Rewriter::new(90_000, 100, 5_000);
        rewriter.begin('a', start(70_000, 1), None);
        assert_eq!(map(&mut rewriter, 'a', 70_000, 1), Some((100, 5_000)));
        assert_eq!(map(&mut rewriter, 'a', 70_002, 6_001), Some((102, 11_000)));
        assert_eq!(map(&mut rewriter, 'b', 80_000, 9), None);
        rewriter.begin('b', start(80_000, u32::MAX - 10), Some(33_333_333));
        assert_eq!(map(&mut rewriter, 'b', 80_000, u32::MAX - 10), Some((103, 13_999)));
        assert_eq!(map(&mut rewriter, 'b', 80_001, 2_989), Some((104, 16_999)));
        assert_eq!(map(&mut rewriter, 'a', 70_003, 9_001), None, "the old source is over");
        assert_eq!(map(&mut rewriter, 'b', 79_999, u32::MAX - 10), None, "older than the beginning");
    }

    #[test]
    fn media_time_never_stands_still_at_a_change() {
        let mut rewriter = Rewriter::new(90_000, 0, 0);
        rewriter.begin('a', start(70_000, 0), None);
        map(&mut rewriter, 'a', 70_000, 0);
        rewriter.begin('b', start(80_000, 0), Some(-5_000_000));
        let (sequence, timestamp) = map(&mut rewriter, 'b', 80_000, 0).expect("it goes out");
        assert!(sequence == 1 && (1..10).contains(&timestamp), "{timestamp}");
        assert_eq!(map(&mut rewriter, 'b', 80_001, 3_000), Some((2, 2_550)), "and it is in step as soon as it can be");
    }

    #[test]
    fn a_replay_is_in_step_where_it_is_live() {
        let mut rewriter = Rewriter::new(90_000, 0, 0);
        rewriter.begin('a', start(70_000, 0), None);
        map(&mut rewriter, 'a', 70_000, 0);
        rewriter.begin('b', Start { live_timestamp: Some(900_000), ..start(80_000, 0) }, Some(100_000_000));
        assert_eq!(map(&mut rewriter, 'b', 80_000, 0), Some((1, 9_000 - 3_515)));
        assert_eq!(map(&mut rewriter, 'b', 80_009, 900_000), Some((10, 9_000)));
    }

    #[test]
    fn packets_are_in_a_row_from_where_their_source_begins_and_time_is_its_own() {
        let mut rewriter = Rewriter::new(48_000, 0, 0);
        assert_eq!(rewriter.unbroken(70_000, 0), (0, 0), "nothing went out yet");
        rewriter.begin('a', start(70_000, 960), None);
        assert_eq!([70_000, 70_001, 70_005].map(|sequence| rewriter.unbroken(sequence, 960).0), [0, 1, 5]);
        map(&mut rewriter, 'a', 70_005, 5_760);
        rewriter.begin('b', start(80_000, 0), Some(-10_000_000));
        assert_eq!(rewriter.unbroken(80_000, 0), (0, 0));
        assert_eq!(rewriter.unbroken(80_001, 100), (1, 0), "it is squeezed in beside the one before");
        let (packets, ticks) = rewriter.unbroken(80_002, 1_920);
        assert!(packets == 2 && (960..1_920).contains(&ticks), "one is in step, the first isn't: {ticks}");
    }

    #[test]
    fn media_time_goes_on_for_days() {
        let mut rewriter = Rewriter::new(90_000, 0, 0);
        rewriter.begin('a', Start { live_timestamp: Some(256_000), ..start(70_000, 0) }, None);
        let mut before = map(&mut rewriter, 'a', 70_000, 256_000).expect("it goes out").1;
        for hour in 1..=72u64 {
            let timestamp = (256_000 + hour * 3_600 * 90_000) as u32;
            let (_, now) = map(&mut rewriter, 'a', 70_000 + hour, timestamp).expect("it goes out");
            assert_eq!(now.wrapping_sub(before), 3_600 * 90_000, "hour {hour}");
            before = now;
        }
    }

    #[test]
    fn a_replay_ends_where_the_source_is_live() {
        let mut rewriter = Rewriter::new(90_000, 0, 0);
        let begin = Start { live_timestamp: Some(256_000), ..start(70_000, 0) };
        rewriter.begin('a', begin, None);
        assert_eq!(map(&mut rewriter, 'a', 70_000, 0), Some((0, 0)));
        assert_eq!(map(&mut rewriter, 'a', 70_001, 128_000), Some((1, 500)));
        assert_eq!(map(&mut rewriter, 'a', 70_002, 256_000), Some((2, 1_000)));
        assert_eq!(map(&mut rewriter, 'a', 70_003, 259_000), Some((3, 4_000)));
    }

    #[test]
    fn a_retransmission_is_found_across_changes() {
        let mut rewriter = Rewriter::new(90_000, 65_000, 0);
        rewriter.begin('a', start(70_000, 0), None);
        for step in 0..40_000 {
            map(&mut rewriter, 'a', 70_000 + step, step as u32);
        }
        rewriter.begin('b', start(500, 0), Some(1_000_000));
        let first = map(&mut rewriter, 'b', 500, 0).expect("it goes out").0;
        let held = |_, _| Some(0);
        assert_eq!(
            rewriter.resolve(first as u16, held).map(|(source, sequence, _)| (source, sequence)),
            Some(('b', 500))
        );
        let before = rewriter.resolve((first - 1) as u16, held).expect("an epoch back");
        assert_eq!((before.0, before.1, before.2.sequence), ('a', 109_999, first - 1));
        assert_eq!(rewriter.resolve((first + 1) as u16, held), None, "not sent yet");
    }

    proptest! {
        /// Any order of changes, losses, late packets and wraps: every packet's index is its own, and the stream is contiguous when its sources are.
        #[test]
        fn indices_are_unique_and_contiguous(
            first in 0u16..0x8000,
            runs in proptest::collection::vec((0u8..3, 1u64..200, proptest::collection::vec(any::<bool>(), 1..40)), 1..30),
        ) {
            let mut rewriter = Rewriter::new(90_000, first, 0);
            let mut heads = [1u64 << 16, 200_000, 3_000_000];
            let mut seen = std::collections::HashSet::new();
            let mut expected = u64::from(first);
            for (source, jump, packets) in runs {
                let head = &mut heads[usize::from(source)];
                *head += jump;
                rewriter.begin(source, start(*head, *head as u32), Some(1_000_000));
                let mut late = Vec::new();
                for arrives in packets {
                    if arrives {
                        let mapped = rewriter.map(source, *head, *head as u32, Numbers::default()).expect("current");
                        prop_assert!(seen.insert(mapped.sequence));
                        prop_assert_eq!(mapped.sequence, expected);
                        expected = mapped.sequence + 1;
                    } else {
                        late.push(*head);
                        expected += 1;
                    }
                    *head += 1;
                }
                for sequence in late {
                    let mapped = rewriter.map(source, sequence, sequence as u32, Numbers::default()).expect("current");
                    prop_assert!(seen.insert(mapped.sequence));
                    expected = expected.max(mapped.sequence + 1);
                }
            }
        }
    }
}
