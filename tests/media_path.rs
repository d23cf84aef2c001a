//! Publishers and subscribers of another make on real sockets, through two media threads.

#[path = "wire/client.rs"]
mod client;
#[path = "wire/participant.rs"]
mod participant;
#[path = "wire/server.rs"]
mod server;

use std::time::Duration;

use mingshi::id::LessonId;
use mingshi::worker::mailbox::{Closed, End, Patch, Patched, Paused, Purpose, Refused, Report, SlotKind};

use client::{Kind, Way};
use participant::{Participant, is_keyframe};
use server::{Server, WORKERS, request, source, until, within};

const TEACHER: u8 = 1;
const SECOND: Duration = Duration::from_secs(1);
/// What must not come is waited for so long.
const A_WHILE: Duration = Duration::from_millis(600);

/// The studio page: voice, camera, slides.
const STUDIO: (Way, &[Kind]) = (Way::Publish, &[Kind::Voice, Kind::Video, Kind::Video]);
/// A recorder host that sends one source.
const HOST: (Way, &[Kind]) = (Way::Publish, &[Kind::Voice, Kind::Video]);
/// A classroom's page: two voices; slides, camera and one on stage.
const PAGE: (Way, &[Kind]) = (Way::Subscribe, &[Kind::Voice, Kind::Voice, Kind::Video, Kind::Video, Kind::Video]);
/// A player of one source.
const PLAYER: (Way, &[Kind]) = (Way::Subscribe, &[Kind::Voice, Kind::Video]);

async fn teacher(server: &Server, lesson: LessonId) -> Participant {
    let request = request(lesson, End::Studio, 0, Purpose::PublishStudio);
    let mut teacher = Participant::arrive(server, request, STUDIO, TEACHER).await;
    teacher.on_air();
    teacher
}

async fn classroom(server: &Server, lesson: LessonId, worker: usize) -> Participant {
    let request = request(lesson, End::Classroom, worker, Purpose::SubscribeLesson);
    Participant::arrive(server, request, PAGE, 0).await
}

#[tokio::test]
async fn a_lesson_reaches_classrooms_on_its_own_thread_and_on_the_other() {
    let server = Server::start();
    let lesson = LessonId::random();
    let early = [classroom(&server, lesson, 0).await, classroom(&server, lesson, 1).await];
    let teacher = teacher(&server, lesson).await;
    let late = [classroom(&server, lesson, 0).await, classroom(&server, lesson, 1).await];
    let request = request(lesson, End::Classroom, 1, Purpose::SubscribeSource(source("camera")));
    let player = Participant::arrive(&server, request, PLAYER, 0).await;
    for classroom in early.iter().chain(&late).chain([&player]) {
        assert_eq!(teacher.connected.connection.worker(), 0);
        until("a second of voice", || classroom.count(Kind::Voice, TEACHER) > 50).await;
        until("as much video", || classroom.count(Kind::Video, TEACHER) > 50).await;
        let mut streams = std::collections::BTreeMap::<u32, Vec<_>>::new();
        for packet in classroom.ask(|client, _| client.received.clone()) {
            streams.entry(packet.header.ssrc).or_default().push(packet);
        }
        for packets in streams.values() {
            let steps = packets
                .windows(2)
                .map(|pair| pair[1].header.sequence_number.wrapping_sub(pair[0].header.sequence_number));
            assert!(steps.into_iter().all(|step| step == 1), "numbers follow each other");
            let video = packets[0].header.payload_type == client::VP8;
            assert!(!video || is_keyframe(&packets[0]), "pictures begin with one that can be decoded");
        }
        let expected = if std::ptr::eq(classroom, &player) { 2 } else { 3 };
        assert_eq!(streams.len(), expected);
    }
    assert_eq!(server.publications(teacher.id).len(), 3);
}

#[tokio::test]
async fn who_deletes_a_connection_ends_what_it_published() {
    let server = Server::start();
    let lesson = LessonId::random();
    let teacher = teacher(&server, lesson).await;
    let classroom = classroom(&server, lesson, 1).await;
    classroom.hears(TEACHER).await;
    let connection = teacher.connected.connection;
    let disconnect = |lesson, participant| server.workers.disconnect(lesson, participant, connection);
    assert_eq!(disconnect(LessonId::random(), None).await, Err(Refused::NoSuchConnection), "of another lesson");
    assert_eq!(disconnect(lesson, Some(classroom.id)).await, Err(Refused::NoSuchConnection), "somebody else's");
    assert!(!server.is_down(connection));
    assert_eq!(disconnect(lesson, Some(teacher.id)).await, Ok(()));
    assert_eq!(server.down(connection).await, Closed::Deleted);
    assert_eq!(disconnect(lesson, Some(teacher.id)).await, Err(Refused::NoSuchConnection));
    until("its publications ended", || server.publications(teacher.id).is_empty()).await;
    server
        .reported("the classroom's slots empty", |reports| {
            let last = reports.iter().rev().find_map(|report| match report {
                Report::Slots { participant, slots, .. } if *participant == classroom.id => Some(slots),
                _ => None,
            })?;
            last.iter().all(|slot| slot.paused == Some(Paused::NoSource)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn who_never_comes_and_who_vanishes_is_gone_within_half_a_minute() {
    let server = Server::start();
    let lesson = LessonId::random();
    let teacher = teacher(&server, lesson).await;
    let classroom = classroom(&server, lesson, 1).await;
    classroom.hears(TEACHER).await;
    let (vanished, left_behind) = (teacher.connected.connection, teacher.id);
    let mut never = Vec::new();
    for worker in 0..WORKERS {
        let request = request(lesson, End::Classroom, worker, Purpose::SubscribeLesson);
        let participant = Participant::join(&server, request, PAGE, 0).await.expect("it is welcome");
        never.push(participant.connected.connection);
        // Too soon for it to have said anything that counts.
        participant.vanish();
    }
    teacher.vanish();
    for connection in never.into_iter().chain([vanished]) {
        let why = within(30 * SECOND, "its end", || server::why_down(&server.reports(), connection)).await;
        let expected = if connection == vanished { Closed::Expired } else { Closed::NeverConnected };
        assert_eq!(why, expected);
    }
    assert!(server.publications(left_behind).is_empty());
    assert!(!server.is_down(classroom.connected.connection), "who stays is not disturbed");
}

#[tokio::test]
async fn a_studio_source_belongs_to_its_latest_publisher_and_a_classrooms_is_its_own() {
    const CAMERA: u8 = 2;
    const PUPILS: u8 = 3;
    for worker in 0..WORKERS {
        let server = Server::start();
        let lesson = LessonId::random();
        let camera = || Purpose::PublishSource(source("camera"));
        let mut first = Participant::arrive(&server, request(lesson, End::Studio, 0, camera()), HOST, TEACHER).await;
        first.on_air();
        let classroom = classroom(&server, lesson, 0).await;
        classroom.hears(TEACHER).await;

        let pupils = request(lesson, End::Classroom, worker, camera());
        let mut pupils = Participant::arrive(&server, pupils, HOST, PUPILS).await;
        pupils.on_air();
        until("the pupils publish", || server.publications(pupils.id).len() == 2).await;
        classroom.hears(TEACHER).await;
        assert_eq!(classroom.from(PUPILS), 0, "they are not on stage");

        let second = request(lesson, End::Studio, worker, camera());
        let mut second = Participant::arrive(&server, second, HOST, CAMERA).await;
        classroom.hears(TEACHER).await;
        second.on_air();
        assert_eq!(server.down(first.connected.connection).await, Closed::Replaced);
        classroom.hears(CAMERA).await;
        until("its publications ended", || server.publications(first.id).is_empty()).await;
        let ends: Vec<_> = server
            .reports()
            .into_iter()
            .filter_map(|report| match report {
                Report::PublicationEnded { why, .. } => Some(why),
                _ => None,
            })
            .collect();
        assert_eq!(ends, [Closed::Replaced; 2]);
        assert!(!server.is_down(pupils.connected.connection));
        assert_eq!(server.publications(pupils.id).len(), 2);
    }
}

/// The newer connection is the one that stays, even if the older sends its first packet after it.
#[tokio::test]
async fn a_publisher_that_begins_after_a_newer_one_leaves_nothing_behind() {
    for worker in 0..WORKERS {
        let server = Server::start();
        let lesson = LessonId::random();
        let camera = || Purpose::PublishSource(source("camera"));
        let mut older = Participant::arrive(&server, request(lesson, End::Studio, 0, camera()), HOST, 2).await;
        let newer = request(lesson, End::Studio, worker, camera());
        let mut newer = Participant::arrive(&server, newer, HOST, TEACHER).await;
        newer.on_air();
        let classroom = classroom(&server, lesson, 0).await;
        classroom.hears(TEACHER).await;
        older.on_air();
        assert_eq!(server.down(older.connected.connection).await, Closed::Replaced);
        until("nothing of it is left", || server.publications(older.id).is_empty()).await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(server.publications(older.id), []);
        assert!(!server.is_down(newer.connected.connection));
        classroom.hears(TEACHER).await;
    }
}

#[tokio::test]
async fn a_classroom_is_seen_from_the_stage_only_and_never_by_itself() {
    const PUPILS: u8 = 9;
    let server = Server::start();
    let lesson = LessonId::random();
    let publishing = request(lesson, End::Classroom, 1, Purpose::PublishSource(source("pupils")));
    let receiving = mingshi::worker::mailbox::Connect { purpose: Purpose::SubscribeLesson, ..publishing.clone() };
    let mut pupils = Participant::arrive(&server, publishing, HOST, PUPILS).await;
    pupils.on_air();
    let themselves = Participant::arrive(&server, receiving, PAGE, 0).await;
    let others = [classroom(&server, lesson, 0).await, classroom(&server, lesson, 1).await];
    let studio = request(lesson, End::Studio, 0, Purpose::SubscribeLesson);
    let studio = Participant::arrive(&server, studio, PAGE, 0).await;
    let everybody = || others.iter().chain([&studio]);

    until("they publish", || server.publications(pupils.id).len() == 2).await;
    tokio::time::sleep(A_WHILE).await;
    assert!(everybody().all(|one| one.from(PUPILS) == 0), "nobody was called on stage");
    server.workers.set_stage(lesson, vec![pupils.id]).await;
    for one in everybody() {
        until("the pupils' voice", || one.count(Kind::Voice, PUPILS) > 10).await;
        until("the pupils' picture", || one.count(Kind::Video, PUPILS) > 10).await;
    }
    assert_eq!(themselves.from(PUPILS), 0);
    server.workers.set_stage(lesson, Vec::new()).await;
    tokio::time::sleep(A_WHILE / 2).await;
    everybody().for_each(Participant::forget);
    tokio::time::sleep(A_WHILE).await;
    assert!(everybody().all(|one| one.from(PUPILS) == 0), "they left the stage");
}

#[tokio::test]
async fn the_end_of_a_lesson_closes_its_connections_and_no_others() {
    let server = Server::start();
    let (lesson, other) = (LessonId::random(), LessonId::random());
    let mut ending = vec![teacher(&server, lesson).await];
    let staying = [teacher(&server, other).await, classroom(&server, other, 1).await];
    for worker in 0..WORKERS {
        ending.push(classroom(&server, lesson, worker).await);
    }
    server.workers.end_lesson(lesson).await;
    for participant in &ending {
        assert_eq!(server.down(participant.connected.connection).await, Closed::LessonEnded);
    }
    until("its publications ended", || server.publications(ending[0].id).is_empty()).await;
    staying[1].hears(TEACHER).await;
    assert!(staying.iter().all(|one| !server.is_down(one.connected.connection)));
}

#[tokio::test]
async fn what_cannot_be_met_is_refused_for_what_it_is() {
    let server = Server::with_room_for(2);
    let lesson = LessonId::random();
    let refused = async |purpose: Purpose, media, change: fn(String) -> String| {
        let mut request = request(lesson, End::Studio, 0, purpose);
        let address = "127.0.0.1:9".parse().expect("an address");
        let (way, tracks): (Way, &[Kind]) = media;
        let now = mingshi::worker::clock::now();
        request.offer = change(client::Client::new(now, address, way, tracks, &client::CHROMIUM).offer(now, false));
        server.workers.connect(request).await.expect_err("it can't be met")
    };
    let as_it_is = std::convert::identity::<String>;
    let camera = || Purpose::PublishSource(source("camera"));
    let bad = refused(camera(), HOST, |_| "hello".into()).await;
    assert!(matches!(bad, Refused::BadOffer(_)), "{bad}");
    let bad = refused(camera(), HOST, |offer| offer.replace("a=ice-pwd", "a=ice-password")).await;
    assert!(matches!(bad, Refused::BadOffer(_)), "{bad}");
    let bad = refused(camera(), HOST, |offer| offer.replace("a=sendrecv", "a=recvonly")).await;
    assert!(matches!(bad, Refused::Unsatisfiable(_)), "{bad}");
    let bad = refused(Purpose::SubscribeLesson, PAGE, |offer| offer.replace("a=recvonly", "a=sendonly")).await;
    assert!(matches!(bad, Refused::Unsatisfiable(_)), "{bad}");
    let bad = refused(camera(), STUDIO, as_it_is).await;
    assert!(matches!(bad, Refused::Unsatisfiable(_)), "two pictures of one source: {bad}");
    let bad = refused(Purpose::SubscribeSource(source("camera")), PAGE, as_it_is).await;
    assert!(matches!(bad, Refused::Unsatisfiable(_)), "{bad}");

    let mut present = vec![classroom(&server, lesson, 0).await, classroom(&server, lesson, 0).await];
    assert_eq!(refused(Purpose::SubscribeLesson, PAGE, as_it_is).await, Refused::Busy);
    classroom(&server, lesson, 1).await;
    let left = present.pop().expect("two came").connected.connection;
    server.workers.disconnect(lesson, None, left).await.expect("it was there");
    classroom(&server, lesson, 0).await;
    server.workers.stop().await;
    assert_eq!(server.down(present[0].connected.connection).await, Closed::Stopping);
    assert_eq!(refused(Purpose::SubscribeLesson, PAGE, as_it_is).await, Refused::Stopping);
}

#[tokio::test]
async fn a_patch_names_the_session_that_it_is_for() {
    let server = Server::start();
    let lesson = LessonId::random();
    let _teacher = teacher(&server, lesson).await;
    let classroom = classroom(&server, lesson, 1).await;
    let patch = |lesson, if_match: Option<&str>, fragment: &str| {
        let patch = Patch { if_match: if_match.map(str::to_owned), fragment: fragment.to_owned() };
        server.workers.patch(lesson, classroom.connected.connection, patch)
    };
    let (candidate, end) = ("a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n", "a=end-of-candidates\r\n");
    let etag = format!("\"{}\"", classroom.connected.etag);
    assert_eq!(patch(lesson, None, candidate).await, Err(Refused::MissingEtag));
    assert_eq!(patch(lesson, Some("\"of-yesterday\""), candidate).await, Err(Refused::StaleEtag));
    assert_eq!(patch(LessonId::random(), Some(&etag), candidate).await, Err(Refused::NoSuchConnection));
    assert!(matches!(patch(lesson, Some(&etag), "v=0\r\n").await, Err(Refused::BadFragment(_))));
    assert_eq!(patch(lesson, Some(&etag), candidate).await, Ok(Patched::Trickled));
    assert_eq!(patch(lesson, Some(&etag), end).await, Ok(Patched::Trickled));
    assert!(matches!(patch(lesson, Some("*"), end).await, Err(Refused::BadFragment(_))), "no new credentials");

    let offer = classroom.ask(|client, now| client.offer(now, true));
    let credentials: String = offer
        .lines()
        .filter(|line| line.starts_with("a=ice-"))
        .take(2)
        .fold(String::new(), |text, line| text + line + "\r\n");
    let Ok(Patched::Restarted { fragment, etag: fresh }) = patch(lesson, Some("*"), &credentials).await else {
        panic!("the restart was refused")
    };
    assert_eq!(patch(lesson, Some(&etag), end).await, Err(Refused::StaleEtag));
    assert_eq!(patch(lesson, Some(&format!("\"{fresh}\"")), end).await, Ok(Patched::Trickled));
    let value = |text: &str, key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)).expect("the fragment has it").to_owned()
    };
    let mut answer = classroom.connected.answer.clone();
    for key in ["a=ice-ufrag:", "a=ice-pwd:"] {
        answer = answer.replace(&value(&answer, key), &value(&fragment, key));
    }
    classroom.ask(|client, now| client.answered(now, answer));
    classroom.hears(TEACHER).await;
}

#[tokio::test]
async fn media_from_who_only_receives_goes_nowhere() {
    let server = Server::start();
    let lesson = LessonId::random();
    // It offers to send as well, and the answer says that it may not.
    let intruder = request(lesson, End::Studio, 0, Purpose::SubscribeSource(source("camera")));
    let mut intruder = Participant::arrive(&server, intruder, HOST, 66).await;
    let classroom = classroom(&server, lesson, 0).await;
    intruder.on_air();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((server.publications(intruder.id).len(), classroom.from(66)), (0, 0));
    let _teacher = teacher(&server, lesson).await;
    classroom.hears(TEACHER).await;
    intruder.hears(TEACHER).await;
    assert_eq!(classroom.from(66), 0);
}
