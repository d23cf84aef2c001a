//! The story's stage: one lesson on one worker, told the time a millisecond at a time.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use mingshi::adapt::{Kind, Offered, Place, Probe, Tier};
use mingshi::id::{LessonId, ParticipantId};
use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::{End, SlotKind};
use mingshi::sfu::output::SlotState;
use mingshi::sfu::{Forward, LinkGroups, Order, Output, Router, SubscriberSpec};
use mingshi::transport::Identity;
use mingshi::units::ServerClock;
use mingshi::worker::egress::{Egress, PlayoutDelay, Receiver};
use mingshi::worker::socket::Path;

use super::bottleneck::Shape;
use super::chance::Chance;
use super::classroom::{BROWSER, Classroom, Feedback, TRANSPORT_CC};
use super::encoder::Track;
use super::line::Quality;
use super::publisher::Publisher;
use super::shared_line::{Downlink, IP_AND_UDP, School};
use super::stream::Stream;

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A classroom of the story.
pub type Room = usize;

/// One lesson.
pub struct Lesson {
    id: LessonId,
    began: Instant,
    pub now: Instant,
    clock: ServerClock,
    pub router: Router,
    egress: Egress,
    datagrams: Vec<(Room, Vec<u8>)>,
    identity: Identity,
    chance: Chance,
    tracks: u16,
    pub publishers: Vec<Publisher>,
    pub rooms: Vec<Classroom>,
    pub schools: Vec<(School, Tier)>,
    pub groups: LinkGroups,
    /// Every index that was sealed: to whom, in which stream.
    sealed: HashSet<(u32, u32, u64)>,
    steps: u64,
    /// How often pages were told of a publication.
    pub told: usize,
    /// What was last told of each publication's encodings, kbit/s.
    pub rates: BTreeMap<usize, Vec<u64>>,
}

impl Lesson {
    #[expect(clippy::disallowed_methods, reason = "simulated time needs some instant to begin with")]
    pub fn new(seed: u64) -> Self {
        let began = Instant::now();
        let clock = ServerClock::new(began, 1_795_000_000_000_000_000);
        Self {
            id: LessonId::from_u64(1),
            began,
            now: began,
            clock,
            router: Router::new(clock),
            egress: Egress::new(64),
            datagrams: Vec::new(),
            identity: Identity::generate().expect("the machine has randomness"),
            chance: Chance::new(seed),
            tracks: 0,
            publishers: Vec::new(),
            rooms: Vec::new(),
            schools: Vec::new(),
            groups: LinkGroups::default(),
            sealed: HashSet::new(),
            steps: 0,
            told: 0,
            rates: BTreeMap::new(),
        }
    }

    /// A publisher begins to send.
    pub fn publish(&mut self, end: End, mut tracks: Vec<Track>, quality: Quality) -> usize {
        for track in &mut tracks {
            self.tracks += 1;
            track.number = self.tracks;
            track.encodings.iter_mut().for_each(|encoding| encoding.start(&mut self.chance));
        }
        self.publishers.push(Publisher::new(end, tracks, quality, self.now, &mut self.chance));
        self.publishers.len() - 1
    }

    pub fn studio(&mut self, tracks: Vec<Track>) -> usize {
        self.publish(End::Studio, tracks, Quality::GOOD)
    }

    /// A publisher ends, all its publications with it.
    pub fn unpublish(&mut self, publisher: usize) {
        let publisher = &mut self.publishers[publisher];
        publisher.gone = true;
        for publication in publisher.publications.iter_mut().filter_map(Option::take) {
            self.router.remove_publication(publication);
        }
    }

    /// A classroom that plays what browsers play connects in the midst of the next round of packets.
    pub fn join(&mut self, quality: Quality) -> Room {
        self.join_as(None, BROWSER, quality)
    }

    /// A classroom that plays this much connects, as somebody who may publish too.
    pub fn join_as(&mut self, publisher: Option<usize>, able: &[Codec], quality: Quality) -> Room {
        let stranger = ParticipantId::from_u64(self.chance.number());
        let participant = publisher.map_or(stranger, |publisher| self.publishers[publisher].participant);
        self.rooms.push(Classroom::new(participant, able, quality, &self.identity, &mut self.chance, self.now));
        self.rooms.len() - 1
    }

    /// A school with such a line, of which this is known.
    pub fn school(&mut self, shape: Shape, tier: Tier) -> usize {
        let number = self.schools.len();
        self.schools.push((School::new(number, shape, self.chance.fork(), self.now), tier));
        number
    }

    /// A classroom of a school connects.
    pub fn join_at(&mut self, school: usize) -> Room {
        let (line, _) = &self.schools[school];
        let delay = Duration::from_millis(line.line.shape.delay);
        let quality = Quality { delay, jitter: Duration::ZERO, ..Quality::GOOD };
        let key = line.key;
        let room = self.join_as(None, BROWSER, quality);
        (self.rooms[room].line, self.rooms[room].school) = (key, Some(school));
        room
    }

    pub fn leave(&mut self, room: Room) {
        let left = &mut self.rooms[room];
        left.left = true;
        if let Some(key) = left.key.take() {
            self.router.remove_subscriber(key);
            if left.school.is_some() {
                self.groups.leave(left.line, room, &mut self.router, self.now);
            }
        }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.began)
    }

    pub fn set_stage(&mut self, publishers: &[usize]) {
        let participants = publishers.iter().map(|&publisher| self.publishers[publisher].participant).collect();
        self.router.set_stage(self.id, participants);
    }

    pub fn cap(&mut self, room: Room, kind: SlotKind, cap: Option<u8>) {
        self.router.cap_layer(self.id, self.rooms[room].participant, (kind, 0), cap);
    }

    /// A page shows a slot with so many pixels.
    pub fn show(&mut self, room: Room, kind: SlotKind, pixels: Option<u32>) {
        self.router.show(self.id, self.rooms[room].participant, (kind, 0), pixels);
    }

    pub fn restart(&mut self, publisher: usize, track: usize, layer: usize) {
        self.publishers[publisher].tracks[track].encodings[layer].restart(&mut self.chance);
    }

    /// A publisher goes over to another codec in the midst of its streams. Browsers begin it with a keyframe; encoders behind
    /// a gateway may not.
    pub fn change_codec(&mut self, publisher: usize, track: usize, codec: Codec, with_keyframe: bool) {
        let track = &mut self.publishers[publisher].tracks[track];
        track.codec = codec;
        track.encodings.iter_mut().for_each(|encoding| encoding.keyframe_wanted |= with_keyframe);
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.chance.below(end)
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        for _ in 0..duration.as_millis() {
            self.step();
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        self.now += Duration::from_millis(1);
        let (now, clock) = (self.now, self.clock);
        for publisher in &mut self.publishers {
            publisher.produce(&clock, self.began, now, &mut self.chance);
            publisher.arrive(&mut self.router, self.id, &clock, now);
        }
        self.hear();
        self.admit();
        if self.steps.is_multiple_of(10) {
            self.publishers.iter_mut().filter(|publisher| !publisher.gone).for_each(|publisher| publisher.repair(now));
            self.router.tick(now);
            self.groups.tick(&mut self.router, now);
        }
        if self.steps.is_multiple_of(100) {
            self.router.measure(now);
        }
        self.pace();
        self.forward();
        self.obey();
        for (school, _) in &mut self.schools {
            for (room, packet) in school.step(now) {
                self.rooms[room].receive(&packet, now);
            }
        }
        if self.steps.is_multiple_of(1_000) {
            self.report();
        }
        self.rooms.iter_mut().filter(|room| !room.left).for_each(|room| room.live(now));
    }

    /// What classrooms ask for.
    fn hear(&mut self) {
        for (connection, room) in self.rooms.iter_mut().enumerate().filter(|(_, room)| !room.left) {
            let Some(key) = room.key else { continue };
            let is_cut = |school: usize| self.schools[school].0.line.shape.cut;
            if room.school.is_some_and(is_cut) {
                room.up.arrived(self.now);
                continue;
            }
            for feedback in room.up.arrived(self.now) {
                match feedback {
                    Feedback::Nack(ssrc, sequences) => self.router.nack(key, ssrc, &sequences, self.now),
                    Feedback::Pli(ssrc) => self.router.keyframe_request(key, ssrc),
                    Feedback::Arrivals(told) => {
                        let Some(downlink) = &mut room.downlink else { continue };
                        let mut arrived = Vec::new();
                        let (base, reference) = (told.base, told.reference_time);
                        downlink.history.feedback(base, reference, &told.deltas, self.now, &mut arrived);
                        self.groups.feedback(room.line, connection, &arrived, &mut self.router, self.now);
                    }
                }
            }
        }
    }

    fn admit(&mut self) {
        for (connection, room) in self.rooms.iter_mut().enumerate() {
            if room.key.is_none() && !room.left {
                let slots = room.streams.iter().map(|stream| stream.spec.clone()).collect();
                let (lesson, participant, line) = (self.id, room.participant, room.line);
                let spec = SubscriberSpec {
                    lesson,
                    participant,
                    connection,
                    line,
                    source: None,
                    redundancy: room.redundancy,
                    slots,
                };
                room.joined = self.now;
                if let Some(school) = room.school {
                    self.groups.open(line, &self.schools[school].1, &mut self.router, self.now);
                }
                let key = self.router.add_subscriber(spec);
                room.key = Some(key);
                if room.school.is_some() {
                    room.downlink = Some(Downlink::new(self.now));
                    self.groups.join(line, (connection, key), &mut self.router, self.now);
                }
            }
        }
    }

    /// Does what the lines ask for.
    fn pace(&mut self) {
        while let Some(order) = self.groups.poll_order() {
            match order {
                Order::Pace { connection, rate } => {
                    if let Some(downlink) = &mut self.rooms[connection].downlink {
                        downlink.pacer.set_rate(rate, self.now);
                    }
                }
                Order::Pad { probe, elapsed } => self.pad(&probe, elapsed),
            }
        }
    }

    fn pad(&mut self, probe: &Probe, elapsed: Duration) {
        let room = probe.member;
        let Some(downlink) = &mut self.rooms[room].downlink else { return };
        downlink.padding += probe.padding.bps() as f64 / 8.0 * elapsed.as_secs_f64();
        while self.rooms[room].downlink.as_ref().is_some_and(|downlink| downlink.padding >= 255.0) {
            let key = self.rooms[room].key.expect("a member is connected");
            let padding = self.router.padding(key).expect("every browser has retransmissions");
            let Self { rooms, egress, datagrams, now, .. } = &mut *self;
            write(&mut rooms[room], room, *now, Kind::Probe(probe.cluster), |receiver| {
                egress.write_padding(&padding, 255, receiver, gather(datagrams))
            });
            self.deliver();
        }
    }

    /// The worker's last step with real sealing; what opens again goes down the classroom's line.
    fn forward(&mut self) {
        for room in 0..self.rooms.len() {
            let now = self.now;
            while let Some(forward) = self.rooms[room].downlink.as_mut().and_then(|down| down.pacer.release(now)) {
                self.send(&forward);
            }
        }
        while self.router.flush() {
            for forward in self.router.forwards().to_vec() {
                let room = &mut self.rooms[forward.connection as usize];
                assert!(!room.left, "a packet to a classroom that left");
                let (_, entry) = self.router.packet(&forward).expect("what was decided on just now is held");
                let octets = (entry.template_len() + 44) as u16;
                let place = Place { ssrc: forward.ssrc, index: forward.sequence };
                let offered = room.downlink.as_mut().map(|downlink| {
                    let offered = downlink.pacer.offer(forward, place, octets, forward.urgency, self.now);
                    if offered == Offered::Dropped {
                        downlink.pacer.clear(forward.urgency).for_each(drop);
                    }
                    offered
                });
                match offered {
                    None | Some(Offered::Send) => self.send(&forward),
                    Some(Offered::Waits | Offered::Refused) => {}
                    Some(Offered::Dropped) => {
                        let key = self.rooms[forward.connection as usize].key.expect("it is connected");
                        self.router.keyframe_request(key, forward.ssrc);
                    }
                }
            }
            self.router.sent();
        }
        self.deliver();
    }

    fn send(&mut self, forward: &Forward) {
        assert!(
            self.sealed.insert((forward.connection, forward.ssrc, forward.sequence)),
            "an index is sealed twice: {forward:?}"
        );
        let Self { router, rooms, egress, datagrams, now, .. } = self;
        // What waited may be gone from the cache, and is lost then.
        let Some((cache, entry)) = router.packet(forward) else { return };
        let room = forward.connection as usize;
        write(&mut rooms[room], room, *now, Kind::Media, |receiver| {
            egress.write(forward, cache, entry, receiver, gather(datagrams))
        });
    }

    /// What was written goes down the lines.
    fn deliver(&mut self) {
        self.egress.flush(gather(&mut self.datagrams));
        for (room, datagram) in std::mem::take(&mut self.datagrams) {
            let to = &mut self.rooms[room];
            let plain = to.opener.open_rtp(&datagram).expect("what is sealed opens at its receiver").to_vec();
            match to.school {
                Some(school) => self.schools[school].0.send(room, plain, datagram.len()),
                None => to.down.send(self.now, plain),
            }
        }
    }

    /// Does what the router wants done.
    fn obey(&mut self) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::KeyframeRequest { publication, layer } => {
                    let owner = self.publishers.iter_mut().find_map(|publisher| {
                        let track = publisher.publications.iter().position(|&one| one == Some(publication))?;
                        Some((publisher, track))
                    });
                    let (publisher, track) = owner.expect("somebody publishes it");
                    publisher.ask(track, layer, self.now);
                }
                Output::Slots { connection, slots, .. } => self.rooms[connection].slots = slots,
                Output::Decided { connection, decision, .. } => {
                    self.rooms[connection].decisions.push((self.now, decision))
                }
                Output::Publication { publication, report, .. } => {
                    self.told += 1;
                    self.rates.insert(publication, report.layers.iter().map(|layer| layer.bitrate / 1000).collect());
                }
            }
        }
    }

    fn report(&mut self) {
        for room in &mut self.rooms {
            if let Some(key) = room.key {
                room.reports.extend(self.router.reports(key).map(|report| (self.now, report)));
            }
        }
    }

    pub fn stream(&self, room: Room, kind: SlotKind, index: u8) -> &Stream {
        self.rooms[room].stream(kind, index)
    }

    /// Checks that everything was played in step with the server's clock.
    pub fn keeps_step(&self, room: Room) {
        for kind in [SlotKind::Camera, SlotKind::Voice, SlotKind::Slides] {
            self.rooms[room].keeps_step(kind, &self.clock);
        }
    }

    /// How long a classroom waited for its first picture of the camera, or for a source that came later.
    pub fn waited(&self, room: Room, kind: SlotKind) -> Option<Duration> {
        let first = self.stream(room, kind, 0).played.first()?;
        Some(first.at.saturating_duration_since(self.rooms[room].joined))
    }

    /// The longest time without a new picture since `since`, up to now.
    pub fn longest_freeze(&self, room: Room, kind: SlotKind, since: Instant) -> Duration {
        let played = self.stream(room, kind, 0).played.iter().map(|played| played.at).filter(|&at| at >= since);
        let moments: Vec<Instant> = played.chain([self.now]).collect();
        let gap = |pair: &[Instant]| pair[1].saturating_duration_since(pair[0]);
        moments.windows(2).map(gap).max().unwrap_or_default().max(moments[0].saturating_duration_since(since))
    }

    pub fn camera(&self, room: Room) -> &Stream {
        self.stream(room, SlotKind::Camera, 0)
    }

    pub fn voice(&self, room: Room) -> &Stream {
        self.stream(room, SlotKind::Voice, 0)
    }

    /// What a classroom was told of a slot.
    pub fn slot(&self, room: Room, kind: SlotKind, index: u8) -> &SlotState {
        let slots = &self.rooms[room].slots;
        slots.iter().find(|slot| (slot.slot, slot.index) == (kind, index)).expect("it was told of its slots")
    }
}

/// Takes datagrams apart from the sends that they leave in.
fn gather(datagrams: &mut Vec<(Room, Vec<u8>)>) -> impl FnMut(&Path, &[u8], usize) -> std::io::Result<()> + '_ {
    |path, contents, segment| {
        let room = usize::from(path.remote.address.port());
        datagrams.extend(contents.chunks(segment).map(|datagram| (room, datagram.to_vec())));
        Ok(())
    }
}

/// Seals one packet to a classroom, and takes note of it.
fn write(
    to: &mut Classroom,
    room: Room,
    now: Instant,
    kind: Kind,
    write: impl FnOnce(&mut Receiver<'_>) -> Option<usize>,
) {
    let path = Path { remote: ([192, 0, 2, 1], room as u16).into(), local: None };
    let Classroom { sealer, transport_sequence, downlink, .. } = to;
    let number = *transport_sequence;
    let mut receiver = Receiver {
        sealer,
        path,
        transport_cc: Some(TRANSPORT_CC),
        transport_sequence,
        playout_delay: PlayoutDelay::default(),
    };
    let length = write(&mut receiver).expect("it can be sealed");
    if let Some(downlink) = downlink {
        let octets = (length + IP_AND_UDP) as u16;
        downlink.history.sent(number, now, octets, kind);
        if kind != Kind::Media {
            downlink.padding -= f64::from(octets);
        }
    }
}
