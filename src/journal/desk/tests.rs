//! What stands in a journal, by what was tapped.

use super::*;
use crate::id::ParticipantId;
use crate::lesson::{Identity, Role};
use crate::worker::clock;
use mingshi_journal::{Next, Position, Tail};

const LESSON: LessonId = LessonId::from_u64(1);
const TEACHER: ParticipantId = ParticipantId::from_u64(2);
const PUPILS: ParticipantId = ParticipantId::from_u64(3);
const STEP: Duration = Duration::from_millis(100);

/// A lesson on air whose packets come every tenth of a second.
struct Scene {
    folder: tempfile::TempDir,
    desk: Desk,
    on_air: BTreeMap<LessonId, Opened>,
    now: Instant,
    room: Room,
    wanted: Vec<Wanted>,
    sequence: u64,
}

impl Scene {
    fn new() -> Self {
        let (folder, now) = (tempfile::tempdir().expect("a folder"), clock::now());
        let desk = Desk::new(folder.path().to_owned(), ServerClock::new(now, 0), Duration::from_secs(10));
        let opened =
            Opened { lesson: LESSON.to_string(), title: "t".into(), teacher: None, subject: None, grade: None, at: 0 };
        let (on_air, wanted) = (BTreeMap::from([(LESSON, opened)]), Vec::new());
        Self { folder, desk, on_air, now, room: Room::Ample, wanted, sequence: 0 }
    }

    fn feed(&mut self, entries: Vec<Entry>, payloads: Vec<u8>) {
        self.desk.feed(&Batch { entries, payloads }, self.now);
    }

    fn began(&mut self, id: u64, participant: ParticipantId, source: &str, rids: &[&str]) {
        let spec = PublicationSpec {
            id: PublicationId::from_u64(id),
            lesson: LESSON,
            participant,
            connection: ConnectionId::random_on(0),
            end: if participant == TEACHER { End::Studio } else { End::Classroom },
            source: source.parse().expect("a name"),
            kind: MediaKind::Video,
            rids: rids.iter().map(|&rid| rid.to_owned()).collect(),
            since: self.now,
        };
        self.feed(vec![Entry::Began(Box::new(spec))], Vec::new());
    }

    /// For so many seconds packets of these encodings come, of so many octets each; `key` says which begin keyframes.
    fn flow(&mut self, seconds: u32, publication: u64, octets: &[usize], key: bool) {
        for step in 0..seconds * 10 {
            self.desk.reconcile(&self.on_air, self.now);
            for (layer, &length) in octets.iter().enumerate().filter(|(_, length)| **length > 0) {
                self.sequence += 1;
                let mut payload = vec![0; length];
                (payload[0], payload[1]) = (0x10, u8::from(!key));
                let packet = TappedPacket {
                    publication: PublicationId::from_u64(publication),
                    layer: layer as u8,
                    codec: Codec::Vp8,
                    sequence: self.sequence,
                    timestamp: 0,
                    marker: true,
                    arrival: self.desk.clock.unix_nanos(self.now),
                    length: length as u16,
                };
                self.feed(vec![Entry::Packet(packet)], payload);
            }
            self.now += STEP;
            if step % 10 == 9 {
                self.wanted.extend(self.desk.measure(self.room, self.now));
                self.desk.flush(self.now);
            }
        }
    }

    fn records(&mut self) -> Vec<Record> {
        self.desk.flush(self.now);
        let mut tail = Tail::open(&crate::journal::folder(self.folder.path(), LESSON), Position::default());
        let mut records = Vec::new();
        while let Next::Record(record) = tail.next().expect("readable") {
            records.push(record);
        }
        records
    }

    /// How many packets of each encoding of a source came in its journal after `from`.
    fn kept(&mut self, source: u16, from: Instant) -> [usize; 3] {
        let from = self.desk.clock.unix_nanos(from);
        let mut kept = [0; 3];
        for record in self.records() {
            if let Record::Packet(packet) = record
                && packet.source == source
                && packet.arrival >= from
            {
                kept[usize::from(packet.layer)] += 1;
            }
        }
        kept
    }
}

#[test]
fn all_encodings_are_kept_at_first_and_then_the_best_and_the_best_small_one() {
    let mut scene = Scene::new();
    scene.began(9, TEACHER, "camera", &["l", "m", "h"]);
    let begin = scene.now;
    scene.flow(5, 9, &[1_900, 5_600, 20_000], true);
    assert_eq!(scene.kept(1, begin)[0], 30, "until the others have begun");
    let settled = scene.now;
    scene.flow(5, 9, &[1_900, 5_600, 20_000], true);
    assert_eq!(scene.kept(1, settled), [0, 50, 50]);
    // The publisher's line grows weaker: the lowest encoding alone goes on.
    scene.flow(6, 9, &[1_900, 0, 0], true);
    let weak = scene.now;
    scene.flow(2, 9, &[1_900, 0, 0], true);
    assert_eq!(scene.kept(1, weak), [20, 0, 0]);
}

#[test]
fn a_keyframe_is_asked_for_when_an_encoding_is_taken_up_and_when_none_has_come_for_long() {
    let mut scene = Scene::new();
    scene.began(9, TEACHER, "slides", &["l", "h"]);
    scene.flow(4, 9, &[1_000, 0], true);
    assert!(scene.wanted.is_empty(), "they come by themselves");
    scene.flow(9, 9, &[1_000, 0], false);
    assert!(scene.wanted.is_empty(), "not yet");
    scene.flow(3, 9, &[1_000, 0], false);
    let layers: Vec<u8> = scene.wanted.drain(..).map(|(_, _, layer)| layer).collect();
    assert_eq!(layers, [0, 0], "and again where none comes");
    scene.flow(1, 9, &[1_000, 20_000], false);
    assert!(scene.wanted.iter().any(|(_, _, layer)| *layer == 1), "the better encoding begins");
}

#[test]
fn what_is_kept_is_told_and_a_keyframe_asked_for_where_something_ends() {
    let mut scene = Scene::new();
    scene.began(9, TEACHER, "slides", &["l", "h"]);
    // They stand still: even their best encoding takes little.
    scene.flow(1, 9, &[300, 900], true);
    scene.flow(5, 9, &[300, 900], false);
    let kept: Vec<_> = scene
        .records()
        .into_iter()
        .filter_map(|record| match record {
            Record::Keeps(keeps) => Some(keeps.layers),
            _ => None,
        })
        .collect();
    assert_eq!(kept, [[1]]);
    assert!(scene.wanted.iter().any(|(_, _, layer)| *layer == 1), "{:?}", scene.wanted);
}

#[test]
fn of_a_classroom_on_stage_its_coming_is_written_down_and_nothing_that_is_seen_or_heard() {
    let mut scene = Scene::new();
    scene.began(9, PUPILS, "camera", &[]);
    scene.flow(1, 9, &[1_000], true);
    let identity = Identity { participant: PUPILS, role: Role::Classroom, name: None, school: Some("河棚".into()) };
    scene.desk.happened(LESSON, Happening::Joined(identity), scene.now);
    scene.desk.happened(LESSON, Happening::Stage(vec![PUPILS]), scene.now);
    scene.flow(2, 9, &[1_000], true);
    scene.desk.happened(LESSON, Happening::Stage(Vec::new()), scene.now);
    scene.flow(1, 9, &[1_000], true);
    let records = scene.records();
    let events = records.iter().filter(|record| matches!(record, Record::Event(_))).count();
    assert_eq!(events, 3);
    assert!(!records.iter().any(|record| matches!(record, Record::Source(_) | Record::Packet(_))));
}

#[test]
fn what_there_is_no_room_for_is_told_as_lost_and_comes_back_with_the_room() {
    let mut scene = Scene::new();
    scene.began(9, TEACHER, "camera", &[]);
    scene.flow(2, 9, &[1_000], true);
    scene.room = Room::None;
    scene.flow(3, 9, &[1_000], true);
    assert_eq!(scene.desk.trouble(), Some(Trouble::NoRoom));
    scene.room = Room::Ample;
    scene.flow(3, 9, &[1_000], true);
    assert_eq!(scene.desk.trouble(), None);
    let records = scene.records();
    let packets = records.iter().filter(|record| matches!(record, Record::Packet(_))).count() as u64;
    let lost = records.iter().map(|record| match record {
        Record::Lost(lost) => {
            assert_eq!((lost.why, lost.source), (LostWhy::DiskFull, Some(1)));
            lost.packets
        }
        _ => 0,
    });
    let lost: u64 = lost.sum();
    assert!(lost >= 20, "{lost}");
    assert_eq!(packets + lost, 80, "every packet is there or told of");
}

#[test]
fn what_the_queue_lost_is_told_and_a_lesson_that_is_over_is_closed() {
    let mut scene = Scene::new();
    scene.began(9, TEACHER, "camera", &[]);
    scene.flow(1, 9, &[1_000], true);
    let publication = PublicationId::from_u64(9);
    scene.feed(vec![Entry::Lost { publication, span: (5, 7), packets: 3 }], Vec::new());
    scene.on_air.clear();
    scene.desk.reconcile(&scene.on_air, scene.now);
    assert_eq!(scene.desk.lessons(), 1, "its source hasn't ended");
    scene.feed(vec![Entry::Ended(publication)], Vec::new());
    scene.desk.reconcile(&scene.on_air, scene.now);
    assert_eq!(scene.desk.lessons(), 0);
    let records = scene.records();
    let [.., Record::Lost(lost), Record::SourceEnded(_), Record::Closed(_)] = &records[..] else {
        panic!("{:?}", records.last())
    };
    assert_eq!((lost.from, lost.to, lost.packets, lost.why), (5, 7, 3, LostWhy::QueueFull));
}
