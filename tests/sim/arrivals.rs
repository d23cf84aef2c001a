//! What a browser tells of the packets that arrived, every tenth of a second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mingshi::rtp::rtcp::TransportFeedback;
use mingshi::rtp::sequence::Extender;

const EVERY: Duration = Duration::from_millis(100);
/// Microseconds of a delta and of a reference time.
const DELTA: i64 = 250;
const REFERENCE: i64 = 64_000;

/// The arrivals since the last feedback.
#[derive(Debug)]
pub struct Arrivals {
    origin: Instant,
    extender: Extender,
    came: BTreeMap<u64, i64>,
    next: Option<u64>,
    told: Instant,
    count: u8,
}

impl Arrivals {
    pub fn new(now: Instant) -> Self {
        Self { origin: now, extender: Extender::default(), came: BTreeMap::new(), next: None, told: now, count: 0 }
    }

    pub fn arrived(&mut self, number: u16, now: Instant) {
        let number = self.extender.extend(number);
        self.came.insert(number, now.saturating_duration_since(self.origin).as_micros() as i64);
    }

    /// The feedback, when it is time for one and there is anything to tell.
    pub fn feedback(&mut self, now: Instant) -> Option<TransportFeedback> {
        if now.saturating_duration_since(self.told) < EVERY || self.came.is_empty() {
            return None;
        }
        self.told = now;
        let came = std::mem::take(&mut self.came);
        let (&first, _) = came.first_key_value()?;
        let (&last, _) = came.last_key_value()?;
        let base = self.next.map_or(first, |next| next.min(first));
        self.next = Some(last + 1);
        self.count = self.count.wrapping_add(1);
        let reference = came[&first] / REFERENCE;
        let mut before = reference * REFERENCE;
        let delta = |number: u64| {
            let steps = (came.get(&number)? - before) / DELTA;
            before += steps * DELTA;
            i16::try_from(steps).ok()
        };
        let deltas = (base..=last).map(delta).collect();
        Some(TransportFeedback {
            ssrc: 1,
            base: base as u16,
            count: self.count,
            reference_time: reference as u32 & 0xff_ffff,
            deltas,
        })
    }
}
