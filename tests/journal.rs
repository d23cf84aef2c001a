//! Lessons that are published by a client of another make, and what stands in their journals: packet by packet, through kills
//! of the process and a disk without room.

#[expect(dead_code, reason = "tests/networks.rs uses the rest")]
#[path = "wire/carrier.rs"]
mod carrier;
#[expect(dead_code, reason = "tests/media_path.rs uses the rest")]
#[path = "wire/client.rs"]
mod client;
#[expect(dead_code, reason = "tests/media_path.rs uses the rest")]
#[path = "wire/participant.rs"]
mod participant;
#[expect(dead_code, reason = "tests/media_path.rs uses the rest")]
#[path = "wire/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mingshi::id::LessonId;
use mingshi::journal::space::Limits;
use mingshi::journal::{Journal, Settings, folder};
use mingshi::lesson::{Chronicle, Draft, Happening, Identity, JoinCode, Lesson, Role};
use mingshi::worker::mailbox::{End, Purpose};
use mingshi::worker::pool::{self, Tapping};
use mingshi::worker::{clock, tap};
use mingshi_journal::{Kind as Track, LostWhy, Next, Packet, Position, Record, Tail, What, is_closed, repair};
use time::OffsetDateTime;

use client::{Kind, Way};
use participant::Participant;
use server::{LOOPBACK, Server, request, settings, until};

/// The studio page: voice, camera, slides.
const STUDIO: (Way, &[Kind]) = (Way::Publish, &[Kind::Voice, Kind::Video, Kind::Video]);
/// Says to this program that it is to be the server that is killed, and where it is to write.
const TO_BE_KILLED: &str = "TEST_JOURNAL_TO_BE_KILLED";
const SECOND: i64 = 1_000_000_000;

/// Media threads whose media is written down below `recordings`.
fn recorded(recordings: &Path) -> (Server, Journal) {
    let (sender, receiver) = tokio::sync::mpsc::channel(4_096);
    let (way, tapped) = tap::way();
    let clock = clock::server_clock();
    let tapping = Some(Tapping { way });
    let workers = pool::start_tapped(&settings(LOOPBACK, 1_000), &sender, clock, tapping).expect("free ports");
    let settings = Settings {
        recordings: recordings.to_owned(),
        keyframe_every: Duration::from_secs(1),
        limits: Limits { warn: 0, stop: 0 },
    };
    let asked = workers.clone();
    let want_keyframe = move |connection, publication, layer| {
        let _ = asked.want_keyframe(connection, publication, layer);
    };
    let journal = Journal::start(settings, clock, tapped, want_keyframe).expect("a folder");
    (Server::of(workers, receiver, Duration::ZERO), journal)
}

fn lesson() -> Lesson {
    let draft = Draft { title: "古诗".into(), ..Draft::default() };
    Lesson::new(draft, JoinCode::random(), OffsetDateTime::UNIX_EPOCH).expect("it has a title")
}

async fn teacher(server: &Server, lesson: LessonId) -> Participant {
    let request = request(lesson, End::Studio, 0, Purpose::PublishStudio);
    let mut teacher = Participant::arrive(server, request, STUDIO, 1).await;
    teacher.on_air();
    teacher
}

fn records(folder: &Path) -> Vec<Next> {
    let mut tail = Tail::open(folder, Position::default());
    tail.finish();
    std::iter::from_fn(|| match tail.next().expect("a readable journal") {
        Next::Waiting => None,
        next => Some(next),
    })
    .collect()
}

fn packets(records: &[Next]) -> impl Iterator<Item = &Packet> {
    records.iter().filter_map(|next| match next {
        Next::Record(Record::Packet(packet)) => Some(packet),
        _ => None,
    })
}

/// Numbers of the packets of each source of one run follow each other without a gap.
fn assert_whole(records: &[Next]) {
    let mut last = BTreeMap::new();
    for packet in packets(records) {
        if let Some(before) = last.insert(packet.source, packet.sequence) {
            assert_eq!(packet.sequence, before + 1, "source {}", packet.source);
        }
    }
}

#[tokio::test]
async fn a_published_lesson_stands_in_its_journal_packet_by_packet() {
    let recordings = tempfile::tempdir().expect("a folder");
    let (server, journal) = recorded(recordings.path());
    let (lesson, rehearsal) = (lesson(), LessonId::random());
    journal.on_air(&lesson);
    assert_eq!(journal.recorded(), [lesson.id]);
    let teacher = teacher(&server, lesson.id).await;
    let rehearsing = self::teacher(&server, rehearsal).await;
    let identity =
        Identity { participant: teacher.id, role: Role::Studio, name: Some("王老师".into()), school: None };
    journal.happened(lesson.id, Happening::Joined(identity));
    until("keyframes are asked for", || teacher.ask(|client, _| client.keyframes_asked) >= 3).await;
    let asked = rehearsing.ask(|client, _| client.keyframes_asked);
    assert_eq!(asked, 0, "nobody records a rehearsal");

    server.workers.end_lesson(lesson.id).await;
    journal.ended(lesson.id);
    let journal_of_lesson = folder(recordings.path(), lesson.id);
    until("the journal is closed", || is_closed(&journal_of_lesson).expect("readable")).await;
    server.workers.stop().await;
    journal.stop().await;

    let records = records(&journal_of_lesson);
    let [Next::Record(Record::Opened(opened)), ..] = &records[..] else { panic!("{:?}", records.first()) };
    assert_eq!((opened.lesson.as_str(), opened.title.as_str()), (lesson.id.to_string().as_str(), "古诗"));
    let mut sources = BTreeMap::new();
    for next in &records {
        if let Next::Record(Record::Source(source)) = next {
            sources.insert(source.number, (source.source.clone(), source.kind));
        }
    }
    let expected = [("camera", Track::Voice), ("camera", Track::Video), ("slides", Track::Video)];
    for (name, kind) in expected {
        assert!(sources.values().any(|(source, track)| source == name && *track == kind), "{name} {kind:?}");
    }
    assert_whole(&records);
    for number in sources.keys() {
        let of_source: Vec<_> = packets(&records).filter(|packet| packet.source == *number).collect();
        assert!(of_source.len() > 50, "{} packets of source {number}", of_source.len());
        assert!(of_source.windows(2).all(|pair| pair[0].arrival <= pair[1].arrival));
        assert!(of_source.iter().all(|packet| packet.payload.last() == Some(&1)), "what the teacher sent");
    }
    let joined = records.iter().any(|next| {
        matches!(next, Next::Record(Record::Event(event)) if matches!(&event.what, What::Joined { name, .. } if name == "王老师"))
    });
    assert!(joined, "who came is there too");
    let ends = records.iter().filter(|next| matches!(next, Next::Record(Record::SourceEnded(_)))).count();
    assert_eq!(ends, 3);
    assert!(matches!(records.last(), Some(Next::Record(Record::Closed(_)))));
    assert!(!folder(recordings.path(), rehearsal).exists());
    assert!(journal.left_open().expect("readable").is_empty());
}

#[tokio::test]
async fn a_lesson_that_goes_on_air_late_is_whole_from_there_on_and_one_left_open_is_closed_later() {
    let recordings = tempfile::tempdir().expect("a folder");
    let (server, journal) = recorded(recordings.path());
    let lesson = lesson();
    let teacher = teacher(&server, lesson.id).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    journal.on_air(&lesson);
    until("a keyframe is asked for at once", || teacher.ask(|client, _| client.keyframes_asked) > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.workers.stop().await;
    journal.stop().await;
    let place = folder(recordings.path(), lesson.id);
    let before = records(&place);
    assert_whole(&before);
    assert!(packets(&before).count() > 60, "{}", packets(&before).count());

    assert_eq!(journal.left_open().expect("readable"), [lesson.id]);
    journal.close_left_open(lesson.id, Some(&lesson), 5).expect("room");
    assert!(journal.left_open().expect("readable").is_empty());
    let after = records(&place);
    assert_eq!(after[..before.len()], before);
    let [Next::Record(Record::Opened(_)), Next::Record(Record::Closed(closed))] = &after[before.len()..] else {
        panic!("{:?}", &after[before.len()..])
    };
    assert_eq!(closed.at, 5);
}

/// The server that is killed: does nothing unless it is asked to be that.
#[tokio::test]
async fn a_server_writes_until_it_is_killed() {
    let Some(recordings) = std::env::var_os(TO_BE_KILLED) else { return };
    let (server, journal) = recorded(Path::new(&recordings));
    let mut lesson = lesson();
    lesson.id = LessonId::from_u64(1);
    journal.on_air(&lesson);
    let _teacher = teacher(&server, lesson.id).await;
    until("media flows", || !server.reports().is_empty()).await;
    eprintln!("on air");
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[test]
fn of_a_server_that_is_killed_at_any_instant_less_than_a_second_is_missing() {
    let recordings = tempfile::tempdir().expect("a folder");
    let place = folder(recordings.path(), LessonId::from_u64(1));
    let mut known = 0;
    for run in 1..=3u64 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "a_server_writes_until_it_is_killed", "--nocapture"])
            .env(TO_BE_KILLED, recordings.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let said = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        assert!(said.into_iter().any(|line| line == "on air"), "it came up");
        let random = u64::from(rand::random::<u8>());
        std::thread::sleep(Duration::from_millis(1_300 + random * 3));
        child.kill().expect("it runs");
        let killed = clock::unix_nanos();
        child.wait().expect("it was killed");

        let left_over = repair(&place).expect("readable");
        let all = records(&place);
        let this_run = &all[known..];
        let damage = all.iter().filter(|next| matches!(next, Next::Damaged { .. })).count();
        assert_eq!(damage, 0, "run {run}, {} octets were cut", left_over.cut);
        assert!(matches!(this_run[0], Next::Record(Record::Opened(_))), "run {run}");
        assert_whole(this_run);
        let last = packets(this_run).map(|packet| packet.arrival).max().expect("packets");
        assert!(killed - last < SECOND, "run {run}: {} ms are missing", (killed - last) / 1_000_000);
        known = all.len();
    }
}

/// A folder on a file system of its own that is small; unmounted in the end. `None` where this may not be made.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_lesson_goes_on_while_the_disk_is_full_and_is_recorded_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: a small disk can't be mounted here (this needs root)");
        return;
    };
    let (server, journal) = recorded(disk.0.path());
    let lesson = lesson();
    journal.on_air(&lesson);
    let teacher = teacher(&server, lesson.id).await;
    let place = folder(disk.0.path(), lesson.id);
    until("media is written", || place.is_dir() && packets(&records(&place)).count() > 20).await;
    let filler = disk.0.path().join("filler");
    // Whatever fits: it ends with the error that there is no more room.
    let _ = std::fs::write(&filler, vec![1; 5 << 20]);
    until("the journal says that there is no room", || journal.trouble().is_some()).await;
    let heard = teacher.ask(|client, _| client.is_connected());
    assert!(heard && server.workers.answers().await, "the lesson goes on");
    std::fs::remove_file(&filler).expect("it is there");
    until("there is room again", || journal.trouble().is_none()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.workers.stop().await;
    journal.stop().await;
    let all = records(&place);
    let lost = |next: &Next| matches!(next, Next::Record(Record::Lost(lost)) if lost.why == LostWhy::DiskFull);
    if !all.iter().any(lost) {
        // What came meanwhile waited in memory, and is here.
        let mut last = BTreeMap::new();
        for packet in packets(&all) {
            if let Some(before) = last.insert((packet.source, packet.layer), packet.arrival) {
                assert!(packet.arrival - before < SECOND, "a hole of {} ms", (packet.arrival - before) / 1_000_000);
            }
        }
    }
    assert!(!all.iter().any(|next| matches!(next, Next::Damaged { .. })));
}
