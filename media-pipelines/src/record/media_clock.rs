//! RTP time on the server's clock.
//!
//! Sender reports anchor a stream's timestamps to the server's clock; before the first one the arrival of the first packet
//! must do. Small differences are followed slowly, so that pictures don't jerk, and large ones at once.

use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;
/// A difference from here on is no drift but another clock.
const STEP: i64 = SECOND / 2;
/// Timestamps that are this far from their arrival belong to a stream that began anew without saying so.
const LOST: i64 = 10 * SECOND;
/// Nobody reports: the earliest arrival of so many nanoseconds of media is taken for an anchor.
const UNREPORTED: i64 = 10 * SECOND;
/// A difference is followed by at most one nanosecond in so many.
const SLEW: i64 = 100;
/// An anchor counts for a fourth: reports jitter as packets do.
const WEIGHT: i64 = 4;

/// One stream's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MediaClock {
    rate: u32,
    /// The latest timestamp with its wraps counted.
    ticks: Option<i64>,
    /// What is added to media time, and where it is going.
    offset: i64,
    target: i64,
    is_anchored: bool,
    /// Media time at which the offset was moved last.
    moved_at: i64,
    /// Since when, and by how much at least, packets arrive after their media time.
    unreported: Option<(i64, i64)>,
}

impl MediaClock {
    /// The clock of a stream with `rate` ticks a second.
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate, ticks: None, offset: 0, target: 0, is_anchored: false, moved_at: 0, unreported: None }
    }

    /// The server's time of `timestamp`, in nanoseconds since 1970; its packet came at `arrival`.
    pub(super) fn instant(&mut self, timestamp: u32, arrival: i64) -> i64 {
        let mut media = self.media(timestamp);
        if self.ticks.is_none() || (media + self.offset - arrival).abs() > LOST {
            self.ticks = Some(i64::from(timestamp));
            media = self.media(timestamp);
            (self.offset, self.target, self.moved_at) = (arrival - media, arrival - media, media);
            (self.is_anchored, self.unreported) = (false, None);
        }
        self.ticks = Some(self.unwrapped(timestamp));
        if !self.is_anchored {
            self.guess(media, arrival);
        }
        let step = ((media - self.moved_at) / SLEW).max(0);
        self.offset += (self.target - self.offset).clamp(-step, step);
        self.moved_at = self.moved_at.max(media);
        media + self.offset
    }

    /// Media time `timestamp` was at `instant` of the server's clock.
    pub(super) fn anchor(&mut self, timestamp: u32, instant: i64) {
        if self.ticks.is_none() {
            self.ticks = Some(i64::from(timestamp));
        }
        let measured = instant - self.media(timestamp);
        if !self.is_anchored || (measured - self.target).abs() > STEP {
            self.target = measured;
        } else {
            self.target += (measured - self.target) / WEIGHT;
        }
        if (self.target - self.offset).abs() > STEP {
            self.offset = self.target;
        }
        self.is_anchored = true;
    }

    fn guess(&mut self, media: i64, arrival: i64) {
        let behind = arrival - media;
        let (since, least) = self.unreported.unwrap_or((media, behind));
        if media - since > UNREPORTED {
            self.target += (least - self.target) / WEIGHT;
            self.unreported = Some((media, behind));
        } else {
            self.unreported = Some((since, least.min(behind)));
        }
    }

    fn unwrapped(&self, timestamp: u32) -> i64 {
        let latest = self.ticks.unwrap_or(i64::from(timestamp));
        latest + i64::from(timestamp.wrapping_sub(latest as u32) as i32)
    }

    fn media(&self, timestamp: u32) -> i64 {
        (i128::from(self.unwrapped(timestamp)) * i128::from(SECOND) / i128::from(self.rate)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_512_345 * SECOND;

    /// Ninety minutes of a sender whose clock is 100 ppm fast; reports every five seconds jitter by 5 ms.
    #[test]
    fn ninety_minutes_of_a_fast_clock_stay_within_ten_milliseconds() {
        let mut clock = MediaClock::new(90_000);
        let (mut worst, mut last) = (0, i64::MIN);
        for frame in 0..90 * 60 * 15_i64 {
            let truth = START + frame * SECOND / 15;
            let ticks = (i128::from(frame) * 6_000 * 1_000_100 / 1_000_000) as u32;
            let timestamp = ticks.wrapping_add(u32::MAX - 90_000);
            if frame % 75 == 7 {
                clock.anchor(timestamp, truth + (frame % 11 - 5) * 1_000_000);
            }
            let told = clock.instant(timestamp, truth + 40_000_000 + frame % 7 * 3_000_000);
            assert!(told > last, "time goes on");
            last = told;
            if frame > 15 * 30 {
                worst = worst.max((told - truth).abs());
            }
        }
        assert!(worst < 10_000_000, "{worst} ns");
    }

    #[test]
    fn a_sender_that_never_reports_is_followed_by_its_arrivals() {
        let mut clock = MediaClock::new(48_000);
        let mut worst = 0;
        for packet in 0..90 * 60 * 50_i64 {
            let truth = START + packet * SECOND / 50;
            let timestamp = (i128::from(packet) * 960 * 999_900 / 1_000_000) as u32;
            let told = clock.instant(timestamp, truth + packet % 9 * 4_000_000);
            worst = worst.max((told - truth).abs());
        }
        assert!(worst < 20_000_000, "{worst} ns");
    }

    #[test]
    fn the_first_report_is_approached_without_a_jump_and_a_wrong_stream_begins_anew() {
        let mut clock = MediaClock::new(90_000);
        assert_eq!(clock.instant(1_000, START), START);
        clock.anchor(1_000, START - 100_000_000);
        let second = clock.instant(91_000, START + SECOND);
        assert_eq!(second, START + SECOND - 10_000_000, "one hundredth of a second in a second");
        let elsewhere = clock.instant(3_000_000_000, START + 2 * SECOND);
        assert_eq!(elsewhere, START + 2 * SECOND);
    }
}
