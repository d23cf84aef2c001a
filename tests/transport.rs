//! A client of another make against our end of ICE, DTLS and SRTP, on simulated time.

#[path = "wire/client.rs"]
mod client;
#[path = "wire/line.rs"]
mod line;

use std::time::Duration;

use mingshi::transport::Event;
use mingshi::transport::ice::CONSENT_TIMEOUT;
use mingshi::transport::peer::{CONNECT_TIMEOUT, Error};
use mingshi::transport::srtp::Profile;

use client::{CHROMIUM, Offered, Way};
use line::{Dice, Direction, Line, Scene, Weather, address};

const SECOND: Duration = Duration::from_secs(1);

/// Sends packets `from..to` of the voice, 20 ms apart.
fn speak(line: &mut Line, numbers: std::ops::Range<u16>) {
    for number in numbers {
        line.client.send(line.now, 0, number, u32::from(number) * 960, &[number as u8; 60]);
        line.run(Duration::from_millis(20));
    }
    line.run(SECOND / 10);
}

#[test]
fn gcm_is_chosen_where_it_is_offered_and_counter_mode_where_not() {
    for (profiles, chosen) in [
        (CHROMIUM.to_vec(), Profile::AeadAes128Gcm),
        (vec![Offered::Srtp_Aead_Aes_128_Gcm], Profile::AeadAes128Gcm),
        (vec![Offered::Srtp_Aes128_Cm_Hmac_Sha1_80], Profile::Aes128CmHmacSha1_80),
    ] {
        let line = Scene { profiles, ..Scene::default() }.connected();
        assert_eq!(line.peer.profile(), Some(chosen));
    }
}

#[test]
fn a_certificate_that_the_offer_did_not_announce_never_comes_up() {
    let tampered = |offer: String| {
        let at = offer.find("a=fingerprint:sha-256 ").expect("has one") + "a=fingerprint:sha-256 ".len();
        let other = if offer[at..].starts_with("00") { "01" } else { "00" };
        format!("{}{other}{}", &offer[..at], &offer[at + 2..])
    };
    let mut line = Scene { tampered, ..Scene::default() }.set();
    line.run(CONNECT_TIMEOUT + SECOND);
    assert_eq!(line.event(), Some(Event::Closed));
    assert!(line.events.is_empty() && line.peer.sealer().is_none());
    assert!(!line.client.is_connected());
}

#[test]
fn a_line_that_loses_a_fifth_and_delivers_late_and_twice_still_comes_up() {
    for seed in 0..40 {
        let weather = Weather { lost: 200, doubled: 100, late: Duration::from_millis(60) };
        let mut line = Scene { seed, weather, ..Scene::default() }.set();
        line.run(CONNECT_TIMEOUT - SECOND);
        assert_eq!(line.event(), Some(Event::Connected), "seed {seed}: {:?}", line.errors);
        assert!(line.client.is_connected(), "seed {seed}");
    }
}

#[test]
fn media_goes_up_and_replays_and_forgeries_do_not() {
    for profile in CHROMIUM {
        let mut line = Scene { profiles: vec![profile], ..Scene::default() }.connected();
        speak(&mut line, 65_500..65_535);
        speak(&mut line, 0..50);
        assert_eq!(line.media.len(), 85, "every packet, over the wrap");
        let payloads: Vec<u8> = line.media.iter().map(|packet| *packet.last().expect("has a payload")).collect();
        assert!(payloads.iter().copied().eq((65_500..65_535u16).chain(0..50).map(|number| number as u8)));

        let heard = line.media.len();
        let sealed: Vec<_> = line.seen.iter().filter(|bytes| (128..192).contains(&bytes[0])).cloned().collect();
        assert!(sealed.len() >= 85);
        line.errors.clear();
        for packet in &sealed {
            line.inject(line.public, packet);
            let mut forged = packet.clone();
            // A number that was not used yet, so that nothing but the seal can give it away.
            forged[2..4].copy_from_slice(&1_000u16.to_be_bytes());
            line.inject(line.public, &forged);
        }
        assert_eq!(line.errors.len(), sealed.len() * 2);
        assert!(line.errors.iter().all(|error| matches!(error, Error::Srtp(_))));
        assert_eq!(line.media.len(), heard);
        speak(&mut line, 50..60);
        assert_eq!(line.media.len(), heard + 10, "the connection goes on");
    }
}

#[test]
fn media_goes_down_and_is_opened() {
    for profile in CHROMIUM {
        let mut line = Scene { profiles: vec![profile], way: Way::Subscribe, ..Scene::default() }.connected();
        let mut sent = Vec::new();
        for index in 0..100 {
            sent.push(line.send_to_client(index));
            line.run(Duration::from_millis(20));
        }
        line.run(SECOND);
        let received: Vec<_> = line.client.received.iter().map(|packet| packet.payload.to_vec()).collect();
        assert_eq!(received, sent.iter().map(|packet| packet[12..].to_vec()).collect::<Vec<_>>());
    }
}

#[test]
fn a_client_that_falls_silent_is_gone_after_twenty_seconds_and_not_before() {
    let mut line = Scene::default().connected();
    line.run(60 * SECOND);
    assert_eq!(line.events, [], "a client that is there stays");
    line.weather.lost = 1_000;
    let silent = line.now;
    line.run(CONSENT_TIMEOUT - 4 * SECOND);
    assert_eq!(line.events, [], "its last check may have come four seconds ago");
    line.run(10 * SECOND);
    let [(at, Event::Expired)] = line.events[..] else { panic!("{:?}", line.events) };
    assert!(at - silent <= CONSENT_TIMEOUT, "{:?}", at - silent);
    line.weather.lost = 0;
    speak(&mut line, 0..5);
    assert!(line.media.is_empty(), "what is over stays over");
    assert_eq!(line.peer.poll_timeout(), None);
}

#[test]
fn a_client_that_never_comes_is_given_up() {
    let mut line = Scene::default().set();
    line.weather.lost = 1_000;
    line.run(CONNECT_TIMEOUT - SECOND);
    assert_eq!(line.events, []);
    line.run(2 * SECOND);
    assert_eq!(line.event(), Some(Event::NeverConnected));
    assert!(line.destinations.is_empty());
}

#[test]
fn a_break_of_six_seconds_in_the_handshake_only_delays_it() {
    let mut line = Scene::default().set();
    // Long enough for a hello and for the answer to it to be on their way.
    line.run(Duration::from_millis(180));
    assert_eq!(line.events, [], "the break comes in the middle of it");
    assert!(line.seen.iter().any(|bytes| bytes[0] == 22), "the handshake had begun");
    let weather = std::mem::replace(&mut line.weather, Weather { lost: 1_000, ..line::FAIR });
    line.run(6 * SECOND);
    line.weather = weather;
    line.run(4 * SECOND);
    assert_eq!(line.event(), Some(Event::Connected));
}

/// Browsers repeat a hello within 50 ms. That must not keep the server from repeating what the hello was answered with.
#[test]
fn a_lost_answer_is_repeated_to_a_client_that_repeats_its_hello() {
    let mut line = Scene::default().set();
    let (mut hello, mut answers) = (Vec::new(), 0);
    line.middlebox = Some(Box::new(move |direction, bytes| {
        let handshake = bytes[0] == 22;
        match direction {
            Direction::ToServer if handshake => {
                hello.clone_from(&bytes);
                vec![bytes]
            }
            // The first two flights of the server with its certificate are lost; the client's hello comes again.
            Direction::ToClient if handshake && bytes.len() > 200 && answers < 2 => {
                answers += 1;
                Vec::new()
            }
            _ => vec![bytes],
        }
    }));
    line.run(Duration::from_millis(300));
    let hello = line.seen.iter().rev().find(|bytes| bytes[0] == 22).cloned().expect("a hello");
    let from = line.public;
    for repeat in 1..20u8 {
        let mut repeated = hello.clone();
        // The same message in a new record (RFC 6347 §4.2.4).
        repeated[9] = repeat;
        line.inject(from, &repeated);
        line.run(Duration::from_millis(50));
    }
    line.run(2 * SECOND);
    assert_eq!(line.event(), Some(Event::Connected));
}
