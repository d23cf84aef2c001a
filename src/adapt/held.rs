//! Packets that were held up and then came all at once: no queue of a line does that.
//!
//! A busy receiver reads its socket late, a radio link pauses for a moment. What comes after such a pause comes faster than
//! any line that was full could carry it, so it says nothing of the line: the packets count as if they had come when they
//! would have come without the pause. Compare the grouping of bursts in draft-ietf-rmcat-gcc-02 §5.2.

use std::time::{Duration, Instant};

use super::history::Acknowledged;

/// Nothing came for so long, though it was sent meanwhile.
const PAUSE: Duration = Duration::from_millis(60);
/// What was held comes within this.
const RUSH: Duration = Duration::from_millis(20);
/// So many packets, sent over so long at least: fewer may well be one picture.
const PACKETS: usize = 4;
const SPREAD: Duration = Duration::from_millis(40);

/// The last packet that came, on both time lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    last: Option<(Instant, Duration)>,
}

impl Held {
    /// Moves back in `told`, which is of one report, what was held up.
    pub fn release(&mut self, told: &mut [Acknowledged]) {
        let mut order: Vec<usize> = (0..told.len()).filter(|&at| told[at].received.is_some()).collect();
        order.sort_by_key(|&at| told[at].received);
        let mut at = 0;
        while let Some(&index) = order.get(at) {
            let (sent, Some(received)) = (told[index].sent, told[index].received) else { break };
            let rush = self.last.and_then(|last| rushed(told, &order[at..], last).map(|packets| (last, packets)));
            let Some(((last_sent, last_received), packets)) = rush else {
                self.last = Some((sent, received));
                at += 1;
                continue;
            };
            for &index in &order[at..at + packets] {
                let since = told[index].sent.saturating_duration_since(last_sent);
                let came = told[index].received.unwrap_or_default();
                told[index].received = Some(came.min(last_received + since));
            }
            self.last = order[at..at + packets].last().map(|&index| (told[index].sent, received));
            at += packets;
        }
    }
}

/// How many of these packets, in the order of their arrival, were held up after `last`.
fn rushed(told: &[Acknowledged], order: &[usize], (last_sent, last_received): (Instant, Duration)) -> Option<usize> {
    let first = &told[*order.first()?];
    let came = first.received?;
    let pause = came.saturating_sub(last_received);
    // What was sent late comes late.
    if pause < PAUSE || first.sent.saturating_duration_since(last_sent) > pause / 2 {
        return None;
    }
    let in_rush = |&&index: &&usize| told[index].received.is_some_and(|received| received - came <= RUSH);
    let packets = order.iter().take_while(in_rush).count();
    let sent = order[..packets].iter().map(|&index| told[index].sent);
    let spread = sent.clone().max()?.saturating_duration_since(sent.min()?);
    (packets >= PACKETS && spread >= SPREAD).then_some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::history::Kind;

    const MS: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    /// What arrives where a packet leaves every 10 ms, and packet `n` arrives at `arrival(n)` ms.
    fn received(arrival: impl Fn(u32) -> u32) -> Vec<u64> {
        let (start, mut held) = (start(), Held::default());
        let mut told: Vec<Acknowledged> = (0..60)
            .map(|number| Acknowledged {
                sent: start + MS * 10 * number,
                received: Some(MS * arrival(number)),
                octets: 1_000,
                kind: Kind::Media,
                late: false,
            })
            .collect();
        // Reports come every 100 ms of arrivals.
        let ends: Vec<usize> = (1..60).filter(|&at| arrival(at as u32) / 100 != arrival(at as u32 - 1) / 100).collect();
        let mut from = 0;
        for end in ends.into_iter().chain([60]) {
            held.release(&mut told[from..end]);
            from = end;
        }
        told.iter().filter_map(|one| one.received).map(|received| received.as_millis() as u64).collect()
    }

    #[test]
    fn what_a_pause_held_up_counts_as_if_it_had_come_in_time() {
        // The receiver doesn't read from 200 to 500 ms.
        let paused = received(|number| (number * 10 + 30).max(if number * 10 + 30 > 200 { 500 } else { 0 }));
        let undisturbed: Vec<u64> = (0..60).map(|number| number * 10 + 30).collect();
        assert_eq!(paused, undisturbed);
    }

    #[test]
    fn a_queue_that_grows_is_left_as_it_is() {
        let full = |number: u32| 30 + number * 20;
        assert_eq!(received(full), (0..60).map(|number| u64::from(full(number))).collect::<Vec<_>>());
        // Nor a line so slow that every packet takes 80 ms.
        let slow = |number: u32| 30 + number * 80;
        assert_eq!(received(slow), (0..60).map(|number| u64::from(slow(number))).collect::<Vec<_>>());
    }
}
