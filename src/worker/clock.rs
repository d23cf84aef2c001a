//! The only place that asks the system what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::units::ServerClock;

/// The monotonic clock.
#[must_use]
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    Instant::now()
}

/// The machine's wall clock, nanoseconds since the Unix epoch. For what is stored and shown, never for media.
#[must_use]
pub fn unix_nanos() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let now = SystemTime::now();
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
    }
}

/// A server clock that agrees with the machine's wall clock now.
#[must_use]
pub fn server_clock() -> ServerClock {
    ServerClock::new(now(), unix_nanos())
}
