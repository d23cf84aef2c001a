//! What was sent on one connection, until the receiver has told what became of it.

use std::time::{Duration, Instant};

/// How many packets are remembered: a second of 10 Mbit/s, which covers a round trip and the pause between reports.
const REMEMBERED: usize = 1024;
/// The bits of a number that `REMEMBERED` leaves to the tag.
const TAG_SHIFT: u32 = REMEMBERED.trailing_zeros();
const OPEN: u8 = 0b0100_0000;
const TOLD_LOST: u8 = 0b1000_0000;
const TAG: u8 = 0b0011_1111;

/// The unit of a reference time: 64 ms.
const REFERENCE_MICROS: i64 = 64_000;
/// The unit of a delta: 250 µs.
const DELTA_MICROS: i64 = 250;
/// After how many reference times (24 bits) they begin anew.
const REFERENCE_SPAN: i64 = 1 << 24;

/// What a packet was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Voice, video, and what is sent again of it.
    Media,
    /// Padding of one probe, by its cluster.
    Probe(u8),
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// When it left.
    pub sent: Instant,
    /// When it arrived, on the receiver's time line, whose origin means nothing; `None` = it hasn't arrived.
    pub received: Option<Duration>,
    /// What it took of the line.
    pub octets: u16,
    /// What it was sent for.
    pub kind: Kind,
    /// An earlier report told of it as lost: it was only late.
    pub late: bool,
}

/// Eight octets for one packet.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Microseconds after the history's origin, modulo 2^32 (71 minutes).
    at: u32,
    octets: u16,
    /// 0 = media, else the cluster plus one.
    kind: u8,
    /// The upper bits of its number, and what was told of it.
    tag: u8,
}

/// The packets of one connection by their transport-wide number
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
#[derive(Debug)]
pub struct SentHistory {
    origin: Option<Instant>,
    entries: Box<[Entry; REMEMBERED]>,
    /// The last reference time, counted on over its wraps.
    reference: Option<i64>,
}

impl Default for SentHistory {
    fn default() -> Self {
        Self::new()
    }
}

impl SentHistory {
    /// Nothing sent yet.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: None, entries: Box::new([Entry::default(); REMEMBERED]), reference: None }
    }

    /// Remembers that packet `number` left at `at`; `octets` is its datagram and 28 for IP and UDP.
    pub fn sent(&mut self, number: u16, at: Instant, octets: u16, kind: Kind) {
        let origin = *self.origin.get_or_insert(at);
        let entry = &mut self.entries[usize::from(number) % REMEMBERED];
        entry.at = at.saturating_duration_since(origin).as_micros() as u32;
        entry.octets = octets;
        entry.kind = match kind {
            Kind::Media => 0,
            Kind::Probe(cluster) => cluster.saturating_add(1),
        };
        entry.tag = (number >> TAG_SHIFT) as u8 | OPEN;
    }

    /// Appends to `out` what a report tells of packets that are remembered and weren't told of before; a packet told of
    /// as lost may be told of once more, as late.
    ///
    /// `base` is the first number; `reference_time` is in units of 64 ms (24 bits); `deltas` has for each number its
    /// arrival after the one before it that arrived (the first: after the reference time) in units of 250 µs, `None` =
    /// not arrived. A report that comes twice, late, or of numbers that were never sent adds nothing.
    pub fn feedback(
        &mut self,
        base: u16,
        reference_time: u32,
        deltas: &[Option<i16>],
        now: Instant,
        out: &mut Vec<Acknowledged>,
    ) {
        let Some(origin) = self.origin else { return };
        let now_micros = now.saturating_duration_since(origin).as_micros() as u32;
        let reference = self.unwrapped(reference_time);
        let mut arrival = reference * REFERENCE_MICROS;
        let mut told = false;
        for (step, delta) in deltas.iter().enumerate() {
            let number = base.wrapping_add(step as u16);
            arrival += delta.map_or(0, |delta| i64::from(delta) * DELTA_MICROS);
            let entry = &mut self.entries[usize::from(number) % REMEMBERED];
            if entry.tag & OPEN == 0 || entry.tag & TAG != (number >> TAG_SHIFT) as u8 {
                continue;
            }
            let late = entry.tag & TOLD_LOST != 0;
            match delta {
                Some(_) => entry.tag &= !OPEN,
                None if late => continue,
                None => entry.tag |= TOLD_LOST,
            }
            told = true;
            let ago = Duration::from_micros(u64::from(now_micros.wrapping_sub(entry.at)));
            out.push(Acknowledged {
                sent: now.checked_sub(ago).unwrap_or(origin),
                received: delta.map(|_| Duration::from_micros(arrival.max(0) as u64)),
                octets: entry.octets,
                kind: entry.kind.checked_sub(1).map_or(Kind::Media, Kind::Probe),
                late,
            });
        }
        if told {
            self.reference = Some(reference);
        }
    }

    /// The reading nearest to the last one. It begins a whole span after zero, so that a step back stays positive.
    fn unwrapped(&self, reference_time: u32) -> i64 {
        let read = i64::from(reference_time) % REFERENCE_SPAN;
        let last = self.reference.unwrap_or(REFERENCE_SPAN + read);
        let step = (read - last + REFERENCE_SPAN / 2).rem_euclid(REFERENCE_SPAN) - REFERENCE_SPAN / 2;
        last + step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        Instant::now()
    }

    fn told(
        history: &mut SentHistory,
        base: u16,
        reference: u32,
        deltas: &[Option<i16>],
        now: Instant,
    ) -> Vec<Acknowledged> {
        let mut out = Vec::new();
        history.feedback(base, reference, deltas, now, &mut out);
        out
    }

    #[test]
    fn an_entry_takes_eight_octets() {
        assert_eq!(size_of::<Entry>(), 8);
    }

    #[test]
    fn a_report_tells_what_arrived_when() {
        let now = start();
        let mut history = SentHistory::new();
        for number in 0..4u16 {
            history.sent(65_534u16.wrapping_add(number), now + MS * u32::from(number), 100, Kind::Probe(number as u8));
        }
        let out = told(&mut history, 65_534, 7, &[Some(4), None, Some(-2), Some(8)], now + MS * 50);
        let first = out[0].received.expect("arrived");
        assert_eq!(out.iter().map(|a| a.sent).collect::<Vec<_>>(), [0, 1, 2, 3].map(|ms| now + MS * ms));
        assert_eq!(out[1].received, None);
        assert_eq!(out[2].received, Some(first - MS / 2));
        assert_eq!(out[3].received, Some(first + MS * 3 / 2));
        assert_eq!(out[3].kind, Kind::Probe(3));
    }

    #[test]
    fn a_report_that_comes_twice_or_of_others_adds_nothing() {
        let now = start();
        let mut history = SentHistory::new();
        assert!(told(&mut history, 0, 0, &[Some(0); 100], now).is_empty());
        for number in 0..2000u16 {
            history.sent(number, now, 100, Kind::Media);
        }
        // Only the last 1,024 are remembered.
        assert!(told(&mut history, 0, 0, &[Some(0); 976], now).is_empty());
        assert!(told(&mut history, 2000, 0, &[Some(0); 1000], now).is_empty());
        assert_eq!(told(&mut history, 1000, 0, &[Some(0); 1000], now).len(), 1000);
        assert!(told(&mut history, 1000, 0, &[Some(0); 1000], now).is_empty());
    }

    #[test]
    fn what_was_lost_may_turn_out_to_be_late_once() {
        let now = start();
        let mut history = SentHistory::new();
        history.sent(9, now, 100, Kind::Media);
        assert_eq!(told(&mut history, 9, 5, &[None], now)[0].received, None);
        assert!(told(&mut history, 9, 5, &[None], now).is_empty());
        let late = told(&mut history, 9, 5, &[Some(3)], now);
        assert!(late[0].late && late[0].received.is_some());
        assert!(told(&mut history, 9, 5, &[Some(3)], now).is_empty());
    }

    #[test]
    fn time_goes_on_over_the_wrap_of_the_reference_and_of_the_origin() {
        let mut now = start();
        let mut history = SentHistory::new();
        let mut last = None;
        for (number, reference) in (0..200u16).zip((1u32 << 24) - 4..) {
            // Half an hour between packets: the microseconds wrap too.
            now += Duration::from_secs(1800);
            history.sent(number, now, 100, Kind::Media);
            let out = told(&mut history, number, reference & 0xff_ffff, &[Some(0)], now + MS * 30);
            assert_eq!(out[0].sent, now);
            let received = out[0].received.expect("arrived");
            assert!(last.is_none_or(|last| received == last + MS * 64), "{received:?} after {last:?}");
            last = Some(received);
        }
    }
}
