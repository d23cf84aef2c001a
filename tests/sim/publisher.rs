//! A publisher: a camera with layers, or a voice, whose payloads tell what they are.

use std::time::{Duration, Instant};

use mingshi::id::{ConnectionId, LessonId, ParticipantId, PublicationId};
use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::{End, MediaKind};
use mingshi::sfu::{Inbound, PublicationSpec, Router};
use mingshi::units::ServerClock;

/// One encoding of a publisher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoder {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) picture: u16,
    pub(crate) packets_per_frame: usize,
    pub(crate) on: bool,
    wants_keyframe: bool,
}

impl Encoder {
    pub(crate) const fn new(sequence: u64, timestamp: u32, packets_per_frame: usize) -> Self {
        Self { sequence, timestamp, picture: 0x7ff0, packets_per_frame, on: true, wants_keyframe: true }
    }
}

/// A publication and what makes its packets.
pub(crate) struct Publisher {
    pub(crate) key: usize,
    pub(crate) codec: Codec,
    pub(crate) encoders: Vec<Encoder>,
    pub(crate) keyframes: usize,
    interval: Duration,
    next: Instant,
    frame: u32,
}

/// Ticks between two frames.
fn ticks(codec: Codec, interval: Duration) -> u32 {
    (interval.as_millis() as u32) * (codec.clock_rate() / 1_000)
}

impl Publisher {
    /// `participant`'s `source`. Video has a frame every 40 ms, voice every 20 ms.
    pub(crate) fn new(
        participant: u64,
        end: End,
        source: &str,
        codec: Codec,
        encoders: Vec<Encoder>,
    ) -> impl FnOnce(&mut Router, LessonId, Instant) -> Self {
        let source = source.parse().expect("a good name");
        move |router, lesson, now| {
            let kind = if codec.is_voice() { MediaKind::Voice } else { MediaKind::Video };
            let rids = if encoders.len() > 1 {
                encoders.iter().enumerate().map(|(at, _)| at.to_string()).collect()
            } else {
                vec![]
            };
            let spec = PublicationSpec {
                id: PublicationId::random(),
                lesson,
                participant: ParticipantId::from_u64(participant),
                connection: ConnectionId::from_u64(participant),
                end,
                source,
                kind,
                rids,
                since: now,
            };
            let interval = Duration::from_millis(if codec.is_voice() { 20 } else { 40 });
            let key = router.add_publication(spec, now);
            Self { key, codec, encoders, keyframes: 0, interval, next: now, frame: 0 }
        }
    }

    pub(crate) fn requested(&mut self, key: usize, layer: u8) {
        if key == self.key {
            self.encoders[usize::from(layer)].wants_keyframe = true;
        }
    }

    /// The stream of one encoding begins anew with other numbers.
    pub(crate) fn restart(&mut self, router: &mut Router, layer: usize, encoder: Encoder) {
        self.encoders[layer] = encoder;
        router.restart_layer(self.key, layer as u8);
    }

    /// Sends what is due.
    pub(crate) fn step(&mut self, router: &mut Router, now: Instant, clock: &ServerClock) {
        while self.next <= now {
            self.next += self.interval;
            self.frame += 1;
            for layer in 0..self.encoders.len() {
                let step = ticks(self.codec, self.interval);
                let encoder = &mut self.encoders[layer];
                encoder.timestamp = encoder.timestamp.wrapping_add(step);
                if encoder.on {
                    self.send(router, layer, now);
                    if self.frame % 25 == 1 {
                        // A sender report once a second: media time is made time.
                        let timestamp = self.encoders[layer].timestamp;
                        router.anchor(self.key, layer as u8, timestamp, clock.unix_nanos(now));
                    }
                }
            }
        }
    }

    fn send(&mut self, router: &mut Router, layer: usize, now: Instant) {
        let encoder = &mut self.encoders[layer];
        let keyframe = std::mem::take(&mut encoder.wants_keyframe);
        self.keyframes += usize::from(keyframe && !self.codec.is_voice());
        encoder.picture = encoder.picture.wrapping_add(1) & 0x7fff;
        let count = encoder.packets_per_frame * if keyframe { 3 } else { 1 };
        for index in 0..count {
            let payload = payload(self.codec, keyframe, encoder.picture, self.frame, index, count, layer);
            let packet = Inbound {
                codec: self.codec,
                sequence: encoder.sequence,
                timestamp: encoder.timestamp,
                marker: index + 1 == count,
                payload: &payload,
            };
            encoder.sequence += 1;
            router.ingest(self.key, layer as u8, &packet, now).expect("every packet is new");
        }
    }
}

/// A payload whose codec header is real and whose rest tells what it is: frame, index, count, layer, keyframe.
fn payload(
    codec: Codec,
    keyframe: bool,
    picture: u16,
    frame: u32,
    index: usize,
    count: usize,
    layer: usize,
) -> Vec<u8> {
    let mut payload = match codec {
        Codec::Vp8 => {
            let first = if index == 0 { 0x90 } else { 0x80 };
            vec![first, 0xc0, 0x80 | (picture >> 8) as u8, picture as u8, picture as u8, u8::from(!keyframe)]
        }
        Codec::H264(_) if index == 0 && keyframe => vec![0x7c, 0x85],
        Codec::H264(_) => vec![0x7c, 0x01],
        Codec::Red => vec![0x80 | 111, 0, 0, 2, 111, 9, 9],
        Codec::Opus | Codec::Av1 => vec![0, 0],
    };
    payload.extend(frame.to_be_bytes());
    payload.extend([index as u8, count as u8, layer as u8, u8::from(keyframe)]);
    if !codec.is_voice() {
        payload.resize(900 + index % 3, 0x55);
        let length = payload.len();
        payload[length - 1] = layer as u8;
    }
    payload
}
