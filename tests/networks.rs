//! Whatever network a school has: streams where datagrams don't get through, other addresses in mid-lesson, slow lines.

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

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mingshi::id::LessonId;
use mingshi::worker::mailbox::{Connect, End, Purpose};

use carrier::Carrier;
use client::{Kind, OPUS, VP8, Way};
use participant::{Participant, is_keyframe};
use server::{LOOPBACK, Server, request, until};

const TEACHER: u8 = 1;
const STUDIO: (Way, &[Kind]) = (Way::Publish, &[Kind::Voice, Kind::Video, Kind::Video]);
const PAGE: (Way, &[Kind]) = (Way::Subscribe, &[Kind::Voice, Kind::Voice, Kind::Video, Kind::Video, Kind::Video]);

fn awake() -> Arc<AtomicBool> {
    Arc::default()
}

async fn arrive_over(
    server: &Server,
    request: Connect,
    media: (Way, &[Kind]),
    tag: u8,
    carrier: Carrier,
) -> Participant {
    let participant = Participant::join_over(server, request, media, tag, carrier).await.expect("it is welcome");
    until("the client is connected", || participant.ask(|client, _| client.is_connected())).await;
    participant
}

async fn classroom_over(server: &Server, lesson: LessonId, carrier: Carrier) -> Participant {
    let request = request(lesson, End::Classroom, 1, Purpose::SubscribeLesson);
    arrive_over(server, request, PAGE, 0, carrier).await
}

async fn teacher_over(server: &Server, lesson: LessonId, carrier: Carrier) -> Participant {
    let request = request(lesson, End::Studio, 0, Purpose::PublishStudio);
    let mut teacher = arrive_over(server, request, STUDIO, TEACHER, carrier).await;
    teacher.on_air();
    teacher
}

/// Numbers of the packets of one payload type, stream by stream.
fn gaps(classroom: &Participant, payload_type: u8) -> usize {
    let mut streams = std::collections::BTreeMap::<u32, Vec<u16>>::new();
    for packet in classroom.ask(|client, _| client.received.clone()) {
        if packet.header.payload_type == payload_type {
            streams.entry(packet.header.ssrc).or_default().push(packet.header.sequence_number);
        }
    }
    let follows = |pair: &[u16]| pair[1].wrapping_sub(pair[0]) == 1;
    streams.values().map(|numbers| numbers.windows(2).filter(|pair| !follows(pair)).count()).sum()
}

#[tokio::test]
async fn a_lesson_goes_over_tcp_both_ways_on_ipv4_and_ipv6() {
    for address in [LOOPBACK, IpAddr::from(std::net::Ipv6Addr::LOCALHOST)] {
        let server = Server::at(address, 100, 4_096, Duration::ZERO);
        let lesson = LessonId::random();
        let teacher = teacher_over(&server, lesson, Carrier::tcp(&server, address, awake()).await).await;
        let mut classrooms = vec![classroom_over(&server, lesson, Carrier::udp(address).await).await];
        for _ in 0..3 {
            let carrier = Carrier::tcp(&server, address, awake()).await;
            classrooms.push(classroom_over(&server, lesson, carrier).await);
        }
        assert_eq!(server.publications(teacher.id).len(), 3);
        for classroom in &classrooms {
            until("a second of voice", || classroom.count(Kind::Voice, TEACHER) > 50).await;
            until("as much video", || classroom.count(Kind::Video, TEACHER) > 50).await;
            assert_eq!((gaps(classroom, OPUS), gaps(classroom, VP8)), (0, 0));
        }
        assert!(teacher.connected.answer.contains(&format!(" {address} ")), "{}", teacher.connected.answer);
    }
}

#[tokio::test]
async fn a_client_goes_from_udp_to_tcp_and_back_in_mid_lesson() {
    let server = Server::start();
    let lesson = LessonId::random();
    let teacher = teacher_over(&server, lesson, Carrier::udp(LOOPBACK).await).await;
    let classroom = classroom_over(&server, lesson, Carrier::udp(LOOPBACK).await).await;
    classroom.hears(TEACHER).await;
    for over_tcp in [true, false, true] {
        for participant in [&classroom, &teacher] {
            let carrier = match over_tcp {
                true => Carrier::tcp(&server, LOOPBACK, awake()).await,
                false => Carrier::udp(LOOPBACK).await,
            };
            participant.travel_by(carrier).await;
            // The old way is gone with its socket: what comes comes over the new one.
            classroom.forget();
            until("the lesson goes on", || classroom.from(TEACHER) > 150).await;
        }
    }
    assert!(!server.is_down(teacher.connected.connection) && !server.is_down(classroom.connected.connection));
}

/// A school's router forgets its mapping: the same client comes from another port.
#[tokio::test]
async fn many_clients_of_one_address_change_their_ports_and_are_told_apart() {
    let server = Server::start();
    let lesson = LessonId::random();
    let _teacher = teacher_over(&server, lesson, Carrier::udp(LOOPBACK).await).await;
    let mut classrooms = Vec::new();
    for number in 0..40 {
        let carrier = match number % 2 {
            0 => Carrier::udp(LOOPBACK).await,
            _ => Carrier::tcp(&server, LOOPBACK, awake()).await,
        };
        classrooms.push(classroom_over(&server, lesson, carrier).await);
    }
    for classroom in &classrooms {
        classroom.hears(TEACHER).await;
    }
    for classroom in &classrooms {
        classroom.travel_by(Carrier::udp(LOOPBACK).await).await;
        classroom.forget();
    }
    for classroom in &classrooms {
        until("it is found again", || classroom.from(TEACHER) > 100).await;
    }
}

#[tokio::test]
async fn on_a_stream_that_is_read_too_slowly_voice_stays_whole_and_pictures_begin_anew() {
    let server = Server::start();
    let lesson = LessonId::random();
    let teacher = teacher_over(&server, lesson, Carrier::udp(LOOPBACK).await).await;
    teacher.ask(|client, _| {
        client.disguise(Some(Box::new(|packet| {
            if packet.header.payload_type == VP8 {
                let mut payload = packet.payload.to_vec();
                let tag = payload.last().copied().unwrap_or_default();
                payload.resize(1_100, tag);
                packet.payload = payload.into();
            }
        })));
    });
    let asleep = awake();
    let carrier = Carrier::tcp(&server, LOOPBACK, Arc::clone(&asleep)).await;
    let classroom = classroom_over(&server, lesson, carrier).await;
    until("pictures and voice", || {
        classroom.count(Kind::Video, TEACHER) > 50 && classroom.count(Kind::Voice, TEACHER) > 50
    })
    .await;
    assert_eq!((gaps(&classroom, OPUS), gaps(&classroom, VP8)), (0, 0));
    asleep.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(4)).await;
    asleep.store(false, Ordering::Relaxed);
    let voices = classroom.count(Kind::Voice, TEACHER);
    until("four seconds of voice that had waited", || classroom.count(Kind::Voice, TEACHER) > voices + 150).await;
    until("pictures again, after a gap", || gaps(&classroom, VP8) > 0).await;
    assert_eq!(gaps(&classroom, OPUS), 0, "no voice was dropped");
    classroom.forget();
    until("pictures flow", || classroom.count(Kind::Video, TEACHER) > 50).await;
    let mut pictures = classroom.received().remove(&(VP8, TEACHER)).unwrap_or_default();
    let keyframe = pictures.iter().position(is_keyframe);
    if keyframe.is_none() {
        // It came before what was forgotten.
        pictures = classroom.ask(|client, _| client.received.clone());
    }
    assert!(!pictures.is_empty());
    assert!(!server.is_down(classroom.connected.connection));
}
