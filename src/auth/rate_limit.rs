//! Limits on guessing and on asking too often: one token bucket per client address or participant.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many are remembered at a time.
const MAX_REMEMBERED: usize = 10_000;
/// Tries of one that may be on their way at a time before it is known whether they fail: a county's classrooms behind one
/// address, all at the same instant.
const MAX_PENDING: u32 = 256;

/// Too many tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many tries; the next one in {} s", retry_after.as_secs())]
pub struct Limited {
    /// When the next try is allowed, whole seconds, at least one.
    pub retry_after: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Less than none where several that were on their way together failed.
    tries: f64,
    at: Instant,
    pending: u32,
}

/// A bucket of tries for each of whom is limited, refilled evenly over a minute. Addresses come as the networks that
/// [`client_network`](crate::id::client_network) makes of them.
#[derive(Debug)]
pub struct RateLimit<K> {
    per_minute: f64,
    buckets: HashMap<K, Bucket>,
}

impl<K: Copy + Eq + Hash> RateLimit<K> {
    /// At most this many tries a minute for each, all of which may come at once.
    #[must_use]
    pub fn per_minute(tries: u32) -> Self {
        Self { per_minute: f64::from(tries), buckets: HashMap::new() }
    }

    /// Spend one try.
    ///
    /// # Errors
    /// [`Limited`] when none is left.
    pub fn take(&mut self, key: K, now: Instant) -> Result<(), Limited> {
        self.begin(key, now)?;
        self.finish(key, now, true);
        Ok(())
    }

    /// Begins a try of which it isn't known yet whether it counts: a whole school that joins from one address at the bell
    /// spends nothing. [`finish`](Self::finish) has to follow.
    ///
    /// # Errors
    /// [`Limited`] when none is left, or too many are on their way.
    pub fn begin(&mut self, key: K, now: Instant) -> Result<(), Limited> {
        let per_minute = self.per_minute;
        let bucket = self.bucket(key, now);
        if bucket.tries >= 1.0 && bucket.pending < MAX_PENDING {
            bucket.pending += 1;
            return Ok(());
        }
        let seconds = ((1.0 - bucket.tries) * 60.0 / per_minute).ceil().max(1.0);
        Err(Limited { retry_after: Duration::from_secs_f64(seconds) })
    }

    /// A try that was begun is over, and is spent if it `counts`.
    pub fn finish(&mut self, key: K, now: Instant, counts: bool) {
        let bucket = self.bucket(key, now);
        bucket.pending = bucket.pending.saturating_sub(1);
        if counts {
            bucket.tries -= 1.0;
        }
    }

    fn bucket(&mut self, key: K, now: Instant) -> &mut Bucket {
        if self.buckets.len() >= MAX_REMEMBERED && !self.buckets.contains_key(&key) {
            self.make_room(now);
        }
        let per_minute = self.per_minute;
        let bucket = self.buckets.entry(key).or_insert(Bucket { tries: per_minute, at: now, pending: 0 });
        *bucket = refilled(*bucket, per_minute, now);
        bucket
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Forget those who have all their tries again. To be called now and then: else what was a flood stays in memory.
    pub fn forget(&mut self, now: Instant) {
        let per_minute = self.per_minute;
        self.buckets.retain(|_, bucket| bucket.pending > 0 || refilled(*bucket, per_minute, now).tries < per_minute);
        self.buckets.shrink_to(self.buckets.len() * 2);
    }

    /// Forget those who have all their tries again; if nobody has, the one who has waited longest.
    fn make_room(&mut self, now: Instant) {
        self.forget(now);
        if self.buckets.len() >= MAX_REMEMBERED {
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(&address, _)| address);
            oldest.map(|address| self.buckets.remove(&address));
        }
    }
}

fn refilled(bucket: Bucket, per_minute: f64, now: Instant) -> Bucket {
    let waited = now.saturating_duration_since(bucket.at).as_secs_f64();
    Bucket { tries: (bucket.tries + waited * per_minute / 60.0).min(per_minute), at: now, ..bucket }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::id::client_network;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
    fn guessing_is_slowed_down_and_allowed_again() {
        let start = Instant::now();
        let mut limit = RateLimit::per_minute(3);
        let school = client_network("2001:db8::1".parse().expect("an address"));
        let neighbour = client_network("2001:db8::2".parse().expect("an address of the same /64"));
        for _ in 0..3 {
            assert_eq!(limit.take(school, start), Ok(()));
        }
        assert_eq!(limit.take(neighbour, start), Err(Limited { retry_after: Duration::from_secs(20) }));
        assert_eq!(limit.take(IpAddr::from([192, 0, 2, 1]), start), Ok(()));
        assert_eq!(limit.take(school, start + Duration::from_secs(20)), Ok(()));
        assert!(limit.take(school, start + Duration::from_secs(20)).is_err());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
    fn what_does_not_count_is_free_and_what_failed_together_is_waited_for() {
        let start = Instant::now();
        let mut limit = RateLimit::per_minute(30);
        let school = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..MAX_PENDING {
            assert_eq!(limit.begin(school, start), Ok(()), "they all come at once");
        }
        assert!(limit.begin(school, start).is_err());
        limit.forget(start + Duration::from_secs(600));
        assert_eq!(limit.len(), 1, "they are still on their way");
        for _ in 0..MAX_PENDING {
            limit.finish(school, start, false);
        }
        for _ in 0..100 {
            assert_eq!(limit.begin(school, start), Ok(()));
        }
        for _ in 0..100 {
            limit.finish(school, start, true);
        }
        assert_eq!(limit.begin(school, start), Err(Limited { retry_after: Duration::from_secs(2 * 71) }));
        assert_eq!(limit.begin(school, start + Duration::from_secs(2 * 71)), Ok(()));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let start = Instant::now();
        let mut limit = RateLimit::per_minute(3);
        for n in 0..(MAX_REMEMBERED as u32 + 500) {
            let _ = limit.take(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), start);
        }
        assert_eq!(limit.len(), MAX_REMEMBERED);
        limit.forget(start + Duration::from_secs(60));
        assert!(limit.is_empty(), "a flood of the past is forgotten");
    }
}
