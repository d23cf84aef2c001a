//! Quantities with their unit in the type: rates and the server's clock.

use std::fmt;
use std::time::{Duration, Instant};

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Nothing per second.
    pub const ZERO: Self = Self(0);

    /// From bits per second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// In bits per second.
    #[must_use]
    pub const fn bps(self) -> u64 {
        self.0
    }

    /// What `bytes` in `span` come to; zero for an empty span.
    #[must_use]
    pub fn of(bytes: u64, span: Duration) -> Self {
        Self(bytes.saturating_mul(8_000_000).checked_div(span.as_micros() as u64).unwrap_or(0))
    }

    /// `factor` times as much; nothing where `factor` is negative.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor) as u64)
    }

    /// What is left when `other` is taken away, down to nothing.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Add for Bitrate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Bitrate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::ZERO, |sum, rate| sum + rate)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.0 / 1000)
    }
}

/// A point on an NTP time line, seconds since 1900 in 32.32 fixed point (RFC 5905 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

const UNIX_EPOCH_IN_NTP: u64 = 2_208_988_800;

impl NtpTime {
    /// The middle 32 bits, as report blocks carry them (RFC 3550 §6.4.1, LSR).
    #[must_use]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_nanos(self) -> i64 {
        let seconds = (self.0 >> 32) as i64 - UNIX_EPOCH_IN_NTP as i64;
        let fraction = ((self.0 & 0xffff_ffff) * 1_000_000_000) >> 32;
        seconds * 1_000_000_000 + fraction as i64
    }

    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        let seconds = (nanos.div_euclid(1_000_000_000) + UNIX_EPOCH_IN_NTP as i64) as u64;
        let fraction = ((nanos.rem_euclid(1_000_000_000) as u64) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }
}

/// The one clock that everything the server sends is stamped with: it starts at the machine's
/// wall time and then runs monotonically, so a jump of the machine's clock never reaches a lesson.
#[derive(Debug, Clone, Copy)]
pub struct ServerClock {
    origin: Instant,
    origin_unix_nanos: i64,
}

impl ServerClock {
    /// A clock that reads `unix_nanos` at `now`.
    #[must_use]
    pub const fn new(now: Instant, unix_nanos: i64) -> Self {
        Self { origin: now, origin_unix_nanos: unix_nanos }
    }

    /// What the clock reads at `now`, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn unix_nanos(&self, now: Instant) -> i64 {
        self.origin_unix_nanos + now.saturating_duration_since(self.origin).as_nanos() as i64
    }

    /// What the clock reads at `now`, as NTP time.
    #[must_use]
    pub fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix_nanos(self.unix_nanos(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_keeps_unix_nanoseconds() {
        for nanos in [0, 1, 999_999_999, 1_795_000_000_123_456_789] {
            let back = NtpTime::from_unix_nanos(nanos).unix_nanos();
            assert!((back - nanos).abs() <= 1, "{nanos} came back as {back}");
        }
    }

    #[test]
    fn a_rate_is_bits_over_time() {
        assert_eq!(Bitrate::of(125_000, Duration::from_secs(1)).bps(), 1_000_000);
        assert_eq!(Bitrate::of(1, Duration::ZERO), Bitrate::ZERO);
    }
}
