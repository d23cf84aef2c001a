//! How much of what was sent arrives in a second.

use std::time::Duration;

/// The grain of time, microseconds, and how many grains are kept.
const GRAIN: u64 = 10_000;
const GRAINS: usize = 128;

/// Octets along one time line.
#[derive(Debug, Clone)]
pub struct Meter {
    octets: [u32; GRAINS],
    /// The newest grain.
    newest: Option<u64>,
    /// Where this meter began, so that a window isn't filled with silence from before.
    first: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self { octets: [0; GRAINS], newest: None, first: 0 }
    }
}

impl Meter {
    /// Counts `octets` at `at`. A leap of the time line, either way, begins it anew.
    pub fn count(&mut self, at: Duration, octets: u16) {
        let grain = at.as_micros() as u64 / GRAIN;
        match self.newest {
            Some(newest) if grain > newest && grain - newest < GRAINS as u64 => {
                for skipped in newest + 1..=grain {
                    self.octets[skipped as usize % GRAINS] = 0;
                }
                self.newest = Some(grain);
            }
            Some(newest) if grain <= newest && newest - grain < GRAINS as u64 => {}
            _ => {
                self.octets = [0; GRAINS];
                self.newest = Some(grain);
                self.first = grain;
            }
        }
        let slot = &mut self.octets[grain as usize % GRAINS];
        *slot = slot.saturating_add(u32::from(octets));
    }

    /// Bits per second over the last `window` before the newest count. The newest grain, which isn't over, is left out.
    #[must_use]
    pub fn rate(&self, window: Duration) -> f64 {
        let Some(newest) = self.newest else { return 0.0 };
        let wanted = (window.as_micros() as u64 / GRAIN).clamp(1, GRAINS as u64 - 2);
        let grains = wanted.min(newest - self.first);
        if grains == 0 {
            return 0.0;
        }
        let octets: u64 = (1..=grains).map(|back| u64::from(self.octets[(newest - back) as usize % GRAINS])).sum();
        octets as f64 * 8_000_000.0 / (grains * GRAIN) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_rate_is_of_its_window_only() {
        let mut meter = Meter::default();
        for step in 0..1000 {
            meter.count(MS * step, if step < 500 { 125 } else { 250 });
        }
        assert!((meter.rate(MS * 300) - 2e6).abs() < 1e4, "{}", meter.rate(MS * 300));
        assert!((meter.rate(MS * 900) - 1.55e6).abs() < 5e4, "{}", meter.rate(MS * 900));
    }

    #[test]
    fn a_leap_begins_anew() {
        let mut meter = Meter::default();
        for at in [5_000, 500_000, 3, 60_000] {
            for step in 0..100 {
                meter.count(MS * (at + step), 125);
            }
            assert!((meter.rate(MS * 50) - 1e6).abs() < 1e4, "{}", meter.rate(MS * 50));
        }
    }
}
