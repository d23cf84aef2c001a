//! Media time against the server's clock, so that voice and pictures of one publisher, and what
//! replaces them, stay in sync for receivers that know nothing of any publisher's clock.

use std::time::{Duration, Instant};

use crate::units::{NtpTime, ServerClock};

/// The least offset of the last one to two windows is taken: the report that travelled fastest tells best.
const WINDOW: Duration = Duration::from_secs(10);

/// How far the server's clock is ahead of one publisher's, estimated from its sender reports.
///
/// All streams of one publisher share it, so an error moves them together and never apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClockOffset {
    window_began: Option<Instant>,
    this: Option<i64>,
    last: Option<i64>,
}

impl ClockOffset {
    /// Takes a sender report's NTP time and returns the same instant on the server's clock, nanoseconds since the Unix epoch.
    pub fn report(&mut self, ntp: NtpTime, clock: &ServerClock, now: Instant) -> i64 {
        let offset = clock.unix_nanos(now) - ntp.unix_nanos();
        match self.window_began {
            Some(began) if now.saturating_duration_since(began) < WINDOW => {}
            _ => {
                self.window_began = Some(now);
                self.last = self.this.take();
            }
        }
        self.this = Some(self.this.map_or(offset, |this| this.min(offset)));
        let best = self.last.map_or(offset, |last| last).min(self.this.unwrap_or(offset));
        // A publisher whose clock was set forward makes old offsets wrong by more than any network delay.
        let best = if offset - best > 2_000_000_000 {
            self.last = None;
            self.this = Some(offset);
            offset
        } else {
            best
        };
        ntp.unix_nanos() + best
    }
}

/// One stream's media time as instants of the server's clock.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    clock_rate: u32,
    timestamp: u32,
    unix_nanos: i64,
    reported: bool,
}

impl Timeline {
    /// Until a sender report tells better, the first packet's media time is its arrival.
    #[must_use]
    pub const fn from_arrival(clock_rate: u32, timestamp: u32, unix_nanos: i64) -> Self {
        Self { clock_rate, timestamp, unix_nanos, reported: false }
    }

    /// `timestamp` is `unix_nanos`, as a sender report told.
    pub const fn anchor(&mut self, timestamp: u32, unix_nanos: i64) {
        self.timestamp = timestamp;
        self.unix_nanos = unix_nanos;
        self.reported = true;
    }

    /// Keeps up with a stream whose sender never reports: media time that is too far from its anchor looks like the past.
    pub fn follow(&mut self, timestamp: u32) {
        if (1 << 30..1 << 31).contains(&timestamp.wrapping_sub(self.timestamp)) {
            (self.unix_nanos, self.timestamp) = (self.unix_nanos(timestamp), timestamp);
        }
    }

    /// Whether a sender report has anchored it.
    #[must_use]
    pub const fn is_reported(&self) -> bool {
        self.reported
    }

    /// The instant of `timestamp`, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn unix_nanos(&self, timestamp: u32) -> i64 {
        let ticks = i64::from(timestamp.wrapping_sub(self.timestamp) as i32);
        self.unix_nanos + ticks * 1_000_000_000 / i64::from(self.clock_rate)
    }
}

/// `nanos` in ticks of `clock_rate`, rounded down.
#[must_use]
pub const fn ticks(nanos: i64, clock_rate: u32) -> i64 {
    (nanos as i128 * clock_rate as i128).div_euclid(1_000_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn the_report_that_travelled_fastest_tells_the_offset() {
        let start = Instant::now();
        let clock = ServerClock::new(start, 1_000_000_000_000);
        let mut offset = ClockOffset::default();
        let publisher_zero = 500_000_000_000;
        let mut seen = 0;
        for (millis, delay) in [(0, 80), (1_000, 20), (2_000, 60), (12_000, 50)] {
            let ntp = NtpTime::from_unix_nanos(publisher_zero + millis * 1_000_000);
            let now = start + Duration::from_millis((millis + delay) as u64);
            seen = offset.report(ntp, &clock, now) - (1_000_000_000_000 + millis * 1_000_000);
        }
        assert!((seen - 20_000_000).abs() < 10, "{seen}");
    }

    #[test]
    fn media_time_counts_from_the_anchor_over_its_wrap() {
        let mut line = Timeline::from_arrival(90_000, 0, 0);
        line.anchor(u32::MAX - 44_999, 5_000_000_000);
        assert_eq!(line.unix_nanos(45_000), 6_000_000_000);
        assert_eq!(line.unix_nanos(u32::MAX - 89_999), 4_500_000_000);
        assert_eq!(ticks(-1_000_000_000, 90_000), -90_000);
    }

    #[test]
    fn media_time_without_reports_goes_on_for_days() {
        let mut line = Timeline::from_arrival(90_000, 7, 0);
        for hour in 1..=72i64 {
            let timestamp = (7 + hour * 3_600 * 90_000) as u32;
            line.follow(timestamp);
            assert_eq!(line.unix_nanos(timestamp), hour * 3_600_000_000_000);
        }
    }
}
