//! What time it is, as the API is told it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use time::OffsetDateTime;

/// Tells the time; tests give their own.
#[derive(Clone)]
pub struct Clock {
    time_of_day: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    instant: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// Two readings of the same moment: from here the steady time of day is counted.
    origin: (Instant, OffsetDateTime),
}

impl Clock {
    /// A clock made of the two that a machine has: the time of day for what is stored, shown and expires, the
    /// monotonic one for what is measured.
    pub fn new(
        time_of_day: impl Fn() -> OffsetDateTime + Send + Sync + 'static,
        instant: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Self {
        let origin = (instant(), time_of_day());
        Self { time_of_day: Arc::new(time_of_day), instant: Arc::new(instant), origin }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        (self.time_of_day)()
    }

    /// The monotonic clock.
    #[must_use]
    pub fn instant(&self) -> Instant {
        (self.instant)()
    }

    /// The time of day as it would be, had nobody set the machine's clock since the start.
    fn steady(&self) -> OffsetDateTime {
        let (instant, time_of_day) = self.origin;
        time_of_day + self.instant().saturating_duration_since(instant)
    }

    /// The time that what expires is dated with. Where the machine's clock was set, it is the later of the two that
    /// may be meant: with [`earliest`](Self::earliest) it keeps a jump of the clock, either way, from expiring
    /// anything before its time. What was dated so may live longer instead, by as much as the clock jumped.
    #[must_use]
    pub fn latest(&self) -> OffsetDateTime {
        self.now().max(self.steady())
    }

    /// The time by which it is decided whether something has expired.
    #[must_use]
    pub fn earliest(&self) -> OffsetDateTime {
        self.now().min(self.steady())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;
    use time::macros::datetime;

    #[test]
    fn a_clock_that_is_set_expires_nothing_before_its_time() {
        const START: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
        #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
        let start = Instant::now();
        let (passed, jumped) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
        let read = |clock: &Arc<AtomicI64>| clock.load(Ordering::Relaxed);
        let (p, j) = (passed.clone(), jumped.clone());
        let time_of_day = move || START + time::Duration::seconds(read(&p) + read(&j));
        let p = passed.clone();
        let clock = Clock::new(time_of_day, move || start + Duration::from_secs(read(&p) as u64));
        let issued = [0, 3600, -3600].map(|jump| {
            jumped.store(jump, Ordering::Relaxed);
            clock.latest()
        });
        assert_eq!(issued, [START, START + time::Duration::hours(1), START]);
        passed.store(60, Ordering::Relaxed);
        for jump in [0, 3600, -3600] {
            jumped.store(jump, Ordering::Relaxed);
            assert!(
                clock.earliest() - START <= time::Duration::minutes(1),
                "a minute has passed, whatever the clock says"
            );
        }
    }
}
