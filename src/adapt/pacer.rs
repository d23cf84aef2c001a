//! Spreads pictures over time, so that what a keyframe takes of a line is never all of it.
//!
//! A leaky bucket for one receiver, as in draft-ietf-rmcat-gcc-02 §4: what comes faster than the rate waits, the more
//! urgent first. Voice doesn't wait here; it only takes its part of the rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// What an idle receiver may be sent at once, in time at its rate: what comes between two looks at the pacer.
const BURST: Duration = Duration::from_millis(15);
/// Two full packets may always leave at once.
const LEAST_BURST: f64 = 3_000.0;
/// Pictures that waited for so long are of no use any more: the line has become far too narrow for them.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// Slides are worth waiting for: what replaced a new one would be as large, and later.
const SLIDES_PATIENCE: Duration = Duration::from_millis(3_000);
/// The camera's part of what leaves while slides wait too: a new slide takes a second or two of a weak line, and nobody
/// looks at a frozen teacher for so long.
const CAMERA_PART: f64 = 0.4;
/// So long after its beginning a receiver gets the camera before the slides: that picture is the smaller one, and whoever
/// enters sees something of the lesson the sooner.
const BEGINNING: Duration = Duration::from_millis(1_000);
/// Of what is sent again no more waits than leaves in this time: what comes later than that is asked for once more, and would
/// be there twice.
const AGAIN_ROOM: Duration = Duration::from_millis(200);
const AGAIN_LEAST: f64 = 6_000.0;
/// Its part of what leaves while anything else waits: a receiver that asks for more than the line carries must not be kept
/// from what it would rather have.
const AGAIN_PART: f64 = 0.5;
/// So many may wait, whatever the rate: a few hundred kilobytes, and no more of memory than 100 KiB.
const ROOM: usize = 1_024;

/// What waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Never waits.
    Voice,
    /// What was lost and is sent again: others wait for it already.
    Again,
    /// Slides.
    Slides,
    /// All other pictures.
    Camera,
}

/// What becomes of something offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is to be sent now.
    Send,
    /// It waits, and [`Pacer::release`] will give it back.
    Waits,
    /// It is gone, and will be asked for again if it is still missed.
    Refused,
    /// There is no room: it and all that waited with the same urgency are gone, and those streams need keyframes.
    Dropped,
}

/// Where something belongs: in which stream, and as which of its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The stream.
    pub ssrc: u32,
    /// The packet's index in it.
    pub index: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting<T> {
    item: T,
    place: Place,
    octets: u16,
    since: Instant,
}

/// What waits for one receiver.
#[derive(Debug)]
pub struct Pacer<T> {
    /// `None` = everything leaves at once.
    rate: Option<Bitrate>,
    began: Instant,
    /// Octets that may be sent now; below zero after something larger was.
    credit: f64,
    refilled: Instant,
    queues: [VecDeque<Waiting<T>>; 3],
    octets: usize,
    /// The same of what is sent again.
    again: f64,
    /// Octets that what is sent again may go ahead of the rest.
    ahead: f64,
    /// Octets that the camera has been kept waiting for, of its part of what left while both waited.
    turn: f64,
}

impl<T: Copy> Pacer<T> {
    /// Unpaced, for now.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            rate: None,
            began: now,
            credit: 0.0,
            refilled: now,
            queues: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            octets: 0,
            again: 0.0,
            ahead: 0.0,
            turn: 0.0,
        }
    }

    /// From now on at this rate; `None` lets everything go.
    pub fn set_rate(&mut self, rate: Option<Bitrate>, now: Instant) {
        self.refill(now);
        self.rate = rate;
    }

    /// The rate.
    #[must_use]
    pub const fn rate(&self) -> Option<Bitrate> {
        self.rate
    }

    /// Whether its receiver has only just come.
    #[must_use]
    pub fn begins(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) < BEGINNING
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }

    /// Octets that wait.
    #[must_use]
    pub const fn octets(&self) -> usize {
        self.octets
    }

    /// Something of so many octets is to be sent. What came out of order leaves in order, if it waits: spread over time, a
    /// picture's shuffled packets would be asked for again one by one.
    #[inline]
    pub fn offer(&mut self, item: T, place: Place, octets: u16, urgency: Urgency, now: Instant) -> Offered {
        let Some(queue) = queue_of(urgency) else {
            self.spent(octets, now);
            return Offered::Send;
        };
        if self.rate.is_none() && self.octets == 0 {
            return Offered::Send;
        }
        self.refill(now);
        // What is more urgent may pass what waits, never what is as urgent.
        if self.credit > 0.0 && self.queues[..=queue].iter().all(VecDeque::is_empty) {
            self.credit -= f64::from(octets);
            return Offered::Send;
        }
        if urgency == Urgency::Again {
            let rate = self.rate.map_or(0.0, |rate| rate.bps() as f64 / 8.0);
            if self.again > (rate * AGAIN_ROOM.as_secs_f64()).max(AGAIN_LEAST) {
                return Offered::Refused;
            }
            self.again += f64::from(octets);
        }
        let patience = if urgency == Urgency::Slides { SLIDES_PATIENCE } else { PATIENCE };
        let waits_too_long = |one: &Waiting<T>| now.saturating_duration_since(one.since) > patience;
        if self.queues[queue].len() >= ROOM || self.queues[queue].front().is_some_and(waits_too_long) {
            return Offered::Dropped;
        }
        self.octets += usize::from(octets);
        let queue = &mut self.queues[queue];
        let is_behind = |one: &Waiting<T>| one.place.ssrc == place.ssrc && one.place.index > place.index;
        let behind = queue.iter().rev().take_while(|one| is_behind(one)).count();
        // So that patience counts from the oldest on, it takes the place's time with the place.
        let since = queue.get(queue.len() - behind).map_or(now, |one| one.since);
        queue.insert(queue.len() - behind, Waiting { item, place, octets, since });
        Offered::Waits
    }

    /// So many octets were sent that didn't wait.
    #[inline]
    pub fn spent(&mut self, octets: u16, now: Instant) {
        if self.rate.is_some() {
            self.refill(now);
            self.credit -= f64::from(octets);
        }
    }

    /// The next that may be sent now. To be asked until it says `None`.
    pub fn release(&mut self, now: Instant) -> Option<T> {
        self.refill(now);
        if self.credit <= 0.0 && self.rate.is_some() {
            return None;
        }
        let begins = self.begins(now);
        let [again, slides, camera] = &mut self.queues;
        let both = !slides.is_empty() && !camera.is_empty();
        let others = !slides.is_empty() || !camera.is_empty();
        let next = match again.pop_front_if(|_| !others || self.ahead >= 0.0) {
            Some(next) => {
                self.again -= f64::from(next.octets);
                self.ahead -= f64::from(next.octets) * (1.0 - AGAIN_PART);
                next
            }
            None if slides.is_empty() || (both && (begins || self.turn > 0.0)) => {
                let next = camera.pop_front()?;
                self.turn -= f64::from(next.octets) * (1.0 - CAMERA_PART);
                self.ahead += f64::from(next.octets) * AGAIN_PART;
                next
            }
            None => {
                let next = slides.pop_front()?;
                self.turn += f64::from(next.octets) * CAMERA_PART;
                self.ahead += f64::from(next.octets) * AGAIN_PART;
                next
            }
        };
        if !both {
            self.turn = 0.0;
        }
        if !others || again.is_empty() {
            self.ahead = 0.0;
        }
        self.credit -= f64::from(next.octets);
        self.octets -= usize::from(next.octets);
        Some(next.item)
    }

    /// Takes out everything as urgent as this that waits.
    pub fn clear(&mut self, urgency: Urgency) -> impl Iterator<Item = T> + '_ {
        if urgency == Urgency::Again {
            self.again = 0.0;
        }
        let queue = queue_of(urgency).unwrap_or_default();
        let gone: usize = self.queues[queue].iter().map(|one| usize::from(one.octets)).sum();
        self.octets -= gone;
        self.queues[queue].drain(..).map(|one| one.item)
    }

    fn refill(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.refilled);
        self.refilled = now;
        let Some(rate) = self.rate else {
            self.credit = 0.0;
            return;
        };
        let octets = |span: Duration| rate.bps() as f64 / 8.0 * span.as_secs_f64();
        self.credit = (self.credit + octets(span)).min(octets(BURST).max(LEAST_BURST));
    }
}

const fn queue_of(urgency: Urgency) -> Option<usize> {
    match urgency {
        Urgency::Voice => None,
        Urgency::Again => Some(0),
        Urgency::Slides => Some(1),
        Urgency::Camera => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
    fn pacer(kbps: u64) -> (Pacer<u32>, Instant) {
        let began = Instant::now();
        let mut pacer = Pacer::new(began);
        let start = began + BEGINNING;
        pacer.set_rate(Some(Bitrate::from_bps(kbps * 1_000)), start);
        (pacer, start)
    }

    fn at(index: u32) -> Place {
        Place { ssrc: 1, index: index.into() }
    }

    /// How long after `start` each item left, looking at the pacer every millisecond.
    fn departures(pacer: &mut Pacer<u32>, start: Instant, millis: u32) -> Vec<(u32, u32)> {
        let mut left = Vec::new();
        for at in 0..millis {
            while let Some(item) = pacer.release(start + MILLI * at) {
                left.push((item, at));
            }
        }
        left
    }

    #[test]
    fn a_keyframe_takes_the_time_that_its_rate_gives_it() {
        let (mut pacer, start) = pacer(1_000);
        let waiting =
            (0..100).filter(|&one| pacer.offer(one, at(one), 1_250, Urgency::Camera, start) == Offered::Waits).count();
        assert!((97..=100).contains(&waiting), "a burst may leave at once: {waiting}");
        let left = departures(&mut pacer, start, 2_000);
        assert_eq!(left.len(), waiting);
        assert!(left.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
        let last = left[waiting - 1].1;
        assert!((950..=1_030).contains(&last), "125 kB at 1 Mbit/s take a second: {last} ms");
        assert!(pacer.is_empty() && pacer.octets() == 0);
    }

    #[test]
    fn voice_never_waits_and_slides_pass_the_camera() {
        let (mut pacer, start) = pacer(500);
        for one in 0..50 {
            pacer.offer(one, at(one), 1_250, Urgency::Camera, start);
        }
        assert_eq!(pacer.offer(100, at(100), 200, Urgency::Voice, start), Offered::Send);
        assert_eq!(pacer.offer(101, at(101), 1_250, Urgency::Slides, start), Offered::Waits);
        let left = departures(&mut pacer, start, 200);
        assert_eq!(left[0].0, 101);
    }

    #[test]
    fn who_has_just_come_gets_the_camera_first() {
        let (mut pacer, start) = pacer(1_000);
        pacer.began = start;
        for one in 0..60 {
            pacer.offer(one, at(one), 1_250, Urgency::Slides, start);
        }
        for one in 100..120 {
            pacer.offer(one, at(one), 1_250, Urgency::Camera, start);
        }
        let left = departures(&mut pacer, start, 600);
        assert!(
            left[..20].iter().all(|(one, _)| *one >= 100) && left[20..].iter().all(|(one, _)| *one < 100),
            "{left:?}"
        );
    }

    #[test]
    fn the_camera_keeps_its_part_while_a_new_slide_leaves() {
        let (mut pacer, start) = pacer(1_000);
        for one in 0..60 {
            pacer.offer(one, at(one), 1_250, Urgency::Slides, start);
            pacer.offer(100 + one, at(100 + one), 1_250, Urgency::Camera, start);
        }
        let left = departures(&mut pacer, start, 400);
        let camera = left.iter().filter(|(one, _)| *one >= 100).count();
        assert!((14..=18).contains(&camera), "{camera} of {}", left.len());
    }

    #[test]
    fn what_waited_for_too_long_of_one_kind_leaves_the_other_alone() {
        let (mut pacer, start) = pacer(50);
        for one in 0..20 {
            pacer.offer(one, at(one), 1_250, Urgency::Camera, start);
        }
        let late = start + PATIENCE + MILLI;
        while pacer.offer(50, at(50), 1_250, Urgency::Slides, late) == Offered::Send {}
        assert_eq!(pacer.offer(52, at(52), 1_250, Urgency::Camera, late), Offered::Dropped);
        assert!(pacer.clear(Urgency::Camera).count() > 10);
        assert!(!pacer.is_empty() && pacer.octets() == 1_250);
    }

    #[test]
    fn what_waits_is_put_in_order() {
        let (mut pacer, start) = pacer(500);
        for one in [0, 1, 5, 2, 4, 3, 6] {
            pacer.offer(one, at(one), 1_250, Urgency::Camera, start);
        }
        let left: Vec<u32> = departures(&mut pacer, start, 400).into_iter().map(|(item, _)| item).collect();
        assert!(left.is_sorted() && left.len() >= 5, "{left:?}");
    }

    #[test]
    fn without_a_rate_everything_leaves_at_once_and_what_waited_is_let_go() {
        let (mut pacer, start) = pacer(100);
        while pacer.offer(1, at(1), 1_250, Urgency::Camera, start) == Offered::Send {}
        pacer.set_rate(None, start);
        assert_eq!(pacer.release(start), Some(1));
        assert_eq!(pacer.offer(2, at(2), 1_250, Urgency::Camera, start), Offered::Send);
    }

    #[test]
    fn what_waited_for_too_long_makes_no_room_for_more() {
        let (mut pacer, start) = pacer(50);
        for one in 0..40 {
            pacer.offer(one, at(one), 1_250, Urgency::Camera, start);
        }
        assert_eq!(pacer.offer(50, at(50), 1_250, Urgency::Camera, start + PATIENCE + MILLI), Offered::Dropped);
        assert!(pacer.clear(Urgency::Camera).count() > 30);
        assert!(pacer.is_empty());
    }

    proptest! {
        #[test]
        fn what_leaves_keeps_its_order_and_its_rate(
            sizes in prop::collection::vec((1u16..1_400, any::<bool>()), 1..200),
            kbps in 100u64..20_000,
        ) {
            let (mut pacer, start) = pacer(kbps);
            let (mut sent, mut octets) = ([Vec::new(), Vec::new()], 0.0);
            let mut now = start;
            for (number, &(size, slides)) in (0u32..).zip(&sizes) {
                now += MILLI;
                let urgency = if slides { Urgency::Slides } else { Urgency::Camera };
                if pacer.offer(number, at(number), size, urgency, now) == Offered::Send {
                    sent[usize::from(!slides)].push(number);
                    octets += f64::from(size);
                }
                while let Some(item) = pacer.release(now) {
                    let (size, slides) = sizes[item as usize];
                    sent[usize::from(!slides)].push(item);
                    octets += f64::from(size);
                }
                let most = kbps as f64 * 125.0 * (now - start).as_secs_f64() + (kbps as f64 * 1.875).max(LEAST_BURST) + 1_400.0;
                prop_assert!(octets <= most, "{} of {}", octets, most);
            }
            prop_assert!(sent.iter().all(|queue| queue.is_sorted()));
        }
    }
}
