//! A publisher with its line to the server, and the server's receiving side of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mingshi::id::{ConnectionId, LessonId, ParticipantId, PublicationId};
use mingshi::rtp::nack::Missing;
use mingshi::rtp::sequence::Extender;
use mingshi::rtp::timeline::ClockOffset;
use mingshi::sfu::input::End;
use mingshi::sfu::{Inbound, PublicationSpec, Router};
use mingshi::units::{NtpTime, ServerClock};

use super::chance::Chance;
use super::encoder::{Packet, Track};
use super::line::{Line, Quality};
use super::stamp::Stamp;

const REPORT_EVERY: Duration = Duration::from_secs(1);

/// From the publisher.
#[derive(Debug, Clone)]
enum Up {
    Media(usize, Packet),
    /// Which track and layer, media time, and the same instant on the publisher's clock.
    Report(usize, u8, u32, NtpTime),
}

/// To the publisher.
#[derive(Debug, Clone)]
enum Down {
    Keyframe(usize, u8),
    Nack(usize, u8, Vec<u16>),
}

/// The server's view of one stream.
#[derive(Debug, Default)]
struct Stream {
    extender: Extender,
    missing: Missing,
    life: u8,
}

/// A participant that publishes.
#[derive(Debug)]
pub struct Publisher {
    pub participant: ParticipantId,
    pub end: End,
    pub tracks: Vec<Track>,
    /// Keys of the publications, by track.
    pub publications: Vec<Option<usize>>,
    /// When it was asked for keyframes, and of which track and layer.
    pub asked: Vec<(Instant, usize, u8)>,
    connection: ConnectionId,
    since: Instant,
    /// How wrong its clock is, nanoseconds.
    clock_error: i64,
    up: Line<Up>,
    down: Line<Down>,
    streams: HashMap<(usize, u8), Stream>,
    offset: ClockOffset,
    next_report: Instant,
    /// It sends nothing more.
    pub gone: bool,
    /// It makes no keyframe, however often it is asked.
    pub deaf: bool,
}

impl Publisher {
    pub fn new(end: End, tracks: Vec<Track>, quality: Quality, now: Instant, chance: &mut Chance) -> Self {
        Self {
            participant: ParticipantId::from_u64(chance.number()),
            end,
            publications: vec![None; tracks.len()],
            tracks,
            asked: Vec::new(),
            connection: ConnectionId::from_u64(chance.number()),
            since: now,
            clock_error: chance.below(7_200_000_000_000) as i64 - 3_600_000_000_000,
            up: Line::new(quality, chance.fork()),
            down: Line::new(Quality { loss: 0.0, duplicates: 0.0, ..quality }, chance.fork()),
            streams: HashMap::new(),
            offset: ClockOffset::default(),
            next_report: now + Duration::from_millis(200),
            gone: false,
            deaf: false,
        }
    }

    /// Makes what is due and sends it.
    pub fn produce(&mut self, clock: &ServerClock, began: Instant, now: Instant, chance: &mut Chance) {
        if self.gone {
            return;
        }
        for message in self.down.arrived(now) {
            self.hear(message, now);
        }
        let reports = now >= self.next_report;
        if reports {
            self.next_report += REPORT_EVERY;
        }
        for (number, track) in self.tracks.iter_mut().enumerate() {
            for (layer, encoding) in track.encodings.iter_mut().enumerate() {
                let due_nanos = clock.unix_nanos(now + self.up.quality.delay);
                let stamp = Stamp {
                    track: track.number,
                    layer: layer as u8,
                    life: 0,
                    frame: 0,
                    index: 0,
                    count: 0,
                    keyframe: false,
                    due_nanos,
                };
                for packet in encoding.frame(track.codec, stamp, began, now, chance) {
                    self.up.send(now, Up::Media(number, packet));
                }
                if reports && encoding.on {
                    let ntp = NtpTime::from_unix_nanos(clock.unix_nanos(now) + self.clock_error);
                    let timestamp = encoding.timestamp(track.codec, began, now);
                    self.up.send(now, Up::Report(number, layer as u8, timestamp, ntp));
                }
            }
        }
    }

    fn hear(&mut self, message: Down, now: Instant) {
        match message {
            Down::Keyframe(_, _) if self.deaf => {}
            Down::Keyframe(track, layer) => self.tracks[track].encodings[usize::from(layer)].keyframe_wanted = true,
            Down::Nack(track, layer, sequences) => {
                let encoding = &self.tracks[track].encodings[usize::from(layer)];
                for packet in sequences.into_iter().filter_map(|sequence| encoding.sent(sequence)) {
                    self.up.send(now, Up::Media(track, packet));
                }
            }
        }
    }

    /// What has arrived goes to the router.
    pub fn arrive(&mut self, router: &mut Router, lesson: LessonId, clock: &ServerClock, now: Instant) {
        for message in self.up.arrived(now) {
            match message {
                Up::Media(track, packet) => self.receive(router, lesson, track, &packet, now),
                Up::Report(track, layer, timestamp, ntp) => {
                    let unix_nanos = self.offset.report(ntp, clock, now);
                    if let Some(publication) = self.publications[track] {
                        router.anchor(publication, layer, timestamp, unix_nanos);
                    }
                }
            }
        }
    }

    fn receive(&mut self, router: &mut Router, lesson: LessonId, track: usize, packet: &Packet, now: Instant) {
        let publication = match self.publications[track] {
            Some(publication) => publication,
            None => {
                let publication = router.add_publication(self.spec(lesson, track), now);
                self.publications[track] = Some(publication);
                publication
            }
        };
        let stream = self.streams.entry((track, packet.layer)).or_default();
        if packet.life < stream.life {
            return;
        }
        if packet.life > stream.life {
            *stream = Stream { life: packet.life, ..Stream::default() };
            router.restart_layer(publication, packet.layer);
        }
        let sequence = stream.extender.extend(packet.sequence);
        if !packet.codec.is_voice() {
            stream.missing.arrived(sequence, now);
        }
        let inbound = Inbound {
            codec: packet.codec,
            sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: &packet.payload,
        };
        // A duplicate is refused; that is all there is to it.
        let _ = router.ingest(publication, packet.layer, &inbound, now);
    }

    fn spec(&self, lesson: LessonId, track: usize) -> PublicationSpec {
        let track = &self.tracks[track];
        let rids = ["q", "h", "f"].map(str::to_owned);
        let layers = track.encodings.len();
        PublicationSpec {
            id: PublicationId::random(),
            lesson,
            participant: self.participant,
            connection: self.connection,
            end: self.end,
            source: track.source.clone(),
            kind: track.kind,
            rids: if layers > 1 { rids[..layers].to_vec() } else { Vec::new() },
            since: self.since,
        }
    }

    /// Asks for what is missing.
    pub fn repair(&mut self, now: Instant) {
        for (&(track, layer), stream) in &mut self.streams {
            let mut sequences = Vec::new();
            stream.missing.due(now, self.up.quality.delay * 2, &mut sequences);
            if !sequences.is_empty() {
                self.down.send(now, Down::Nack(track, layer, sequences));
            }
        }
    }

    /// Asks for a keyframe.
    pub fn ask(&mut self, track: usize, layer: u8, now: Instant) {
        self.asked.push((now, track, layer));
        self.down.send(now, Down::Keyframe(track, layer));
    }
}
