//! What one packet costs, in time and in allocations.

use std::time::{Duration, Instant};

use mingshi::worker::clock;

use crate::allocations::count;

const WARM_UP: Duration = Duration::from_millis(300);
const MEASURED: Duration = Duration::from_millis(300);
/// The best of so many runs: what disturbs a run only makes it slower.
const RUNS: usize = 9;

/// Nanoseconds per packet and allocations per packet of `work`, which makes `packets` packets a call.
pub fn price(packets: usize, mut work: impl FnMut()) -> (f64, f64) {
    let spent = |since: Instant| clock::now().saturating_duration_since(since);
    let began = clock::now();
    while spent(began) < WARM_UP {
        work();
    }
    let (mut best, mut allocated) = (f64::MAX, 0.0);
    for _ in 0..RUNS {
        let (began, before, mut calls) = (clock::now(), count(), 0usize);
        while spent(began) < MEASURED {
            work();
            calls += 1;
        }
        let made = (calls * packets) as f64;
        best = best.min(spent(began).as_nanos() as f64 / made);
        allocated = (count() - before) as f64 / made;
    }
    (best, allocated)
}
