//! A lesson on simulated time: publishers, the router, lossy lines and receivers that check every packet.

pub(crate) mod publisher;
pub(crate) mod receiver;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mingshi::id::{LessonId, ParticipantId};
use mingshi::sfu::input::SlotSpec;
use mingshi::sfu::{Output, Router, SubscriberSpec};
use mingshi::units::ServerClock;
use mingshi::worker::clock;

use publisher::Publisher;
use receiver::{Arrival, Receiver};

/// Randomness that is the same in every run.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What a line does to packets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line {
    pub(crate) loss_percent: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) duplicate_percent: u64,
}

const STEP: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(10);

/// Server time at the beginning, nanoseconds since the Unix epoch.
const ORIGIN: i64 = 1_800_000_000_000_000_000;

/// One lesson on one worker.
pub(crate) struct Scene {
    pub(crate) now: Instant,
    pub(crate) clock: ServerClock,
    pub(crate) router: Router,
    pub(crate) lesson: LessonId,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) line: Line,
    pub(crate) keyframe_requests: Vec<(usize, u8, Instant)>,
    under_way: VecDeque<(Instant, usize, Arrival)>,
    dice: Dice,
    began: Instant,
    steps: u64,
}

impl Scene {
    pub(crate) fn new(seed: u64, line: Line) -> Self {
        let now = clock::now();
        let server_clock = ServerClock::new(now, ORIGIN);
        Self {
            now,
            clock: server_clock,
            router: Router::new(server_clock),
            lesson: LessonId::from_u64(1),
            publishers: Vec::new(),
            receivers: Vec::new(),
            line,
            keyframe_requests: Vec::new(),
            under_way: VecDeque::new(),
            dice: Dice::new(seed),
            began: now,
            steps: 0,
        }
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.began)
    }

    /// A publisher joins; returns its place in `publishers`.
    pub(crate) fn publish(&mut self, make: impl FnOnce(&mut Router, LessonId, Instant) -> Publisher) -> usize {
        self.publishers.push(make(&mut self.router, self.lesson, self.now));
        self.publishers.len() - 1
    }

    /// A receiver with these slots joins; returns its place in `receivers`.
    pub(crate) fn join(&mut self, participant: u64, slots: Vec<SlotSpec>) -> usize {
        let place = self.receivers.len();
        let participant = ParticipantId::from_u64(participant);
        self.receivers.push(Receiver::new(&slots, self.clock, self.now));
        let spec = SubscriberSpec { lesson: self.lesson, participant, connection: place, source: None, slots };
        self.receivers[place].key = self.router.add_subscriber(spec, self.now);
        place
    }

    /// A receiver leaves.
    pub(crate) fn leave(&mut self, place: usize) {
        self.router.remove_subscriber(self.receivers[place].key);
        self.receivers[place].gone = true;
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += STEP;
            self.steps += 1;
            for publisher in &mut self.publishers {
                publisher.step(&mut self.router, self.now, &self.clock);
            }
            if self.steps.is_multiple_of(10) {
                self.router.tick(self.now);
            }
            if self.steps.is_multiple_of(100) {
                self.router.measure(self.now);
            }
            self.send();
            self.outputs();
            self.deliver();
        }
    }

    fn send(&mut self) {
        while self.router.flush() {
            for forward in self.router.forwards() {
                let Some((cache, entry)) = self.router.packet(forward) else { continue };
                let arrival = Arrival::new(forward, cache.payload(entry), entry);
                self.receivers[forward.connection].sent(&arrival);
                let copies = 1 + u64::from(self.dice.roll(100) < self.line.duplicate_percent);
                for _ in 0..copies {
                    if self.dice.roll(100) < self.line.loss_percent {
                        continue;
                    }
                    let late = Duration::from_millis(self.dice.roll(self.line.jitter_ms + 1));
                    self.under_way.push_back((self.now + DELAY + late, forward.connection, arrival.clone()));
                }
            }
            self.router.sent();
        }
    }

    fn outputs(&mut self) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::KeyframeRequest { publication, layer } => {
                    self.keyframe_requests.push((publication, layer, self.now));
                    for publisher in &mut self.publishers {
                        publisher.requested(publication, layer);
                    }
                }
                Output::Slots { connection, slots, .. } => self.receivers[connection].slots = slots,
                Output::Publication { .. } => {}
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let mut still = VecDeque::new();
        for (at, place, arrival) in std::mem::take(&mut self.under_way) {
            if at <= now {
                self.receivers[place].arrived(arrival, now);
            } else {
                still.push_back((at, place, arrival));
            }
        }
        self.under_way = still;
        for receiver in self.receivers.iter_mut().filter(|receiver| !receiver.gone) {
            receiver.step(&mut self.router, now);
        }
    }
}
