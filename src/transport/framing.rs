//! Datagrams on a TCP stream: each behind its length in two octets (RFC 4571 §2, RFC 6544 §10).
//!
//! What can't be written yet waits here, in bounded room: what makes a picture waits behind everything else, and is
//! dropped first. Datagrams are dropped whole, so that the stream stays readable.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The longest datagram that is taken from a stream, in octets. Media is 1,500 at most, a handshake record a little more.
pub const MAX_DATAGRAM: usize = 4_096;
/// Octets of a length.
pub const LENGTH: usize = 2;

/// A stream whose next datagram is longer than any that we were to get: it speaks another protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} octets")]
pub struct TooLong(pub usize);

/// Finds the datagrams in what was read.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    at: usize,
}

impl Deframer {
    /// Adds what was read.
    pub fn extend(&mut self, octets: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(octets);
    }

    /// The next datagram that is there as a whole; an empty one says nothing and is passed over (RFC 4571 §2).
    ///
    /// # Errors
    /// [`TooLong`]: nothing that follows can be trusted.
    pub fn next_datagram(&mut self) -> Result<Option<&[u8]>, TooLong> {
        loop {
            let Some(&[high, low]) = self.buffer[self.at..].first_chunk::<LENGTH>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length > MAX_DATAGRAM {
                return Err(TooLong(length));
            }
            let begin = self.at + LENGTH;
            if self.buffer.len() < begin + length {
                return Ok(None);
            }
            self.at = begin + length;
            if length > 0 {
                return Ok(Some(&self.buffer[begin..begin + length]));
            }
        }
    }
}

/// Appends a datagram with its length. `datagram` is shorter than 65,536 octets, as every UDP payload is.
pub fn frame(datagram: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
    out.extend_from_slice(datagram);
}

/// What a datagram is worth on a stream that is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Voice, and what keeps the connection alive.
    Urgent,
    /// A piece of a picture.
    Video,
}

/// Video that may wait, in octets with its lengths.
pub const VIDEO_ROOM: usize = 512 * 1024;
/// Video that waited so long is worth nothing in a live lesson.
pub const VIDEO_PATIENCE: Duration = Duration::from_secs(1);
/// Everything else that may wait: a good five seconds of three voices.
pub const URGENT_ROOM: usize = 64 * 1024;
/// Written in one go: what waits behind it waits for no more than this.
const CHUNK: usize = 4_096;

/// What waits to be written to one stream.
#[derive(Debug, Default)]
pub struct FrameQueue {
    /// Frames that may have been written in part: nothing comes before the rest of them.
    begun: Vec<u8>,
    at: usize,
    urgent: VecDeque<Vec<u8>>,
    urgent_octets: usize,
    video: VecDeque<(Instant, Vec<u8>)>,
    video_octets: usize,
    /// Video was dropped: until everything else is written, more of it would only be late as well.
    congested: bool,
    recovered: bool,
}

impl FrameQueue {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == self.begun.len() && self.urgent.is_empty() && self.video.is_empty()
    }

    /// Octets that wait.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.begun.len() - self.at + self.urgent_octets + self.video_octets
    }

    /// The rest of a frame that was written in part. Only for an empty queue.
    pub fn begin(&mut self, rest: &[u8]) {
        self.begun.clear();
        self.begun.extend_from_slice(rest);
        self.at = 0;
    }

    /// Adds one datagram. Returns how many were dropped for it, itself perhaps among them: video all at once, since what
    /// is left of a picture is worth nothing; of the rest the oldest.
    pub fn push(&mut self, now: Instant, class: Class, datagram: &[u8]) -> u64 {
        let mut framed = Vec::with_capacity(LENGTH + datagram.len());
        frame(datagram, &mut framed);
        let mut dropped = 0;
        match class {
            Class::Urgent => {
                self.urgent_octets += framed.len();
                self.urgent.push_back(framed);
                while self.urgent_octets > URGENT_ROOM {
                    self.urgent_octets -= self.urgent.pop_front().map_or(0, |oldest| oldest.len());
                    dropped += 1;
                }
            }
            Class::Video => {
                let oldest = self.video.front().map_or(now, |&(since, _)| since);
                let stale = now.saturating_duration_since(oldest) > VIDEO_PATIENCE;
                if self.congested || stale || self.video_octets + framed.len() > VIDEO_ROOM {
                    self.congested = true;
                    dropped += 1 + self.video.len() as u64;
                    self.video.clear();
                    self.video_octets = 0;
                } else {
                    self.video_octets += framed.len();
                    self.video.push_back((now, framed));
                }
            }
        }
        dropped
    }

    /// What is to be written now: empty when nothing waits.
    pub fn head(&mut self) -> &[u8] {
        if self.at == self.begun.len() {
            self.begun.clear();
            self.at = 0;
            while self.begun.len() < CHUNK {
                if let Some(framed) = self.urgent.pop_front() {
                    self.urgent_octets -= framed.len();
                    self.begun.extend_from_slice(&framed);
                } else if let Some((_, framed)) = self.video.pop_front() {
                    self.video_octets -= framed.len();
                    self.begun.extend_from_slice(&framed);
                } else {
                    break;
                }
            }
        }
        &self.begun[self.at..]
    }

    /// So many octets of [`head`](Self::head) were written.
    pub fn written(&mut self, octets: usize) {
        self.at = (self.at + octets).min(self.begun.len());
        if self.congested && self.is_empty() {
            self.congested = false;
            self.recovered = true;
        }
    }

    /// Whether video was dropped and can flow again since this was last asked: it takes a keyframe then.
    pub const fn take_recovered(&mut self) -> bool {
        std::mem::replace(&mut self.recovered, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Writes `octets` of what waits, or all.
    fn write(queue: &mut FrameQueue, octets: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < octets && !queue.head().is_empty() {
            let head = queue.head();
            let length = head.len().min(octets - out.len());
            out.extend_from_slice(&head[..length]);
            queue.written(length);
        }
        out
    }

    fn datagrams(octets: &[u8]) -> Vec<Vec<u8>> {
        let mut deframer = Deframer::default();
        deframer.extend(octets);
        std::iter::from_fn(|| deframer.next_datagram().expect("frames of ours").map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn voice_goes_before_video_that_waits_longer() {
        let (mut queue, now) = (FrameQueue::default(), start());
        for number in 0..100 {
            assert_eq!(queue.push(now, Class::Video, &[number; 1_000]), 0);
        }
        let first = write(&mut queue, 1_500);
        assert_eq!(queue.push(now, Class::Urgent, b"voice"), 0);
        let all = datagrams(&[first, write(&mut queue, usize::MAX)].concat());
        assert_eq!(all.len(), 101);
        let voice = all.iter().position(|one| one == b"voice").expect("it was sent");
        assert!(voice <= CHUNK / 1_000 + 1, "behind {voice} pieces of video");
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_video_whole_and_keeps_voice() {
        let (mut queue, start) = (FrameQueue::default(), start());
        let (mut written, mut dropped) = (Vec::new(), 0);
        for tick in 0..500u32 {
            let now = start + Duration::from_millis(20) * tick;
            assert_eq!(queue.push(now, Class::Urgent, &[1; 100]), 0, "voice is never dropped");
            for _ in 0..10 {
                dropped += queue.push(now, Class::Video, &[2; 1_000]);
            }
            assert!(queue.octets() < VIDEO_ROOM + URGENT_ROOM + CHUNK + 2 * 1_002);
            // A twentieth of what comes.
            written.extend(write(&mut queue, 500));
        }
        assert!(dropped > 4_000, "{dropped}");
        let read = datagrams(&written);
        assert!(read.iter().all(|one| one.iter().all(|octet| *octet == one[0])), "every datagram is whole");
        let voices = read.iter().filter(|one| one[0] == 1).count();
        assert!(voices > 450, "{voices} of 500");
    }

    #[test]
    fn after_a_drop_video_waits_for_a_free_line_and_a_keyframe() {
        let (mut queue, now) = (FrameQueue::default(), start());
        queue.push(now, Class::Video, &[1; 1_000]);
        let late = now + VIDEO_PATIENCE + Duration::from_millis(1);
        assert_eq!(queue.push(late, Class::Video, &[2; 1_000]), 2, "both");
        assert_eq!(queue.push(late, Class::Urgent, &[3; 100]), 0);
        assert_eq!(queue.push(late, Class::Video, &[4; 1_000]), 1, "the line isn't free yet");
        assert!(!queue.take_recovered());
        assert_eq!(datagrams(&write(&mut queue, usize::MAX)), [vec![3; 100]]);
        assert!(queue.take_recovered() && !queue.take_recovered());
        assert_eq!(queue.push(late, Class::Video, &[5; 1_000]), 0);
    }

    #[test]
    fn a_stream_that_isnt_framed_is_found_out() {
        let mut deframer = Deframer::default();
        deframer.extend(b"GET / HTTP/1.1\r\n");
        assert_eq!(deframer.next_datagram(), Err(TooLong(usize::from(u16::from_be_bytes(*b"GE")))));
    }

    proptest! {
        #[test]
        fn datagrams_come_out_as_they_went_in_however_the_stream_is_cut(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            cuts in prop::collection::vec(1usize..200, 1..50),
        ) {
            let mut octets = Vec::new();
            sent.iter().for_each(|datagram| frame(datagram, &mut octets));
            let (mut deframer, mut came, mut rest) = (Deframer::default(), Vec::new(), &octets[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                deframer.extend(piece);
                while let Some(datagram) = deframer.next_datagram().expect("short enough") {
                    came.push(datagram.to_vec());
                }
            }
            let expected: Vec<_> = sent.into_iter().filter(|datagram| !datagram.is_empty()).collect();
            prop_assert_eq!(came, expected);
        }

        #[test]
        fn what_is_kept_comes_out_whole_and_in_order(
            work in prop::collection::vec((any::<bool>(), 1usize..1_400, 0usize..3_000), 1..200),
        ) {
            let (mut queue, now) = (FrameQueue::default(), start());
            let (mut written, mut numbers, mut dropped) = (Vec::new(), [0u32; 2], 0);
            for (video, length, written_then) in work {
                let class = if video { Class::Video } else { Class::Urgent };
                let number = &mut numbers[usize::from(video)];
                let mut datagram = vec![u8::from(video); 5 + length];
                datagram[1..5].copy_from_slice(&number.to_be_bytes());
                *number += 1;
                dropped += queue.push(now, class, &datagram);
                written.extend(write(&mut queue, written_then));
            }
            written.extend(write(&mut queue, usize::MAX));
            let read = datagrams(&written);
            prop_assert_eq!(read.len() as u64 + dropped, u64::from(numbers[0] + numbers[1]));
            for class in 0..2u8 {
                let came: Vec<u32> = read.iter().filter(|one| one[0] == class)
                    .map(|one| u32::from_be_bytes([one[1], one[2], one[3], one[4]])).collect();
                prop_assert!(came.is_sorted());
            }
        }
    }
}
