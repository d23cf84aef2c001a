//! A school behind one line: members that receive, a server that sends layers in fixed steps and goes by `adapt::Line`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mingshi::adapt::estimate::Phase;
use mingshi::adapt::{Acknowledged, Kind, Line, LineDemand, LineTier, SentHistory};
use mingshi::units::Bitrate;

use super::bottleneck::{Bottleneck, Download, Owner, Packet, Shape};
use super::chance::Chance;

/// Layers in the order in which a line climbs them, bits per second with all overhead; the rate that each adds.
const VOICE: u64 = 50_000;
const SLIDES: [u64; 2] = [300_000, 1_500_000];
const CAMERA: [u64; 3] = [150_000, 400_000, 1_200_000];
/// What each step makes of slides and camera: how many of their layers are reached.
const STEPS: [(usize, usize); 6] = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 2), (2, 3)];
const DWELL: u64 = 1_000_000;

fn rate_of(step: usize) -> u64 {
    let (slides, camera) = STEPS[step];
    let layer = |layers: &[u64], reached: usize| reached.checked_sub(1).map_or(0, |top| layers[top]);
    VOICE + layer(&SLIDES, slides) + layer(&CAMERA, camera)
}

/// One member.
pub struct Member {
    id: usize,
    pub step: usize,
    pub joined: bool,
    history: SentHistory,
    number: u64,
    /// Numbers, octets and kinds that wait for the pacer.
    paced: VecDeque<u32>,
    paced_octets: u64,
    /// What came in since the last report, by number, with the receiver's time, and when it is read.
    came: Vec<(u64, i64, u64)>,
    reported: u64,
    next_report: u64,
    reports: VecDeque<(u64, u16, u32, Vec<Option<i16>>)>,
    /// Where its clock stands beside ours, microseconds, and how it drifts, parts per million.
    pub clock: i64,
    pub drift: i64,
    /// A bottleneck of its own behind the line.
    pub last_metre: Option<Bottleneck>,
    /// How long it doesn't look at what has come, at most, once in 700 ms, microseconds: an old computer that has much to do.
    pub stalls: u64,
    pub octets: u64,
}

/// A change of steps: when, from what to what over all members.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub at: u64,
    pub before: u64,
    pub after: u64,
}

/// What a moment was like; one every 10 ms.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at: u64,
    pub waits: f64,
    pub estimate: f64,
    pub allocated: f64,
    pub probing: bool,
    /// The least step of any member.
    pub least_step: usize,
    pub phase: Phase,
    pub seen: f64,
}

pub struct School {
    pub now: u64,
    start: Instant,
    chance: Chance,
    pub bottleneck: Bottleneck,
    pub download: Option<Download>,
    pub members: Vec<Member>,
    pub line: Line,
    /// All members climb at once, or one after the other.
    together: bool,
    changed: u64,
    pace: f64,
    fill: f64,
    pub samples: Vec<Sample>,
    pub changes: Vec<Change>,
    pub return_loss: f64,
    cameras: [Source; 3],
    slides: [Source; 2],
    pub padding: u64,
    pub top: usize,
}

/// An encoder: a frame now and then, of wavering size, larger where the picture begins anew.
struct Source {
    rate: u64,
    interval: u64,
    next: u64,
    next_key: u64,
    owed: f64,
}

impl Source {
    const fn new(rate: u64, frames: u64) -> Self {
        Self { rate, interval: 1_000_000 / frames, next: 0, next_key: 0, owed: 0.0 }
    }

    /// The octets of the frame that is due. Its rate control makes up for large ones.
    fn frame(&mut self, now: u64, wants_key: bool, chance: &mut Chance) -> Option<u64> {
        if now < self.next {
            return None;
        }
        self.next = now + self.interval;
        let mean = self.rate as f64 * self.interval as f64 / 8e6;
        let mut size = mean * (0.7 + 0.6 * chance.below(1000) as f64 / 1000.0);
        if wants_key || now >= self.next_key {
            self.next_key = now + 8_000_000 + chance.below(8_000_000);
            size = mean * 6.0;
        }
        let size = (size - self.owed * 0.2).max(mean * 0.3);
        self.owed = (self.owed + size - mean).clamp(-mean, 12.0 * mean);
        Some(size as u64)
    }
}

impl School {
    pub fn new(shape: Shape, tier: LineTier, members: usize, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let together = chance.happens(0.5);
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let start = Instant::now();
        let mut school = Self {
            now: 0,
            start,
            bottleneck: Bottleneck::new(shape, chance.fork()),
            download: None,
            members: Vec::new(),
            line: Line::new(tier, start),
            together,
            changed: 0,
            pace: 0.0,
            fill: 0.0,
            samples: Vec::new(),
            changes: Vec::new(),
            return_loss: 0.0,
            cameras: [Source::new(CAMERA[0], 15), Source::new(CAMERA[1], 15), Source::new(CAMERA[2], 25)],
            slides: [Source::new(SLIDES[0], 5), Source::new(SLIDES[1], 15)],
            padding: 0,
            top: STEPS.len() - 1,
            chance,
        };
        for _ in 0..members {
            school.join();
        }
        school
    }

    pub fn join(&mut self) -> usize {
        let id = self.members.len();
        self.members.push(Member {
            id,
            step: 0,
            joined: true,
            history: SentHistory::new(),
            number: self.chance.below(65_536),
            paced: VecDeque::new(),
            paced_octets: 0,
            came: Vec::new(),
            reported: 0,
            next_report: self.now + self.chance.below(100_000),
            reports: VecDeque::new(),
            clock: self.chance.below(1 << 40) as i64,
            drift: self.chance.below(120) as i64 - 60,
            last_metre: None,
            stalls: 0,
            octets: 0,
        });
        self.members[id].reported = self.members[id].number;
        self.line.join(id, self.at(self.now));
        id
    }

    pub fn leave(&mut self, id: usize) {
        self.members[id].joined = false;
        self.members[id].paced.clear();
        self.members[id].paced_octets = 0;
        self.line.leave(id);
    }

    pub fn at(&self, now: u64) -> Instant {
        self.start + Duration::from_micros(now)
    }

    pub fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 1000 {
            self.step();
        }
    }

    pub fn state(&self) -> mingshi::adapt::LineState {
        self.line.state(self.at(self.now))
    }

    fn step(&mut self) {
        self.now += 1000;
        self.produce();
        self.pace();
        if let Some(download) = &mut self.download {
            download.step(&mut self.bottleneck, self.now);
        }
        self.bottleneck.step(self.now);
        self.arrive();
        self.report();
        if self.now.is_multiple_of(20_000) {
            self.decide();
        }
        if self.now.is_multiple_of(10_000) {
            self.samples.push(Sample {
                at: self.now,
                waits: self.bottleneck.waits(),
                estimate: self.line.capacity().bps() as f64,
                allocated: self.members.iter().filter(|m| m.joined).map(|m| rate_of(m.step)).sum::<u64>() as f64,
                least_step: self.members.iter().filter(|m| m.joined).map(|m| m.step).min().unwrap_or(0),
                phase: self.state().phase,
                seen: self.state().queue.as_secs_f64() * 1e3,
                probing: self.line.probe(self.at(self.now)).is_some(),
            });
        }
    }

    fn produce(&mut self) {
        if self.now.is_multiple_of(20_000) {
            for member in 0..self.members.len() {
                if self.members[member].joined {
                    self.send(member, VOICE as u32 / 400, Kind::Media);
                }
            }
        }
        let fresh = self.now - self.changed < 1000;
        for (layer, source) in self.cameras.iter_mut().enumerate() {
            if let Some(octets) = source.frame(self.now, fresh, &mut self.chance) {
                for member in self.members.iter_mut().filter(|m| m.joined && STEPS[m.step].1 == layer + 1) {
                    member.queue(octets);
                }
            }
        }
        for (layer, source) in self.slides.iter_mut().enumerate() {
            if let Some(octets) = source.frame(self.now, fresh, &mut self.chance) {
                for member in self.members.iter_mut().filter(|m| m.joined && STEPS[m.step].0 == layer + 1) {
                    member.queue(octets);
                }
            }
        }
    }

    /// Video leaves at the pace of the line, padding fills up to the rate of the trial.
    fn pace(&mut self) {
        let probe = self.line.probe(self.at(self.now));
        let pace = (self.line.capacity().bps() as f64).max(probe.map_or(0.0, |probe| probe.total.bps() as f64));
        self.pace = (self.pace + pace / 8000.0).min(3000.0);
        self.fill = probe.map_or(0.0, |probe| (self.fill + probe.total.bps() as f64 / 8000.0).min(3000.0));
        while self.pace > 0.0 {
            let turn = self.chance.below(self.members.len().max(1) as u64) as usize;
            let count = self.members.len();
            let Some(member) =
                (0..count).map(|step| (turn + step) % count).find(|m| !self.members[*m].paced.is_empty())
            else {
                break;
            };
            let octets = self.members[member].paced.pop_front().unwrap_or_default();
            self.members[member].paced_octets -= u64::from(octets);
            self.send(member, octets, Kind::Media);
        }
        if let Some(probe) = probe {
            while self.fill > 1200.0 {
                self.padding += 280;
                self.send(probe.member, 280, Kind::Probe(probe.cluster));
            }
        }
    }

    fn send(&mut self, member: usize, octets: u32, kind: Kind) {
        self.pace -= f64::from(octets);
        self.fill -= f64::from(octets);
        let at = self.at(self.now);
        let known = &mut self.members[member];
        let number = known.number;
        known.number += 1;
        known.history.sent(number as u16, at, octets as u16, kind);
        self.bottleneck.send(Packet { owner: Owner::Member(member), number, octets });
    }

    fn arrive(&mut self) {
        for (at, packet) in self.bottleneck.arrived(self.now) {
            match packet.owner {
                Owner::Download => {
                    if let Some(download) = &mut self.download {
                        download.arrived(at, self.bottleneck.shape.delay * 1000);
                    }
                }
                Owner::Member(member) => {
                    let known = &mut self.members[member];
                    if let Some(last_metre) = &mut known.last_metre {
                        last_metre.send(packet);
                    } else {
                        known.receive(at, packet);
                    }
                }
            }
        }
        for member in &mut self.members {
            let Some(mut last_metre) = member.last_metre.take() else { continue };
            last_metre.step(self.now);
            for (at, packet) in last_metre.arrived(self.now) {
                member.receive(at, packet);
            }
            member.last_metre = Some(last_metre);
        }
    }

    fn report(&mut self) {
        let (now, at) = (self.now, self.at(self.now));
        let shape = self.bottleneck.shape;
        for member in self.members.iter_mut().filter(|member| member.joined) {
            if now >= member.next_report && member.has_read(now) {
                member.next_report = now + 50_000 + self.chance.below(50_000);
                let back = shape.delay * 1000 + self.chance.below(shape.jitter * 1000 + 1);
                if let Some((base, reference, deltas)) = member.told(now)
                    && !shape.cut
                    && !self.chance.happens(self.return_loss)
                {
                    member.reports.push_back((now + back, base, reference, deltas));
                }
            }
            while member.reports.front().is_some_and(|report| report.0 <= now) {
                let Some((_, base, reference, deltas)) = member.reports.pop_front() else { break };
                let mut out: Vec<Acknowledged> = Vec::new();
                member.history.feedback(base, reference, &deltas, at, &mut out);
                self.line.feedback(member.id, &out, at);
            }
        }
    }

    /// Steps down at once, up after a while, by the budget alone.
    fn decide(&mut self) {
        let now = self.at(self.now);
        let budget = self.line.budget().bps();
        let (steps, taken, next) = self.allocation(budget, now);
        let before: u64 = self.members.iter().filter(|m| m.joined).map(|m| rate_of(m.step)).sum();
        let may = taken <= before || self.now - self.changed >= DWELL || before == 0;
        if may && self.members.iter().zip(&steps).any(|(member, step)| member.step != *step) {
            for (member, step) in self.members.iter_mut().zip(&steps) {
                member.step = *step;
            }
            self.changed = self.now;
            self.changes.push(Change { at: self.now, before, after: taken });
        }
        let wanted = self.members.iter().filter(|m| m.joined).count() as u64 * rate_of(self.top);
        let demand = LineDemand {
            allocated: Bitrate::from_bps(taken),
            next: next.map(Bitrate::from_bps),
            wanted: Bitrate::from_bps(wanted),
        };
        self.line.tick(demand, now);
    }

    fn allocation(&self, budget: u64, now: Instant) -> (Vec<usize>, u64, Option<u64>) {
        let mut steps = vec![0; self.members.len()];
        let present: Vec<_> = (0..steps.len()).filter(|member| self.members[*member].joined).collect();
        let mut taken: u64 = present.len() as u64 * rate_of(0);
        let cap = |member: usize| self.line.member_cap(member, now).map_or(u64::MAX, Bitrate::bps);
        let groups: Vec<Vec<usize>> =
            if self.together { vec![present] } else { present.iter().map(|m| vec![*m]).collect() };
        for step in 1..=self.top {
            for group in &groups {
                let able: Vec<_> =
                    group.iter().filter(|m| steps[**m] == step - 1 && rate_of(step) <= cap(**m)).copied().collect();
                let more = able.len() as u64 * (rate_of(step) - rate_of(step - 1));
                if taken + more > budget {
                    return (steps, taken, Some(taken + more));
                }
                taken += more;
                able.iter().for_each(|member| steps[*member] = step);
            }
        }
        (steps, taken, None)
    }
}

impl Member {
    fn queue(&mut self, octets: u64) {
        // What waits for more than a second helps nobody.
        if self.paced_octets > 150_000 {
            self.paced.clear();
            self.paced_octets = 0;
        }
        let packets = octets.div_ceil(1150).max(1);
        for _ in 0..packets {
            let octets = (octets / packets) as u32 + 60;
            self.paced.push_back(octets);
            self.paced_octets += u64::from(octets);
        }
    }

    fn receive(&mut self, at: u64, packet: Packet) {
        self.octets += u64::from(packet.octets);
        let at = self.reads_at(at);
        let theirs = at as i64 + at as i64 * self.drift / 1_000_000 + self.clock;
        self.came.push((packet.number, theirs, at));
    }

    /// The stall in whose turn `at` is, and how far into the turn that is.
    const fn stall(&self, at: u64) -> (u64, u64) {
        let (turn, into) = (at / 700_000, at % 700_000);
        (self.stalls * (turn * 7 % 11 + 1) / 11, into)
    }

    /// When it reads what came at `at`: after the stall, ten times as fast as it came.
    const fn reads_at(&self, at: u64) -> u64 {
        let (stall, into) = self.stall(at);
        if into < stall { at - into + stall + into / 10 } else { at }
    }

    /// Whether it tells what it has read: in the midst of what waited, as it happens.
    const fn has_read(&self, at: u64) -> bool {
        let (stall, into) = self.stall(at);
        into >= stall + stall * (at / 700_000 * 5 % 7) / 70
    }

    /// What a receiver tells: from where the last report ended to the newest that came, or from what came late.
    fn told(&mut self, now: u64) -> Option<(u16, u32, Vec<Option<i16>>)> {
        let mut told: Vec<_> = self.came.extract_if(.., |(_, _, read)| *read <= now).collect();
        told.sort_unstable();
        let (first, newest) = (told.first()?.0, told.last()?.0);
        let base = self.reported.min(first);
        let earliest = told.first()?.1;
        let reference = earliest.div_euclid(64_000);
        let mut deltas = vec![None; (newest + 1 - base) as usize];
        let mut last = reference * 64_000;
        for (number, at, _) in &told {
            let delta = (at - last).div_euclid(250);
            last += delta * 250;
            deltas[(number - base) as usize] = i16::try_from(delta).ok();
        }
        self.reported = self.reported.max(newest + 1);
        Some((base as u16, (reference & 0xff_ffff) as u32, deltas))
    }
}
