//! The lesson's time: Unix time that never jumps while the process runs.
//!
//! Everything the demonstration shows, says and stamps is a function of this one clock: the time code in pictures,
//! the tone bursts in the voice, buffer timestamps, RTP timestamps and the NTP times of sender reports. It is read off
//! the machine's wall clock once and follows the monotonic clock from then on, so a step of the wall clock can't pull
//! picture and sound apart.

use std::time::{Duration, Instant, SystemTime};

/// Seconds between the epochs of NTP (1900) and Unix (1970).
const NTP_EPOCH_OFFSET: u64 = 2_208_988_800;

/// A moment, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The moment this many nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// How many whole ticks of a clock of `rate` hertz have passed since the epoch.
    #[must_use]
    pub const fn ticks(self, rate: u32) -> u64 {
        (self.0 as u128 * rate as u128 / 1_000_000_000) as u64
    }

    /// The tick of a clock of `rate` hertz that lies nearest: exact for moments that were ticks before they were rounded
    /// to nanoseconds.
    #[must_use]
    pub const fn nearest_tick(self, rate: u32) -> u64 {
        ((self.0 as u128 * rate as u128 + 500_000_000) / 1_000_000_000) as u64
    }

    /// The moment of tick `count` of a clock of `rate` hertz, rounded up so that [`Self::ticks`] gives `count` back.
    #[must_use]
    pub const fn at_tick(count: u64, rate: u32) -> Self {
        Self((count as u128 * 1_000_000_000).div_ceil(rate as u128) as u64)
    }

    /// The 64-bit NTP timestamp of this moment (RFC 3550 §4).
    #[must_use]
    pub const fn ntp(self) -> u64 {
        let seconds = self.as_secs() + NTP_EPOCH_OFFSET;
        let fraction = ((self.0 % 1_000_000_000) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }

    /// The time from `earlier` to this moment, zero if it is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0 + later.as_nanos() as u64)
    }
}

/// Unix time as it was at one instant, carried on by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    anchor: Instant,
    unix: UnixTime,
}

impl Clock {
    /// A clock that says `unix` at `anchor`.
    #[must_use]
    pub const fn new(anchor: Instant, unix: UnixTime) -> Self {
        Self { anchor, unix }
    }

    /// A clock that agrees with the machine's wall clock now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the process's one reading of the wall clock")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::new(instant(), UnixTime::from_nanos(wall.as_nanos() as u64))
    }

    /// The moment the clock was started: the origin of every pipeline's running time.
    #[must_use]
    pub const fn origin(&self) -> UnixTime {
        self.unix
    }

    /// Unix time at `now`.
    #[must_use]
    pub fn unix(&self, now: Instant) -> UnixTime {
        self.unix + now.saturating_duration_since(self.anchor)
    }

    /// The instant at which it is `time`.
    #[must_use]
    pub fn instant_of(&self, time: UnixTime) -> Instant {
        self.anchor + time.since(self.unix)
    }
}

/// The monotonic clock of the machine.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the process's only reading of the monotonic clock")]
pub fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_names_its_own_moment() {
        for rate in [15, 50, 48_000, 90_000] {
            let this_year = 1_795_512_345 * u64::from(rate);
            for count in [0, 1, 7, this_year, this_year + 1, this_year + 13] {
                assert_eq!(UnixTime::at_tick(count, rate).ticks(rate), count, "tick {count} at {rate} Hz");
                let hair_before = UnixTime::from_nanos(UnixTime::at_tick(count, rate).as_nanos().saturating_sub(2));
                assert_eq!(hair_before.nearest_tick(rate), count, "just before tick {count} at {rate} Hz");
            }
        }
    }

    #[test]
    fn ntp_time_counts_from_1900_in_units_of_two_to_the_minus_32() {
        let half_past_epoch = UnixTime::from_nanos(500_000_000);
        assert_eq!(half_past_epoch.ntp(), (2_208_988_800 << 32) | (1 << 31));
    }

    #[test]
    fn the_clock_runs_with_the_monotonic_clock_from_its_anchor() {
        let anchor = instant();
        let clock = Clock::new(anchor, UnixTime::from_nanos(1_000));
        let later = anchor + Duration::from_secs(3);
        assert_eq!(clock.unix(later), UnixTime::from_nanos(3_000_001_000));
        assert_eq!(clock.instant_of(clock.unix(later)), later);
    }
}
