//! A rate to plan with: what an encoding takes of a line when it is busy, not what it took in the last second.
//!
//! Slides stand still and then burst. Planned with their momentary rate, a camera would be let in while they stand and
//! be thrown out with every change of a slide.

use std::time::Duration;

use crate::units::Bitrate;

/// What the headers of a packet add on the line: IPv4 20, UDP 8, RTP 12, its extension 8, the tag of SRTP 16 (RFC 7714).
pub const HEADERS: u64 = 64;
/// How fast the mean follows what is measured: a burst of some seconds counts whole, a keyframe hardly.
const MEAN: f64 = 6.0;
/// How fast the maximum is forgotten: half of it in about 23 s, so that it outlasts the reading of a slide.
const FORGET: f64 = 33.0;
/// The same of the busiest second: slides may be read for minutes.
const FORGET_PEAK: f64 = 120.0;
/// Nothing is believed before so much was seen: the first keyframe alone would be a tenfold rate.
const FIRST: Duration = Duration::from_secs(2);

/// A slow maximum of the mean rate of one encoding.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steady {
    seen: Duration,
    mean: f64,
    most: f64,
    peak: f64,
}

impl Steady {
    /// So many octets in so many packets went by in `span`.
    pub fn measured(&mut self, octets: u64, packets: u64, span: Duration) {
        let rate = Bitrate::of(octets + packets * HEADERS, span).bps() as f64;
        if self.seen >= FIRST {
            self.peak = rate.max(self.peak * (-span.as_secs_f64() / FORGET_PEAK).exp());
        }
        let before = self.seen.as_secs_f64();
        self.seen = self.seen.saturating_add(span);
        // The mean of all that was seen, until that is more than the mean is to remember.
        let part = span.as_secs_f64() / MEAN.min(before + span.as_secs_f64()).max(span.as_secs_f64());
        self.mean += (rate - self.mean) * part.min(1.0);
        if self.seen >= FIRST {
            self.most = self.mean.max(self.most * (-span.as_secs_f64() / FORGET).exp());
        }
    }

    /// The most that it took at a time of late; zero while too little was seen.
    #[must_use]
    pub fn peak(&self) -> Bitrate {
        Bitrate::from_bps(self.peak as u64)
    }

    /// What to plan with; zero while too little was seen.
    #[must_use]
    pub fn rate(&self) -> Bitrate {
        Bitrate::from_bps(self.most as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_steady_stream_is_planned_with_what_it_takes_of_the_line() {
        let mut steady = Steady::default();
        steady.measured(50_000, 50, SECOND);
        assert_eq!(steady.rate(), Bitrate::ZERO, "too little to go by");
        for _ in 0..20 {
            steady.measured(50_000, 50, SECOND);
        }
        assert_eq!(steady.rate().bps(), (50_000 + 50 * 64) * 8);
    }

    #[test]
    fn slides_that_stand_still_for_a_while_are_still_planned_with_their_bursts() {
        let mut steady = Steady::default();
        for second in 0..120 {
            steady.measured(if second % 10 < 3 { 40_000 } else { 1_000 }, 5, SECOND);
            if second > 10 {
                assert!((120_000..340_000).contains(&steady.rate().bps()), "{} after {second} s", steady.rate());
            }
        }
        for _ in 0..120 {
            steady.measured(1_000, 1, SECOND);
        }
        assert!(steady.rate().bps() < 20_000, "what doesn't come back is forgotten: {}", steady.rate());
    }
}
