//! No more processor time than was allowed.

use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::clock::instant;

/// Processor time that may be taken in advance, so that short bursts aren't cut up.
const BURST: Duration = Duration::from_millis(200);
/// The longest pause at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Pauses the thread that feeds the encoders while the process has taken more than its share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throttle {
    cores: f64,
    started: Instant,
    spent: Duration,
}

impl Throttle {
    /// A share of `cores` cores from now on.
    pub(super) fn new(cores: f64) -> Self {
        Self { cores: cores.max(0.05), started: instant(), spent: process_time() }
    }

    /// As many threads as an encoder may use.
    pub(super) const fn threads(self) -> u32 {
        self.cores.ceil() as u32
    }

    /// Wait until the process has taken no more than its share.
    pub(super) fn wait(self) {
        while let Some(pause) = pause(
            process_time().saturating_sub(self.spent),
            instant().saturating_duration_since(self.started),
            self.cores,
        ) {
            thread::sleep(pause);
        }
    }
}

/// How long to pause after `spent` processor time in `passed`, if at all.
fn pause(spent: Duration, passed: Duration, cores: f64) -> Option<Duration> {
    let due = spent.saturating_sub(BURST).div_f64(cores);
    let pause = due.saturating_sub(passed);
    (!pause.is_zero()).then(|| pause.min(PAUSE))
}

/// What all threads of this process have taken so far.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_took_twice_the_share_pauses_as_long_as_it_worked() {
        let worked = Duration::from_millis(1_200);
        assert_eq!(pause(worked, Duration::from_millis(600), 1.0), Some(Duration::from_millis(400)));
        assert_eq!(pause(worked, Duration::from_millis(1_300), 1.0), None);
        assert_eq!(pause(worked, Duration::from_millis(1_300), 0.5), Some(Duration::from_millis(700)));
    }
}
