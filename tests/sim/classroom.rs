//! A classroom: its line, its streams, and what its decoder asks for.

use std::time::Instant;

use mingshi::id::ParticipantId;
use mingshi::rtp::codec::Codec;
use mingshi::rtp::packet::Packet;
use mingshi::rtp::rtcp::TransportFeedback;
use mingshi::sfu::input::{SlotCodec, SlotKind, SlotSpec};
use mingshi::sfu::output::SlotState;
use mingshi::sfu::{Decision, LineKey, SlotReport};
use mingshi::transport::Identity;
use mingshi::transport::srtp::{Opener, Profile, Sealer};
use mingshi::units::ServerClock;

use super::arrivals::Arrivals;
use super::chance::Chance;
use super::encoder::H264;
use super::line::{Line, Quality};
use super::shared_line::Downlink;
use super::stream::{Played, Stream};

const SLOTS: [(SlotKind, u8); 6] = [
    (SlotKind::Voice, 0),
    (SlotKind::Voice, 1),
    (SlotKind::Slides, 0),
    (SlotKind::Camera, 0),
    (SlotKind::Stage, 0),
    (SlotKind::Stage, 1),
];

/// What a classroom says to the server.
#[derive(Debug, Clone)]
pub enum Feedback {
    Nack(u32, Vec<u16>),
    Pli(u32),
    Arrivals(TransportFeedback),
}

/// The negotiated id of transport-wide sequence numbers.
pub const TRANSPORT_CC: u8 = 3;

/// A receiving end.
#[derive(Debug)]
pub struct Classroom {
    pub participant: ParticipantId,
    /// The line that it shares with others; its own unless the story says otherwise.
    pub line: LineKey,
    /// Its key at the router, once it is connected.
    pub key: Option<usize>,
    /// So many packets of a voice go again with the next.
    pub redundancy: u8,
    pub joined: Instant,
    pub left: bool,
    pub sealer: Sealer,
    pub opener: Opener,
    pub transport_sequence: u16,
    /// The school whose line it shares with others.
    pub school: Option<usize>,
    /// What is under way to it, in a school.
    pub downlink: Option<Downlink>,
    arrivals: Arrivals,
    pub down: Line<Vec<u8>>,
    pub up: Line<Feedback>,
    pub streams: Vec<Stream>,
    /// What it was told of its slots.
    pub slots: Vec<SlotState>,
    /// What was decided about them, and when.
    pub decisions: Vec<(Instant, Decision)>,
    /// The sender reports it got, with the time at which each did.
    pub reports: Vec<(Instant, SlotReport)>,
}

impl Classroom {
    pub fn new(
        participant: ParticipantId,
        able: &[Codec],
        quality: Quality,
        identity: &Identity,
        chance: &mut Chance,
        now: Instant,
    ) -> Self {
        let (key, salt) = (chance.number().to_be_bytes().repeat(2), [7; 12]);
        let profile = Profile::AeadAes128Gcm;
        Self {
            participant,
            line: LineKey(participant.as_u64()),
            key: None,
            redundancy: 2,
            joined: now,
            left: false,
            sealer: Sealer::new(profile, &key, &salt).expect("the lengths fit"),
            opener: Opener::new(profile, &key, &salt, identity).expect("the lengths fit"),
            transport_sequence: chance.number() as u16,
            school: None,
            downlink: None,
            arrivals: Arrivals::new(now),
            down: Line::new(quality, chance.fork()),
            up: Line::new(Quality { loss: 0.0, duplicates: 0.0, ..quality }, chance.fork()),
            streams: SLOTS.map(|slot| Stream::new(slot_spec(slot, able, chance))).into(),
            slots: Vec::new(),
            decisions: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// Takes what has arrived, plays it, and asks for what it lacks.
    pub fn live(&mut self, now: Instant) {
        for packet in self.down.arrived(now) {
            self.receive(&packet, now);
        }
        if let Some(feedback) = self.arrivals.feedback(now).filter(|_| self.school.is_some()) {
            self.up.send(now, Feedback::Arrivals(feedback));
        }
        let round_trip = self.down.quality.delay * 2;
        for stream in &mut self.streams {
            stream.play(now);
            let (ssrc, missing) = (stream.spec.ssrc, stream.nacks(round_trip, now));
            if !missing.is_empty() {
                self.up.send(now, Feedback::Nack(ssrc, missing));
            }
            if stream.wants_keyframe(now) {
                self.up.send(now, Feedback::Pli(ssrc));
            }
        }
    }

    /// Takes one packet.
    pub fn receive(&mut self, packet: &[u8], now: Instant) {
        let packet = Packet::parse(packet).expect("what was sealed was well formed");
        if let Some(&[high, low]) = packet.extension(TRANSPORT_CC) {
            self.arrivals.arrived(u16::from_be_bytes([high, low]), now);
        }
        let of = |stream: &&mut Stream| [Some(stream.spec.ssrc), stream.spec.rtx_ssrc].contains(&Some(packet.ssrc));
        let stream = self.streams.iter_mut().find(of).expect("a stream of the answer");
        if !packet.payload.is_empty() {
            stream.receive(&packet, now);
        }
    }

    pub fn stream(&self, kind: SlotKind, index: u8) -> &Stream {
        self.streams
            .iter()
            .find(|stream| (stream.spec.kind, stream.spec.index) == (kind, index))
            .expect("one of the slots")
    }

    /// Checks that what was played keeps step with the server's clock, over changes of source and layer, and that the
    /// sender reports say so.
    ///
    /// Not what is shown at once to catch up, when a source begins with pictures of before.
    pub fn keeps_step(&self, kind: SlotKind, clock: &ServerClock) {
        let stream = self.stream(kind, 0);
        let rate = i64::from(kind.media().clock_rate());
        let micros = |from: u32, to: u32| i64::from(to.wrapping_sub(from) as i32) * 1_000_000 / rate;
        let reports: Vec<_> = self.reports.iter().filter(|(_, report)| report.ssrc == stream.spec.ssrc).collect();
        let way = self.down.quality.delay.as_nanos() as i64;
        let (mut base, mut source, mut live_from) = (None::<Played>, None, 0);
        for &played in &stream.played {
            let stamp = played.stamp;
            let this = (stamp.track, stamp.layer, stamp.life);
            if source.replace(this) != Some(this) {
                live_from = clock.unix_nanos(played.at) - way;
            }
            if stamp.due_nanos < live_from {
                continue;
            }
            let base = base.get_or_insert(played);
            let made = (stamp.due_nanos - base.stamp.due_nanos) / 1_000;
            let off = micros(base.timestamp, played.timestamp) - made;
            assert!(off.abs() <= EXACT, "{kind:?}: {stamp:?} is shown {off} µs off");
            let report = reports.iter().rev().find(|(at, _)| *at <= played.at);
            if let Some((_, report)) = report {
                let told = report.unix_nanos / 1_000 + micros(report.timestamp, played.timestamp);
                let off = told - stamp.due_nanos / 1_000;
                assert!(off.abs() <= EXACT, "{kind:?}: {stamp:?} is reported {off} µs off");
            }
        }
    }
}

fn slot_spec((kind, index): (SlotKind, u8), able: &[Codec], chance: &mut Chance) -> SlotSpec {
    let codecs = able.iter().filter(|codec| codec.is_voice() == (kind == SlotKind::Voice)).map(|&codec| {
        let (payload_type, rtx) = match codec {
            Codec::Opus => (111, None),
            Codec::Red => (63, None),
            Codec::Vp8 => (96, Some(97)),
            Codec::H264(_) => (102, Some(103)),
            Codec::Av1 => (45, Some(46)),
        };
        SlotCodec { codec, payload_type, rtx }
    });
    let voice = kind == SlotKind::Voice;
    SlotSpec {
        kind,
        index,
        mid: format!("{kind:?}{index}"),
        codecs: codecs.collect(),
        ssrc: chance.number() as u32,
        rtx_ssrc: (!voice).then(|| chance.number() as u32),
        first_sequence: (chance.number() as u16 & 0x7fff, chance.number() as u16 & 0x7fff),
        first_timestamp: chance.number() as u32,
    }
}

/// What a browser plays.
pub const BROWSER: &[Codec] = &[Codec::Opus, Codec::Red, Codec::Vp8, H264];
/// Microseconds by which media time may be off.
const EXACT: i64 = 5_000;
