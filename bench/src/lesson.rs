//! A lesson for measuring: one publication, many subscribers, and packets like those of a real picture.

use std::time::{Duration, Instant};

use mingshi::id::{ConnectionId, LessonId, ParticipantId, PublicationId, SourceName};
use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::{End, MediaKind, SlotCodec, SlotKind, SlotSpec};
use mingshi::sfu::{Inbound, LineKey, PublicationSpec, Router, SubscriberSpec};
use mingshi::transport::srtp::{Profile, Sealer};
use mingshi::units::ServerClock;
use mingshi::worker::clock;
use mingshi::worker::egress::{Egress, PlayoutDelay, Receiver};
use mingshi::worker::socket::Path;

/// Octets of payload of one packet, so that a sealed packet is about as long as browsers make them.
pub const PAYLOAD: usize = 1_160;

/// What a worker keeps of one receiver for the last step.
struct Client {
    sealer: Sealer,
    path: Path,
    transport_sequence: u16,
}

/// The forwarding path of one worker, with everything around it left out.
pub struct Lesson {
    router: Router,
    publication: usize,
    clients: Vec<Client>,
    egress: Egress,
    payloads: Vec<Vec<u8>>,
    sequence: u64,
    timestamp: u32,
    now: Instant,
}

impl std::fmt::Debug for Lesson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lesson").field("subscribers", &self.clients.len()).finish_non_exhaustive()
    }
}

impl Lesson {
    /// A lesson with so many subscribers, whose pictures are `burst` packets. `to` says where the n-th one is.
    #[must_use]
    pub fn new(subscribers: usize, burst: usize, profile: Profile, to: impl Fn(usize) -> Path) -> Self {
        let now = clock::now();
        let mut router = Router::new(ServerClock::new(now, 0));
        let lesson = LessonId::random();
        let publication = router.add_publication(publication(lesson, now), now);
        let salt: &[u8] = if profile == Profile::AeadAes128Gcm { &[7; 12] } else { &[7; 14] };
        let clients: Vec<Client> = (0..subscribers)
            .map(|number| Client {
                sealer: Sealer::new(profile, &[number as u8; 16], salt).expect("key and salt fit the profile"),
                path: to(number),
                transport_sequence: 0,
            })
            .collect();
        for number in 0..subscribers {
            router.add_subscriber(subscriber(lesson, number));
        }
        let payloads = (0..burst).map(|number| payload(number == 0)).collect();
        let mut ready = Self {
            router,
            publication,
            clients,
            egress: Egress::new(64),
            payloads,
            sequence: 100_000,
            timestamp: 0,
            now,
        };
        // The first picture starts every subscription; from then on all flow.
        ready.picture(|_, _, _| Ok(()));
        ready
    }

    /// Packets that one picture makes for all subscribers together.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.payloads.len() * self.clients.len()
    }

    /// Mean datagrams per send so far.
    #[must_use]
    pub fn segments_per_send(&self) -> f64 {
        let counts = self.egress.counts();
        counts.datagrams as f64 / counts.sends.max(1) as f64
    }

    /// One picture from the publisher to all subscribers.
    pub fn picture(&mut self, mut send: impl FnMut(&Path, &[u8], usize) -> std::io::Result<()>) {
        self.timestamp = self.timestamp.wrapping_add(3_000);
        self.now += Duration::from_millis(33);
        let last = self.payloads.len() - 1;
        for (number, payload) in self.payloads.iter().enumerate() {
            let packet = Inbound {
                codec: Codec::Vp8,
                sequence: self.sequence,
                timestamp: self.timestamp,
                marker: number == last,
                payload,
            };
            self.sequence += 1;
            self.router.ingest(self.publication, 0, &packet, self.now).expect("every packet is new");
        }
        while self.router.flush() {
            for run in self.router.forwards().chunk_by(|one, next| one.connection == next.connection) {
                let client = &mut self.clients[run[0].connection as usize];
                for forward in run {
                    let (cache, entry) = self.router.packet(forward).expect("it came just now");
                    let mut receiver = Receiver {
                        sealer: &client.sealer,
                        path: client.path,
                        transport_cc: Some(3),
                        transport_sequence: &mut client.transport_sequence,
                        playout_delay: PlayoutDelay::default(),
                    };
                    self.egress.write(forward, cache, entry, &mut receiver, &mut send);
                }
            }
            self.router.sent();
        }
        self.egress.flush(&mut send);
        while self.router.poll_output().is_some() {}
    }
}

/// A VP8 payload; the first of a picture says keyframe.
fn payload(first: bool) -> Vec<u8> {
    let mut payload = vec![7; PAYLOAD];
    payload[0] = if first { 0x10 } else { 0x00 };
    payload[1] = 0;
    payload
}

fn publication(lesson: LessonId, now: Instant) -> PublicationSpec {
    PublicationSpec {
        id: PublicationId::random(),
        lesson,
        participant: ParticipantId::random(),
        connection: ConnectionId::random_on(0),
        end: End::Studio,
        source: SourceName::camera(),
        kind: MediaKind::Video,
        rids: Vec::new(),
        since: now,
    }
}

fn subscriber(lesson: LessonId, number: usize) -> SubscriberSpec {
    let slot = SlotSpec {
        kind: SlotKind::Camera,
        index: 0,
        mid: "0".into(),
        codecs: vec![SlotCodec { codec: Codec::Vp8, payload_type: 96, rtx: Some(97) }],
        ssrc: number as u32 + 1,
        rtx_ssrc: Some(!(number as u32)),
        first_sequence: (1, 1),
        first_timestamp: 0,
    };
    SubscriberSpec {
        lesson,
        participant: ParticipantId::random(),
        connection: number,
        line: LineKey(number as u64),
        source: None,
        redundancy: 2,
        slots: vec![slot],
    }
}
