//! A line that carries so much and no more: a token bucket before a queue of limited length, as `tc tbf` makes it, then
//! delay, jitter and random loss. A greedy flow that goes by loss may share it.

use std::collections::VecDeque;

use super::chance::Chance;

/// Whose packet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Member(usize),
    Download,
}

/// A packet under way. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    pub owner: Owner,
    pub number: u64,
    pub octets: u32,
}

/// What a line is like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Bits per second.
    pub rate: u64,
    /// The longest a packet waits, milliseconds.
    pub queue: u64,
    /// The octets that pass at once after a pause.
    pub burst: u64,
    /// One way, milliseconds.
    pub delay: u64,
    /// At most this much more, milliseconds.
    pub jitter: u64,
    /// Whether jitter reorders packets or holds up those behind.
    pub reorders: bool,
    /// By how much the delay of all packets wanders to either side, another way every 50 ms, milliseconds.
    pub wanders: u64,
    /// Probability that a packet is lost whatever the rate.
    pub loss: f64,
    /// Nothing passes, either way.
    pub cut: bool,
}

impl Shape {
    pub const fn of(rate: u64) -> Self {
        Self {
            rate,
            queue: 200,
            burst: 16_000,
            delay: 25,
            jitter: 0,
            reorders: true,
            wanders: 0,
            loss: 0.0,
            cut: false,
        }
    }
}

pub struct Bottleneck {
    pub shape: Shape,
    chance: Chance,
    queue: VecDeque<Packet>,
    queued: u64,
    tokens: f64,
    last_arrival: u64,
    arrivals: Vec<(u64, Packet)>,
    wandering: Wandering,
}

/// A delay that goes in straight lines between random values, as that of radio links does.
#[derive(Default)]
struct Wandering {
    /// Where it came from, where it goes, and since when; within -1 to 1.
    way: (f64, f64),
    since: u64,
}

impl Wandering {
    fn at(&mut self, now: u64, chance: &mut Chance) -> f64 {
        while now >= self.since + WANDERING {
            self.since += WANDERING;
            self.way = (self.way.1, chance.below(2001) as f64 / 1000.0 - 1.0);
        }
        let (from, to) = self.way;
        from + (to - from) * (now - self.since) as f64 / WANDERING as f64
    }
}

/// How often a delay sets out for another value, microseconds.
const WANDERING: u64 = 50_000;

impl Bottleneck {
    pub fn new(shape: Shape, chance: Chance) -> Self {
        let tokens = shape.burst as f64;
        Self {
            shape,
            chance,
            queue: VecDeque::new(),
            queued: 0,
            tokens,
            last_arrival: 0,
            arrivals: Vec::new(),
            wandering: Wandering::default(),
        }
    }

    /// Whether there was room for it.
    pub fn send(&mut self, packet: Packet) -> bool {
        let limit = self.shape.rate * self.shape.queue / 8000 + self.shape.burst;
        if self.shape.cut || self.queued + u64::from(packet.octets) > limit {
            return false;
        }
        self.queued += u64::from(packet.octets);
        self.queue.push_back(packet);
        true
    }

    /// How long a packet that came now would wait, milliseconds.
    pub fn waits(&self) -> f64 {
        (self.queued as f64 - self.tokens).max(0.0) * 8000.0 / self.shape.rate as f64
    }

    /// One millisecond passes.
    pub fn step(&mut self, now: u64) {
        self.tokens = (self.tokens + self.shape.rate as f64 / 8000.0).min(self.shape.burst as f64);
        while let Some(packet) = self.queue.front().copied() {
            if f64::from(packet.octets) > self.tokens {
                break;
            }
            self.queue.pop_front();
            self.tokens -= f64::from(packet.octets);
            self.queued -= u64::from(packet.octets);
            if self.shape.cut || self.chance.happens(self.shape.loss) {
                continue;
            }
            let at = now + self.shape.delay * 1000 + self.chance.below(self.shape.jitter * 1000 + 1);
            let wandered = self.shape.wanders as f64 * 1000.0 * (1.0 + self.wandering.at(now, &mut self.chance));
            let at = at + wandered as u64;
            let at = if self.shape.reorders && self.shape.wanders == 0 { at } else { at.max(self.last_arrival) };
            self.last_arrival = at;
            self.arrivals.push((at, packet));
        }
    }

    /// What has arrived by `now`, in order.
    pub fn arrived(&mut self, now: u64) -> Vec<(u64, Packet)> {
        let mut here: Vec<_> = Vec::new();
        self.arrivals.retain(|arrival| {
            let is_here = arrival.0 <= now;
            if is_here {
                here.push(*arrival);
            }
            !is_here
        });
        here.sort_unstable();
        here
    }
}

/// A download over TCP: it fills the queue until something is lost, then takes back its window to 0.7 of it (RFC 9438).
pub struct Download {
    window: f64,
    threshold: f64,
    in_flight: u64,
    number: u64,
    acknowledgements: VecDeque<u64>,
    losses: VecDeque<u64>,
    recovers_until: u64,
}

impl Download {
    pub fn new() -> Self {
        Self {
            window: 10.0,
            threshold: 1e9,
            in_flight: 0,
            number: 0,
            acknowledgements: VecDeque::new(),
            losses: VecDeque::new(),
            recovers_until: 0,
        }
    }

    pub fn arrived(&mut self, at: u64, back: u64) {
        self.acknowledgements.push_back(at + back);
    }

    pub fn step(&mut self, line: &mut Bottleneck, now: u64) {
        let due = |queue: &mut VecDeque<u64>| queue.front().is_some_and(|at| *at <= now).then(|| queue.pop_front());
        while due(&mut self.acknowledgements).is_some() {
            self.in_flight = self.in_flight.saturating_sub(1);
            self.window += if self.window < self.threshold { 1.0 } else { 1.5 / self.window };
        }
        let round_trip = 2 * line.shape.delay * 1000 + (line.waits() * 1000.0) as u64;
        while due(&mut self.losses).is_some() {
            self.in_flight = self.in_flight.saturating_sub(1);
            if now >= self.recovers_until {
                self.window = (self.window * 0.7).max(2.0);
                self.threshold = self.window;
                self.recovers_until = now + round_trip;
            }
        }
        let mut sent = 0;
        while self.in_flight < self.window as u64 && sent < 20 {
            sent += 1;
            self.in_flight += 1;
            self.number += 1;
            let packet = Packet { owner: Owner::Download, number: self.number, octets: 1500 };
            if !line.send(packet) {
                self.losses.push_back(now + round_trip);
            }
        }
        // A packet that chance took is missed by nobody but the window: it is given back after a while.
        if self.acknowledgements.is_empty() && self.losses.is_empty() && line.waits() == 0.0 {
            self.in_flight = 0;
        }
    }
}
