//! What time it is, as the API is told it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use time::OffsetDateTime;

/// Tells the time; tests give their own.
#[derive(Clone)]
pub struct Clock {
    time_of_day: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    instant: fn() -> Instant,
}

impl Clock {
    /// A clock made of the two that a machine has: the time of day for what is stored, shown and expires, the
    /// monotonic one for what is measured.
    pub fn new(time_of_day: impl Fn() -> OffsetDateTime + Send + Sync + 'static, instant: fn() -> Instant) -> Self {
        Self { time_of_day: Arc::new(time_of_day), instant }
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
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
