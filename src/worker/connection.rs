//! One connection: its peer, and which side of the lesson it is on.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::adapt::Tier;
use crate::id::{ConnectionId, LessonId, ParticipantId};
use crate::rtp::rtcp::Reception;
use crate::sfu::input::{End, SlotKind};
use crate::sfu::{LineKey, SubscriberSpec};
use crate::transport::{Endpoint, Peer};
use crate::units::{Bitrate, NtpTime};

use super::egress::PlayoutDelay;
use super::ingress::Ingress;
use super::mailbox::LineReport;
use super::repeat::Repeats;
use super::sending::Downlink;
use super::socket::Path;

/// Lines are reported this often.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// What a connection does.
#[derive(Debug)]
pub(super) enum Side {
    /// It sends to us.
    Publisher(Box<Ingress>),
    /// It receives from us.
    Subscriber {
        /// How the router will know it.
        spec: Box<SubscriberSpec>,
        /// Its key there, once it is up.
        key: Option<usize>,
    },
}

/// One connection of a worker.
#[derive(Debug)]
pub(super) struct Connection {
    /// Its id.
    pub(super) id: ConnectionId,
    /// The lesson.
    pub(super) lesson: LessonId,
    /// Whose it is.
    pub(super) participant: ParticipantId,
    /// At which end.
    pub(super) end: End,
    /// From which network it was asked for.
    pub(super) network: IpAddr,
    /// When it was accepted: of two publishers of a source the later stays.
    pub(super) since: Instant,
    /// Transport.
    pub(super) peer: Peer,
    /// Our user name fragment; it is the entity tag of the ICE session too.
    pub(super) ufrag: String,
    /// Those under which the peer may trickle; another is an ICE restart.
    pub(super) remote_ufrags: Vec<String>,
    /// The m-lines' identification tags.
    pub(super) mids: Vec<String>,
    /// Trickling was agreed on; an ICE restart says so again.
    pub(super) trickle: bool,
    /// Feedback may go alone (RFC 5506).
    pub(super) reduced_size: bool,
    /// Negotiated id of transport-wide sequence numbers towards a subscriber.
    pub(super) transport_cc: Option<u8>,
    /// The next of them.
    pub(super) transport_sequence: u16,
    /// What is said with pictures of how they are to be shown.
    pub(super) playout_delay: PlayoutDelay,
    /// Voices that are sent again, of a subscriber that reads no redundancy.
    pub(super) repeats: Option<Repeats>,
    /// Our stream for what is said without media.
    pub(super) feedback_ssrc: u32,
    /// Where the demultiplexer knows the peer to be.
    pub(super) endpoints: Vec<Endpoint>,
    /// Our address that the peer last used.
    pub(super) local: Option<IpAddr>,
    /// What it does.
    pub(super) side: Side,
    /// Of a subscriber that is up: what is under way to it.
    pub(super) downlink: Option<Box<Downlink>>,
    /// What is known of its line before anything is measured.
    pub(super) tier: Tier,
    /// How its line does.
    pub(super) line: Line,
}

impl Connection {
    /// Where media goes.
    #[must_use]
    pub(super) fn path(&self) -> Option<Path> {
        self.peer.remote().map(|remote| Path { remote, local: self.local })
    }

    /// The pictures that we send: on a stream that is too slow they are what is dropped.
    pub(super) fn video_ssrcs(&self) -> Vec<u32> {
        match &self.side {
            Side::Publisher(_) => Vec::new(),
            Side::Subscriber { spec, .. } => {
                let videos = spec.slots.iter().filter(|slot| slot.kind != SlotKind::Voice);
                videos.flat_map(|slot| [Some(slot.ssrc), slot.rtx_ssrc]).flatten().collect()
            }
        }
    }

    /// Its key at the router, of a subscriber that is up.
    pub(super) fn subscriber(&self) -> Option<usize> {
        match &self.side {
            Side::Subscriber { key, .. } => *key,
            Side::Publisher(_) => None,
        }
    }

    /// The line that a subscriber shares with others.
    pub(super) fn line_key(&self) -> Option<LineKey> {
        match &self.side {
            Side::Subscriber { spec, .. } => Some(spec.line),
            Side::Publisher(_) => None,
        }
    }

    /// The receiving side, of a publisher.
    pub(super) fn ingress(&mut self) -> Option<&mut Ingress> {
        match &mut self.side {
            Side::Publisher(ingress) => Some(ingress),
            Side::Subscriber { .. } => None,
        }
    }
}

/// What was learnt of a line since its last report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    since: Instant,
    octets: u64,
    lost: u32,
    blocks: u32,
    jitter: Duration,
    round_trip: Option<Duration>,
    packets: u64,
    asked_again: u32,
    retransmitted: u32,
    keyframe_requests: u32,
}

impl Line {
    /// From `now` on.
    #[must_use]
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            octets: 0,
            lost: 0,
            blocks: 0,
            jitter: Duration::ZERO,
            round_trip: None,
            packets: 0,
            asked_again: 0,
            retransmitted: 0,
            keyframe_requests: 0,
        }
    }

    /// So many octets went over it, in so many packets.
    pub(super) const fn carried(&mut self, octets: u64, packets: u64) {
        self.octets += octets;
        self.packets += packets;
    }

    /// The receiving end asked for packets again.
    pub(super) const fn asked_again(&mut self, packets: usize) {
        self.asked_again = self.asked_again.saturating_add(packets as u32);
    }

    /// A packet was sent again.
    pub(super) const fn retransmitted(&mut self, packets: u32) {
        self.retransmitted = self.retransmitted.saturating_add(packets);
    }

    /// The receiving end asked for a keyframe.
    pub(super) const fn keyframe_requested(&mut self) {
        self.keyframe_requests = self.keyframe_requests.saturating_add(1);
    }

    /// A report block was received or made.
    pub(super) fn reception(&mut self, block: &Reception, clock_rate: u32, now: NtpTime) {
        self.lost += u32::from(block.fraction_lost);
        self.blocks += 1;
        self.jitter = self.jitter.max(Duration::from_secs_f64(f64::from(block.jitter) / f64::from(clock_rate)));
        self.round_trip = block.round_trip(now).or(self.round_trip);
    }

    /// The report, if it is time for one.
    pub(super) fn report(&mut self, up: bool, now: Instant) -> Option<LineReport> {
        let span = now.saturating_duration_since(self.since);
        if span < LINE_INTERVAL {
            return None;
        }
        let report = LineReport {
            up,
            loss: if self.blocks == 0 { 0.0 } else { self.lost as f32 / self.blocks as f32 / 256.0 },
            round_trip: self.round_trip,
            jitter: self.jitter,
            bitrate: Bitrate::of(self.octets, span).bps(),
            octets: self.octets,
            packets: self.packets,
            asked_again: self.asked_again,
            retransmitted: self.retransmitted,
            keyframe_requests: self.keyframe_requests,
            ..LineReport::default()
        };
        *self = Self { round_trip: self.round_trip, ..Self::new(now) };
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn a_line_is_reported_every_two_seconds_and_begins_anew() {
        let start = Instant::now();
        let mut line = Line::new(start);
        line.carried(250_000, 250);
        line.asked_again(3);
        let block = Reception { fraction_lost: 64, jitter: 960, ..Reception::default() };
        line.reception(&block, 48_000, NtpTime(0));
        assert_eq!(line.report(false, start + LINE_INTERVAL / 2), None);
        let report = line.report(false, start + LINE_INTERVAL).expect("due");
        assert_eq!((report.loss, report.jitter, report.bitrate), (0.25, Duration::from_millis(20), 1_000_000));
        assert_eq!((report.packets, report.asked_again), (250, 3));
        let next = line.report(false, start + 2 * LINE_INTERVAL).expect("due");
        assert_eq!((next.loss, next.bitrate), (0.0, 0));
    }
}
