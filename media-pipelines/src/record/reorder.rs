//! Packets of one stream put in order, as far as waiting for retransmissions is worth it.

use std::collections::BTreeMap;

use bytes::Bytes;
use mingshi_journal::Codec;
use serde::{Deserialize, Serialize};

use super::checkpoint::octets;

/// How long a missing packet is waited for, in nanoseconds of arrival time. Retransmissions come within a few round trips.
pub(super) const PATIENCE: i64 = 1_000_000_000;
/// Packets that may wait behind a missing one. More than that in [`PATIENCE`] is no missing packet but another stream.
const WAITING_AT_MOST: usize = 4_096;

/// A packet with what the ways behind need to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Arrived {
    pub(super) codec: Codec,
    pub(super) marker: bool,
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    pub(super) arrival: i64,
    #[serde(with = "octets")]
    pub(super) payload: Bytes,
}

/// What leaves in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ordered {
    /// The next packet.
    Packet(Arrived),
    /// At least one packet is missing here and isn't waited for any longer.
    Missing,
}

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Reorder {
    next: Option<u64>,
    waiting: BTreeMap<u64, Arrived>,
}

impl Reorder {
    /// Take a packet. One that comes too late, or twice, is dropped.
    pub(super) fn push(&mut self, packet: Arrived, out: &mut Vec<Ordered>) {
        let next = *self.next.get_or_insert(packet.sequence);
        if packet.sequence < next {
            return;
        }
        self.waiting.entry(packet.sequence).or_insert(packet);
        self.release(out);
        if self.waiting.len() > WAITING_AT_MOST {
            self.give_up(out);
        }
    }

    /// Stop waiting for what should have come before `now`.
    pub(super) fn advance(&mut self, now: i64, out: &mut Vec<Ordered>) {
        while let Some((_, first)) = self.waiting.first_key_value()
            && first.arrival.saturating_add(PATIENCE) <= now
        {
            self.give_up(out);
        }
    }

    /// Let everything go: nothing more will come.
    pub(super) fn flush(&mut self, out: &mut Vec<Ordered>) {
        while !self.waiting.is_empty() {
            self.give_up(out);
        }
    }

    fn give_up(&mut self, out: &mut Vec<Ordered>) {
        out.push(Ordered::Missing);
        self.next = self.waiting.first_key_value().map(|(sequence, _)| *sequence);
        self.release(out);
    }

    fn release(&mut self, out: &mut Vec<Ordered>) {
        while let Some(next) = self.next
            && let Some(packet) = self.waiting.remove(&next)
        {
            self.next = Some(next + 1);
            out.push(Ordered::Packet(packet));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64, arrival_ms: i64) -> Arrived {
        let arrival = arrival_ms * 1_000_000;
        Arrived { codec: Codec::Opus, marker: false, sequence, timestamp: 0, arrival, payload: Bytes::new() }
    }

    fn numbers(ordered: &[Ordered]) -> Vec<Option<u64>> {
        let number = |one: &Ordered| match one {
            Ordered::Packet(packet) => Some(packet.sequence),
            Ordered::Missing => None,
        };
        ordered.iter().map(number).collect()
    }

    #[test]
    fn a_retransmission_lands_in_its_place() {
        let (mut reorder, mut out) = (Reorder::default(), Vec::new());
        for (sequence, at) in [(7, 0), (9, 20), (10, 40), (9, 60), (8, 500), (8, 510), (11, 520)] {
            reorder.advance(at * 1_000_000, &mut out);
            reorder.push(packet(sequence, at), &mut out);
        }
        assert_eq!(numbers(&out), [Some(7), Some(8), Some(9), Some(10), Some(11)]);
    }

    #[test]
    fn what_is_missing_for_a_second_is_given_up_and_comes_too_late_afterwards() {
        let (mut reorder, mut out) = (Reorder::default(), Vec::new());
        for (sequence, at) in [(1, 0), (3, 20), (4, 1_000), (5, 1_019)] {
            reorder.advance(at * 1_000_000, &mut out);
            reorder.push(packet(sequence, at), &mut out);
        }
        assert_eq!(numbers(&out), [Some(1)], "still waiting");
        reorder.advance(1_020 * 1_000_000, &mut out);
        reorder.push(packet(2, 1_030), &mut out);
        assert_eq!(numbers(&out), [Some(1), None, Some(3), Some(4), Some(5)]);
    }

    #[test]
    fn at_the_end_everything_leaves_with_its_holes() {
        let (mut reorder, mut out) = (Reorder::default(), Vec::new());
        for sequence in [1, 3, 4, 8] {
            reorder.push(packet(sequence, 0), &mut out);
        }
        reorder.flush(&mut out);
        assert_eq!(numbers(&out), [Some(1), None, Some(3), Some(4), None, Some(8)]);
    }
}
