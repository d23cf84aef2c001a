//! One encoding of a source on its way to the time line: put in order, held until its time is known, dated, made whole.

use serde::{Deserialize, Serialize};

use super::access_unit::Assembler;
use super::media_clock::MediaClock;
use super::reorder::{Arrived, Ordered, Reorder};

/// How long the first packets are held for a sender report that dates them, in nanoseconds of arrival time. Nobody is in
/// a hurry, and what has its place on the time line can't be moved.
const HELD: i64 = 1_500_000_000;
/// Packets that may be held: more are let go without a report, and nothing is dropped.
const HELD_AT_MOST: usize = 4_096;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stream {
    reorder: Reorder,
    pub(super) clock: MediaClock,
    pub(super) assembler: Assembler,
    /// The first packets, while they are held.
    first: Option<Held>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Held {
    /// When the first one came.
    since: Option<i64>,
    packets: Vec<Ordered>,
}

impl Stream {
    /// A stream with `rate` ticks a second.
    pub(super) fn new(rate: u32) -> Self {
        Self {
            reorder: Reorder::default(),
            clock: MediaClock::new(rate),
            assembler: Assembler::default(),
            first: Some(Held::default()),
        }
    }

    /// Take a packet.
    pub(super) fn push(&mut self, packet: Arrived, out: &mut Vec<Ordered>) {
        if let Some(first) = &mut self.first {
            first.since.get_or_insert(packet.arrival);
            self.clock.arrived(packet.timestamp, packet.arrival);
        }
        let before = out.len();
        self.reorder.push(packet, out);
        self.hold(before, out);
    }

    /// Stop waiting for what should have come before `now`.
    pub(super) fn advance(&mut self, now: i64, out: &mut Vec<Ordered>) {
        let before = out.len();
        self.reorder.advance(now, out);
        self.hold(before, out);
    }

    /// Let everything go that waits in order: nothing more will come.
    pub(super) fn flush(&mut self, out: &mut Vec<Ordered>) {
        let before = out.len();
        self.reorder.flush(out);
        self.hold(before, out);
    }

    /// Whether the first packets are held at present.
    pub(super) fn is_holding(&self) -> bool {
        self.first.as_ref().is_some_and(|first| first.since.is_some())
    }

    /// Whether the first packets needn't be held any longer.
    pub(super) fn may_begin(&self, now: i64) -> bool {
        self.first.as_ref().is_some_and(|Held { since, packets }| {
            since.is_some_and(|since| self.clock.is_anchored() || since + HELD <= now) || packets.len() > HELD_AT_MOST
        })
    }

    /// Let the first packets go; those of other streams of the connection are `late` at present, if that is known.
    pub(super) fn begin(&mut self, late: Option<i64>, out: &mut Vec<Ordered>) {
        if let Some(first) = self.first.take() {
            self.clock.begin(late);
            out.splice(0..0, first.packets);
        }
    }

    /// Keep what was just added to `out`, which had `before`, while the first packets are held.
    fn hold(&mut self, before: usize, out: &mut Vec<Ordered>) {
        if let Some(first) = &mut self.first {
            first.packets.extend(out.drain(before..));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mingshi_journal::Codec;

    const MS: i64 = 1_000_000;

    fn packet(sequence: u64, arrival_ms: i64) -> Arrived {
        let (codec, arrival) = (Codec::Opus, arrival_ms * MS);
        Arrived { codec, marker: false, sequence, timestamp: sequence as u32 * 960, arrival, payload: Bytes::new() }
    }

    #[test]
    fn the_first_packets_wait_for_a_report_and_for_none_longer_than_a_second_and_a_half() {
        for reports in [true, false] {
            let (mut stream, mut out) = (Stream::new(48_000), Vec::new());
            for sequence in 0..20 {
                stream.push(packet(sequence, 5_000), &mut out);
            }
            assert!(out.is_empty() && stream.is_holding() && !stream.may_begin(6_499 * MS));
            if reports {
                stream.clock.anchor(0, 4_000 * MS);
            }
            assert!(stream.may_begin(if reports { 5_100 } else { 6_500 } * MS));
            stream.begin(None, &mut out);
            stream.push(packet(20, 5_020), &mut out);
            assert_eq!(out.len(), 21);
            let begins = if reports { 4_000 } else { 4_620 };
            assert_eq!(stream.clock.instant(0, 5_000 * MS), begins * MS, "without a report, by the least late packet");
        }
    }
}
