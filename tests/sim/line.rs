//! A line between two ends: it delays, loses, reorders and duplicates.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::chance::Chance;

/// What a line is like.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Probability that something sent is lost.
    pub loss: f64,
    /// What everything takes at least.
    pub delay: Duration,
    /// What it takes more at most; a spread longer than the spacing of packets reorders them.
    pub jitter: Duration,
    /// Probability that something arrives twice.
    pub duplicates: f64,
}

impl Quality {
    /// 20 ms, and 1 ms of jitter.
    pub const GOOD: Self =
        Self { loss: 0.0, delay: Duration::from_millis(20), jitter: Duration::from_millis(1), duplicates: 0.0 };

    pub const fn losing(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    pub const fn jittering(self, millis: u64) -> Self {
        Self { jitter: Duration::from_millis(millis), ..self }
    }

    pub const fn duplicating(self, duplicates: f64) -> Self {
        Self { duplicates, ..self }
    }
}

/// One direction.
#[derive(Debug)]
pub struct Line<T> {
    pub quality: Quality,
    chance: Chance,
    under_way: BTreeMap<(Instant, u64), T>,
    sent: u64,
}

impl<T: Clone> Line<T> {
    pub fn new(quality: Quality, chance: Chance) -> Self {
        Self { quality, chance, under_way: BTreeMap::new(), sent: 0 }
    }

    pub fn send(&mut self, now: Instant, thing: T) {
        if self.chance.happens(self.quality.loss) {
            return;
        }
        if self.chance.happens(self.quality.duplicates) {
            self.put(now, thing.clone());
        }
        self.put(now, thing);
    }

    fn put(&mut self, now: Instant, thing: T) {
        let spread = self.quality.jitter.as_micros() as u64 + 1;
        let jitter = Duration::from_micros(self.chance.below(spread));
        self.sent += 1;
        self.under_way.insert((now + self.quality.delay + jitter, self.sent), thing);
    }

    /// What has arrived by `now`, in the order of arrival.
    pub fn arrived(&mut self, now: Instant) -> Vec<T> {
        let later = self.under_way.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.under_way, later).into_values().collect()
    }
}
