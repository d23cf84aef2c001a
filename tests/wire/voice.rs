//! Voices to receivers that read no redundancy, by the datagrams that reach them.

use std::time::Duration;

use mingshi::id::LessonId;
use mingshi::worker::mailbox::{End, Purpose};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};

use super::carrier::Carrier;
use super::client::{Kind, OPUS, Way};
use super::participant::Participant;
use super::server::{Server, request, until};
use super::{A_WHILE, teacher};

const LISTENER: (Way, &[Kind]) = (Way::Subscribe, &[Kind::Voice]);
/// Where the sequence number and the stream stand in a packet (RFC 3550 §5.1).
const NUMBER: std::ops::Range<usize> = 2..4;
const STREAM: std::ops::Range<usize> = 8..12;

/// The sealed packets of the voice so far, each with its number.
fn voice(listener: &Participant) -> Vec<(u16, Vec<u8>)> {
    let number = |datagram: &[u8]| u16::from_be_bytes([datagram[NUMBER][0], datagram[NUMBER][1]]);
    let datagrams = listener.ask(|client, _| client.datagrams.clone());
    let voices = datagrams.into_iter().filter(|datagram| datagram[1] & 0x7f == OPUS);
    voices.map(|datagram| (number(&datagram), datagram)).collect()
}

#[tokio::test]
async fn a_voice_leaves_twice_for_who_can_neither_ask_nor_read_redundancy() {
    let server = Server::start();
    let lesson = LessonId::random();
    let _teacher = teacher(&server, lesson).await;
    let request = request(lesson, End::Classroom, 0, Purpose::SubscribeLesson);
    let listener = Participant::arrive(&server, request, LISTENER, 0).await;
    until("a second of voice", || voice(&listener).len() > 100).await;
    let came = voice(&listener);
    for (number, first) in &came[10..60] {
        let copies: Vec<usize> = (0..came.len()).filter(|&at| came[at].0 == *number).collect();
        let [one, two] = copies[..] else { panic!("{number} came {} times", copies.len()) };
        assert!(came[one].1 == *first && came[two].1 == *first, "every octet is the same");
        assert!((1..=3).contains(&(two - one)), "behind the next packet: {one} and {two}");
    }
}

#[tokio::test]
async fn who_asks_for_a_voice_gets_the_very_datagram_again() {
    let server = Server::start();
    let lesson = LessonId::random();
    let _teacher = teacher(&server, lesson).await;
    let request = request(lesson, End::Classroom, 0, Purpose::SubscribeLesson);
    let asking = |offer: String| offer.replace("a=rtpmap:111 ", "a=rtcp-fb:111 nack\r\na=rtpmap:111 ");
    let with = (Carrier::udp(request.address).await, asking as fn(String) -> String);
    let listener = Participant::join_offering(&server, request, LISTENER, 0, with).await.expect("it is welcome");
    assert!(listener.connected.answer.contains("a=rtcp-fb:111 nack\r\n"), "{}", listener.connected.answer);
    until("a second of voice", || voice(&listener).len() > 50).await;
    let came = voice(&listener);
    assert!(came.windows(2).all(|pair| pair[1].0 == pair[0].0.wrapping_add(1)), "nothing unasked");
    let (number, sealed) = came[came.len() - 5].clone();
    let stream = sealed[STREAM].try_into().expect("four octets");
    let ask = || {
        let nack = TransportLayerNack {
            sender_ssrc: 1,
            media_ssrc: u32::from_be_bytes(stream),
            nacks: vec![NackPair { packet_id: number, lost_packets: 0 }],
        };
        listener.ask(|client, now| client.send_rtcp(now, vec![Box::new(nack)]));
    };
    let copies = || voice(&listener).into_iter().filter(|(one, _)| *one == number).collect::<Vec<_>>();
    // The second request crosses the answer to the first.
    ask();
    ask();
    until("it comes again", || copies().len() > 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(copies(), [(number, sealed.clone()), (number, sealed)]);
    for _ in 0..10 {
        ask();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tokio::time::sleep(A_WHILE).await;
    assert!((3..=5).contains(&copies().len()), "{} copies of one packet", copies().len());
}
