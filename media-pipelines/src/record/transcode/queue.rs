//! Pictures that an encoder has, or will get.
//!
//! An encoder's state can't be kept, so everything since the keyframe before the latest picture that came out stays
//! here: an encoder that is begun anew is fed from there on, and what it makes of pictures that are out already is
//! thrown away.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::record::checkpoint::octets;

/// Octets that may wait. An encoder this far behind won't catch up; all goes, up to the next keyframe.
const OCTETS_AT_MOST: usize = 24 << 20;

/// A picture in VP8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::record) struct Coded {
    /// Ticks of its track.
    pub(in crate::record) time: u64,
    pub(in crate::record) is_keyframe: bool,
    #[serde(with = "octets")]
    pub(in crate::record) data: Bytes,
}

/// What an encoder gets next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::record) struct Feed {
    pub(in crate::record) picture: Coded,
    /// Whether what is made of it must be a keyframe. The first one that an encoder makes is one anyway.
    pub(in crate::record) wants_keyframe: bool,
}

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::record) struct Queue {
    pictures: VecDeque<Coded>,
    octets: usize,
    /// The latest picture that came out.
    out: Option<u64>,
    /// How many of the pictures the encoder has: none, after a pause of this process.
    #[serde(skip)]
    fed: usize,
    #[serde(skip)]
    was_fed: bool,
}

impl Queue {
    /// Take a picture. False if the queue is full: it is empty then, and a keyframe must come first.
    pub(in crate::record) fn push(&mut self, mut picture: Coded) -> bool {
        if self.octets + picture.data.len() > OCTETS_AT_MOST {
            *self = Self { out: self.out, ..Self::default() };
            return false;
        }
        if self.pictures.is_empty() && !picture.is_keyframe {
            return true;
        }
        let earliest = self.pictures.back().map(|last| last.time + 1).max(self.out.map(|out| out + 1));
        picture.time = picture.time.max(earliest.unwrap_or(0));
        self.octets += picture.data.len();
        self.pictures.push_back(picture);
        true
    }

    /// What the encoder should get now.
    pub(in crate::record) fn feed(&mut self) -> Option<Feed> {
        let picture = self.pictures.get(self.fed)?.clone();
        self.fed += 1;
        let is_wanted = self.out.is_none_or(|out| picture.time > out);
        let is_first_out = is_wanted && !self.was_fed;
        self.was_fed |= is_wanted;
        // An encoder hears only one wish at a time, so there is none for what will be thrown away.
        Some(Feed { wants_keyframe: is_first_out || (is_wanted && picture.is_keyframe), picture })
    }

    /// The encoder made something of the picture of this time. False if that is known from an earlier encoder.
    pub(in crate::record) fn made(&mut self, time: u64) -> bool {
        if self.out.is_some_and(|out| time <= out) {
            return false;
        }
        self.out = Some(time);
        let keyframe = self.pictures.iter().rposition(|picture| picture.is_keyframe && picture.time <= time);
        let done = keyframe.unwrap_or(0);
        for picture in self.pictures.drain(..done) {
            self.octets -= picture.data.len();
        }
        self.fed = self.fed.saturating_sub(done);
        true
    }

    /// Whether the encoder has all there is.
    pub(in crate::record) fn is_fed(&self) -> bool {
        self.fed >= self.pictures.len()
    }

    /// The encoder has made all that it will.
    pub(in crate::record) fn end(&mut self) {
        self.out = self.pictures.back().map(|last| last.time).max(self.out);
    }

    /// The encoder is gone; the next one begins.
    pub(in crate::record) fn again(&mut self) {
        (self.fed, self.was_fed) = (0, false);
    }

    /// Encoders make nothing of the first pictures: leave them out up to the next keyframe, if there is one.
    pub(in crate::record) fn skip(&mut self) {
        let begins = |picture: &Coded| picture.is_keyframe && self.out.is_none_or(|out| picture.time > out);
        if let Some(next) = (1..self.pictures.len()).find(|at| begins(&self.pictures[*at])) {
            let skipped: usize = self.pictures.drain(..next).map(|picture| picture.data.len()).sum();
            self.octets -= skipped;
        }
        self.again();
    }

    /// The time of the first picture that nothing was made of yet.
    pub(in crate::record) fn waits_for(&self) -> Option<u64> {
        self.pictures.iter().map(|picture| picture.time).find(|time| self.out.is_none_or(|out| *time > out))
    }

    /// How many pictures wait for what is made of them.
    pub(in crate::record) fn waiting(&self) -> usize {
        self.pictures.iter().filter(|picture| self.out.is_none_or(|out| picture.time > out)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(time: u64, is_keyframe: bool) -> Coded {
        Coded { time, is_keyframe, data: Bytes::from_static(b"ab") }
    }

    fn fed(queue: &mut Queue) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| queue.feed()).map(|feed| (feed.picture.time, feed.wants_keyframe)).collect()
    }

    #[test]
    fn an_encoder_that_begins_anew_gets_all_since_the_keyframe_and_goes_on_with_one() {
        let mut queue = Queue::default();
        for (time, is_keyframe) in [(0, true), (10, false), (20, true), (30, false), (40, false)] {
            assert!(queue.push(picture(time, is_keyframe)));
        }
        assert_eq!(fed(&mut queue), [(0, true), (10, false), (20, true), (30, false), (40, false)]);
        assert!(queue.made(0) && queue.made(10) && queue.made(20) && queue.made(30));
        assert_eq!((queue.waits_for(), queue.waiting()), (Some(40), 1));
        let written = serde_json::to_string(&queue).expect("plain values");
        let mut resumed: Queue = serde_json::from_str(&written).expect("it reads back");
        queue.again();
        for queue in [&mut queue, &mut resumed] {
            assert_eq!(fed(queue), [(20, false), (30, false), (40, true)]);
            assert!(!queue.made(20) && !queue.made(30) && queue.made(40), "nothing twice");
        }
    }

    #[test]
    fn what_no_encoder_makes_anything_of_is_left_out_up_to_a_keyframe() {
        let mut queue = Queue::default();
        for (time, is_keyframe) in [(0, true), (10, false), (20, true), (30, false)] {
            assert!(queue.push(picture(time, is_keyframe)));
        }
        fed(&mut queue);
        queue.skip();
        assert_eq!(fed(&mut queue), [(20, true), (30, false)]);
        queue.skip();
        assert_eq!((fed(&mut queue), queue.octets), (vec![(20, true), (30, false)], 4), "there is no other");
    }

    #[test]
    fn a_queue_that_is_full_is_given_up_up_to_a_keyframe() {
        let mut queue = Queue::default();
        let large = |time| Coded { time, is_keyframe: time == 0, data: Bytes::from(vec![0; 10 << 20]) };
        assert!(queue.push(large(0)) && queue.push(large(1)));
        assert!(!queue.push(large(2)));
        assert!(queue.push(picture(3, false)));
        assert_eq!(fed(&mut queue), []);
        assert!(queue.push(picture(4, true)));
        assert_eq!(fed(&mut queue), [(4, true)]);
    }
}
