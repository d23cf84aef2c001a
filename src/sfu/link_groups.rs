//! The link groups of a worker: what is measured on each school's line, what its members may spend by it, and how fast
//! each may be sent to.
//!
//! Between [`adapt::Line`](crate::adapt::Line), which knows rates and no slots, and the [`Router`], which knows slots and
//! no rates. Pure; who drives it sends the padding and sets the pacers that it asks for.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::adapt::{Acknowledged, Line, LineDemand, LineState, Probe, Tier};
use crate::units::Bitrate;

use super::input::LineKey;
use super::lines::Allotment;
use super::router::Router;

/// A line is remembered for so long after its last subscriber left: a reload or a short break of the line begins where it ended.
const REMEMBERED: Duration = Duration::from_secs(60);
/// A line is looked at this often; one with a trial under way whenever there is time.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(50);
/// A budget that is lower by more than this part is told to the router at once.
const NOTICEABLE: f64 = 0.03;
/// Pictures come at most so much faster than the pace at which they leave.
const HEADROOM: f64 = 1.25;
/// A receiver that may be sent this much isn't paced: a keyframe takes a few milliseconds of such a line.
const UNPACED: Bitrate = Bitrate::from_bps(40_000_000);

/// One subscriber of a line.
#[derive(Debug, Clone, Copy)]
struct Member {
    connection: usize,
    subscriber: usize,
}

/// One line with those who share it here.
#[derive(Debug)]
struct Group {
    line: Line,
    redundancy: u8,
    members: Vec<Member>,
    /// Since when there are none.
    deserted: Option<Instant>,
    probe: Option<Probe>,
    looked_at: Instant,
    /// The budget that the router was last told.
    told: Option<Bitrate>,
}

/// What is to be done for one connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    /// Its pictures leave at this pace from now on; `None` = as they come.
    Pace {
        /// Which connection.
        connection: usize,
        /// The pace.
        rate: Option<Bitrate>,
    },
    /// Padding is to be sent for the time since it was last asked for.
    Pad {
        /// How much, and for which trial.
        probe: Probe,
        /// Since when.
        elapsed: Duration,
    },
}

/// What is known of one line, to be counted and shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupState {
    /// How many share it.
    pub members: usize,
    /// What is measured.
    pub line: LineState,
    /// What may be spent.
    pub budget: Bitrate,
    /// What was decided to spend.
    pub allocated: Bitrate,
}

/// All link groups of a worker.
#[derive(Debug, Default)]
pub struct LinkGroups {
    groups: HashMap<LineKey, Group>,
    orders: VecDeque<Order>,
}

impl LinkGroups {
    /// How many lines are kept, those lately deserted included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What is to be done, oldest first.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// A subscriber is about to be added at the router whose line is this, of which `tier` is known beforehand: the router
    /// has to know what may be spent before it decides.
    pub fn open(&mut self, line: LineKey, tier: &Tier, router: &mut Router, now: Instant) {
        let group = self.groups.entry(line).or_insert_with(|| Group {
            line: Line::new(tier.line, now),
            redundancy: tier.redundancy,
            members: Vec::new(),
            deserted: None,
            probe: None,
            looked_at: now,
            told: None,
        });
        group.deserted = Some(now).filter(|_| group.members.is_empty());
        router.allot(line, group.allotment(now), now);
    }

    /// A subscriber that the router has been given shares `line` from now on, which is open.
    pub fn join(&mut self, line: LineKey, (connection, subscriber): (usize, usize), router: &mut Router, now: Instant) {
        let Some(group) = self.groups.get_mut(&line) else { return };
        group.deserted = None;
        group.members.push(Member { connection, subscriber });
        group.line.join(connection, now);
        self.share(line, router, now);
    }

    /// A connection is gone from its line; the router has forgotten its subscriber.
    pub fn leave(&mut self, line: LineKey, connection: usize, router: &mut Router, now: Instant) {
        let Some(group) = self.groups.get_mut(&line) else { return };
        group.members.retain(|member| member.connection != connection);
        group.line.leave(connection);
        self.orders.retain(|order| match order {
            Order::Pace { connection: paced, .. } => *paced != connection,
            Order::Pad { probe, .. } => probe.member != connection,
        });
        if group.members.is_empty() {
            (group.deserted, group.probe) = (Some(now), None);
        }
        self.share(line, router, now);
    }

    /// It was told what became of packets to `connection`.
    pub fn feedback(
        &mut self,
        line: LineKey,
        connection: usize,
        acknowledged: &[Acknowledged],
        router: &mut Router,
        now: Instant,
    ) {
        let Some(group) = self.groups.get_mut(&line) else { return };
        group.line.feedback(connection, acknowledged, now);
        // A trial that has failed stops before its next padding.
        group.probe = group.probe.and_then(|_| group.line.probe(now));
        if group.told.is_some_and(|told| falls(told, group.line.budget())) {
            self.share(line, router, now);
        }
    }

    /// A receiver report of `connection` told of this part lost.
    pub fn reception(
        &mut self,
        line: LineKey,
        connection: usize,
        lost: f32,
        round_trip: Option<Duration>,
        now: Instant,
    ) {
        if let Some(group) = self.groups.get_mut(&line) {
            group.line.reception(connection, lost, round_trip, now);
        }
    }

    /// The receiver at `connection` said what it can take.
    pub fn remb(&mut self, line: LineKey, connection: usize, rate: Bitrate, now: Instant) {
        if let Some(group) = self.groups.get_mut(&line) {
            group.line.remb(connection, rate, now);
        }
    }

    /// Looks after time: trials, budgets, and lines that nobody uses any more. To be called every 10 ms or so.
    pub fn tick(&mut self, router: &mut Router, now: Instant) {
        let since = |then: Instant| now.saturating_duration_since(then);
        self.groups.retain(|_, group| group.deserted.is_none_or(|deserted| since(deserted) < REMEMBERED));
        let due = |group: &Group| {
            !group.members.is_empty() && (group.probe.is_some() || since(group.looked_at) >= LOOKED_AT_EVERY)
        };
        let due: Vec<LineKey> = self.groups.iter().filter(|(_, group)| due(group)).map(|(&key, _)| key).collect();
        for key in due {
            self.look_at(key, router, now);
        }
    }

    fn look_at(&mut self, key: LineKey, router: &mut Router, now: Instant) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut group.looked_at, now));
        let before = group.probe;
        // What it says is that one begins; how it goes on is asked for each time.
        group.line.tick(router.demand(key), now);
        group.probe = group.line.probe(now);
        if let Some(probe) = group.probe {
            // The first padding of a trial is for no time that has passed.
            let elapsed = if before.is_some() { elapsed } else { Duration::ZERO };
            self.orders.push_back(Order::Pad { probe, elapsed });
        }
        self.share(key, router, now);
    }

    /// Tells the router what the members of a line may spend, and each member's pacer how fast.
    fn share(&mut self, key: LineKey, router: &mut Router, now: Instant) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        if group.members.is_empty() {
            group.told = None;
            return;
        }
        let allotment = group.allotment(now);
        group.told = Some(allotment.budget);
        router.allot(key, allotment, now);
        self.pace(key, router);
    }

    /// What the line carries is divided as what was allocated is.
    fn pace(&mut self, key: LineKey, router: &Router) {
        let Some(group) = self.groups.get(&key) else { return };
        let LineDemand { allocated, .. } = router.demand(key);
        // Pictures that come during a trial are part of it: held back to the old pace they would arrive too late, and prove nothing.
        let tried = group.probe.map_or(Bitrate::ZERO, |probe| probe.total);
        let capacity = group.line.capacity().max(tried).bps() as f64;
        for &Member { connection, subscriber } in &group.members {
            let own = router.allocated(subscriber).bps() as f64;
            let part = if allocated.bps() == 0 { 1.0 } else { own / allocated.bps() as f64 };
            let rate = Bitrate::from_bps((capacity * part).max(own * HEADROOM) as u64);
            let rate = Some(rate).filter(|&rate| rate < UNPACED);
            self.orders.push_back(Order::Pace { connection, rate });
        }
    }

    /// What is known of one line.
    #[must_use]
    pub fn state(&self, key: LineKey, router: &Router, now: Instant) -> Option<GroupState> {
        let group = self.groups.get(&key)?;
        Some(GroupState {
            members: group.members.len(),
            line: group.line.state(now),
            budget: group.line.budget(),
            allocated: router.demand(key).allocated,
        })
    }

    /// The lines that somebody uses.
    pub fn keys(&self) -> impl Iterator<Item = LineKey> + '_ {
        self.groups.iter().filter(|(_, group)| !group.members.is_empty()).map(|(&key, _)| key)
    }
}

impl Group {
    fn allotment(&self, now: Instant) -> Allotment {
        let caps = self
            .members
            .iter()
            .filter_map(|member| Some((member.subscriber, self.line.member_cap(member.connection, now)?)));
        Allotment {
            budget: self.line.budget(),
            estimate: self.line.capacity(),
            loss: self.line.state(now).loss_floor,
            redundancy: self.redundancy,
            caps: caps.collect(),
        }
    }
}

/// Whether less may be spent than was told.
fn falls(told: Bitrate, budget: Bitrate) -> bool {
    (budget.bps() as f64) < told.bps() as f64 * (1.0 - NOTICEABLE)
}
