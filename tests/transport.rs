//! A client of another make against our end of ICE, DTLS and SRTP, on simulated time.

#[expect(dead_code, reason = "tests/media_path.rs uses the rest")]
#[path = "wire/client.rs"]
mod client;
#[path = "wire/line.rs"]
mod line;
#[path = "wire/record.rs"]
mod record;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mingshi::transport::ice::CONSENT_TIMEOUT;
use mingshi::transport::peer::{CONNECT_TIMEOUT, Error};
use mingshi::transport::srtp::Profile;
use mingshi::transport::{Event, Received};

use client::{CHROMIUM, Offered, Way};
use line::{Dice, Direction, Line, Scene, Weather, address};

const SECOND: Duration = Duration::from_secs(1);
/// First octet of a DTLS handshake record (RFC 6347 §4.1).
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
/// The last attribute of a check, which is no part of what authenticates it (RFC 8489 §14.7).
const FINGERPRINT: usize = 8;

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
    for flight in 1..=2 {
        let mut line = Scene::default().set();
        let flights = |line: &Line| line.seen.iter().filter(|bytes| bytes[0] == HANDSHAKE).count();
        while flights(&line) < flight {
            line.run(Duration::from_millis(1));
        }
        assert_eq!(line.events, [], "the break comes in the middle of it");
        line.weather = Weather { lost: 1_000, ..line::FAIR };
        line.run(6 * SECOND);
        line.weather = line::FAIR;
        line.run(4 * SECOND);
        assert_eq!(line.event(), Some(Event::Connected), "after flight {flight}");
    }
}

/// Browsers repeat a hello within 50 ms. That must not keep the server from repeating what the hello was answered with.
#[test]
fn a_lost_answer_is_repeated_to_a_client_that_repeats_its_hello() {
    for lost in 0..3 {
        let mut line = Scene::default().set();
        let mut answers = 0;
        line.middlebox = Some(Box::new(move |direction, bytes| match direction {
            Direction::ToServer if record::is_hello(&bytes) => {
                (0..3).map(|copy| record::numbered(&bytes, copy)).collect()
            }
            Direction::ToServer => vec![record::numbered(&bytes, 0)],
            Direction::ToClient => {
                answers += usize::from(bytes[0] == HANDSHAKE);
                if bytes[0] == HANDSHAKE && answers == lost + 1 { Vec::new() } else { vec![bytes] }
            }
        }));
        line.run(3 * SECOND);
        assert_eq!(line.event(), Some(Event::Connected), "answer {lost} was lost");
        assert!(line.client.is_connected());
    }
}

#[test]
fn a_hello_in_pieces_is_put_together() {
    for (size, weather) in
        [(64, line::FAIR), (100, line::FAIR), (100, Weather { lost: 0, doubled: 300, late: Duration::from_millis(60) })]
    {
        let mut line = Scene { weather, seed: size as u64, ..Scene::default() }.set();
        line.middlebox = Some(Box::new(move |direction, bytes| match direction {
            Direction::ToServer if record::is_hello(&bytes) => record::in_pieces(&bytes, size),
            Direction::ToServer => vec![record::numbered(&bytes, 0)],
            Direction::ToClient => vec![bytes],
        }));
        line.run(20 * SECOND);
        assert_eq!(line.event(), Some(Event::Connected), "pieces of {size}: {:?}", line.errors);
        assert_eq!(line.peer.profile(), Some(Profile::AeadAes128Gcm));
    }
}

#[test]
fn a_client_that_says_goodbye_is_gone_at_once() {
    let mut line = Scene::default().connected();
    line.client.close();
    line.run(SECOND);
    assert_eq!(line.event(), Some(Event::Closed));
}

#[test]
fn our_goodbye_is_understood() {
    let mut line = Scene::default().connected();
    line.peer.close(line.now);
    line.run(SECOND);
    assert!(line.seen.iter().any(|bytes| bytes[0] == ALERT), "the client says goodbye in its turn");
    assert_eq!(line.events, [], "the end is no news to who asked for it");
}

/// A school's router forgets a mapping: the same client comes from another port.
#[test]
fn media_follows_a_client_whose_address_changes() {
    let mut line = Scene { way: Way::Subscribe, ..Scene::default() }.connected();
    for (number, moved) in ["203.0.113.7:61999", "198.18.0.4:500", "[2001:db8::9]:700"].into_iter().enumerate() {
        line.public = address(moved);
        let mut patience = 100;
        while !line.is_at(line.public) {
            line.run(SECOND / 10);
            patience -= 1;
            assert!(patience > 0, "media still goes to {:?}", line.peer.remote());
        }
        let received = line.client.received.len();
        for index in 0..10 {
            line.send_to_client(number as u16 * 10 + index);
        }
        line.run(SECOND);
        assert_eq!(line.client.received.len(), received + 10);
        assert!(line.client.is_connected());
    }
    let handshakes = line.seen.iter().filter(|bytes| bytes[0] == HANDSHAKE).count();
    line.run(60 * SECOND);
    assert_eq!(line.events, [], "the connection lives on");
    assert_eq!(line.seen.iter().filter(|bytes| bytes[0] == HANDSHAKE).count(), handshakes, "and so does DTLS");
}

/// The same, and the client's next check is seconds away.
#[test]
fn media_from_a_port_that_no_check_came_from_is_taken_from_its_peer_only() {
    let connected = || {
        let mut line = Scene::default().connected();
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&kept);
        line.middlebox = Some(Box::new(move |direction, bytes| {
            if direction == Direction::ToServer && (128..192).contains(&bytes[0]) {
                keep.borrow_mut().push(bytes);
                return Vec::new();
            }
            vec![bytes]
        }));
        (line, kept)
    };
    let (mut line, kept) = connected();
    let moved = address("203.0.113.7:61999");
    speak(&mut line, 0..1);
    let first = kept.borrow()[0].clone();
    assert_eq!(line.peer.receive_moved(line.now, moved, &first), None, "a stream of which nothing came before");
    line.inject(line.public, &first);
    speak(&mut line, 1..4);
    let [.., packet, next] = &kept.borrow()[..] else { panic!("they were kept") };
    let mut forged = packet.clone();
    *forged.last_mut().expect("it has a seal") ^= 1;
    assert_eq!(line.peer.receive_moved(line.now, moved, &forged), None);
    let (mut other, _) = connected();
    assert_eq!(other.peer.receive_moved(other.now, moved, packet), None, "it is another client's");
    assert!(!line.peer.knows(moved) && !other.peer.knows(moved));
    assert!(matches!(line.peer.receive_moved(line.now, moved, packet), Some(Received::Rtp(_))));
    assert_eq!(line.peer.receive_moved(line.now, moved, packet), None, "it came before");
    assert!(line.peer.knows(moved) && line.peer.remote() == Some(line.public.into()), "that is to be proved first");
    assert!(matches!(line.peer.receive(line.now, moved, next), Ok(Received::Rtp(_))), "now it is known");
    for nonsense in [&[][..], &[128], &[129, 200, 0, 1, 9], &[128; 12]] {
        assert_eq!(line.peer.receive_moved(line.now, moved, nonsense), None);
    }
}

#[test]
fn media_is_sent_all_through_an_ice_restart() {
    let mut line = Scene { way: Way::Subscribe, ..Scene::default() }.connected();
    let mut sent = 0;
    let mut play = |line: &mut Line, count: u16| {
        for _ in 0..count {
            // This fails when there is no address to send to.
            line.send_to_client(sent);
            sent += 1;
            line.run(Duration::from_millis(20));
        }
    };
    play(&mut line, 20);
    line.restart(Way::Subscribe);
    // The answer takes a second to reach the client.
    play(&mut line, 50);
    let answer = line.agreed.answer.clone();
    line.client.answered(line.now, answer);
    play(&mut line, 50);
    let received = line.client.received.len();
    play(&mut line, 100);
    line.run(SECOND);
    assert_eq!(line.client.received.len(), received + 100);
    line.run(60 * SECOND);
    assert_eq!(line.events, [], "the new session's checks keep it alive");
    assert!(line.client.is_connected());
}

/// Whoever sends from an address that isn't its own must not make us send there.
#[test]
fn nothing_goes_to_an_address_that_sent_no_authenticated_check() {
    let mut line = Scene::default().set();
    let stranger = address("192.0.2.66:53");
    line.run(3 * SECOND);
    let recorded = line.seen.clone();
    assert!(recorded.len() > 5);
    for bytes in &recorded {
        // What passed as it was is authentic wherever it comes from; its own address is not in question here.
        let mut forged = bytes.clone();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        if bytes[0] <= 3 {
            // Also past the fingerprint, at the integrity.
            forged[last - 8] ^= 1;
        }
        line.inject(stranger, &forged);
        line.run(SECOND / 100);
    }
    for bytes in recorded.iter().filter(|bytes| bytes[0] > 3) {
        line.inject(stranger, bytes);
    }
    line.run(5 * SECOND);
    assert_eq!(line.destinations.iter().copied().collect::<Vec<_>>(), [line.public]);
    assert_eq!(line.event(), Some(Event::Connected));
    assert_eq!(line.events, []);
}

#[test]
fn garbage_neither_ends_a_connection_nor_gets_through() {
    let mut line = Scene::default().connected();
    speak(&mut line, 0..50);
    let recorded = line.seen.clone();
    let mut dice = Dice::new(7);
    let stranger = address("192.0.2.66:53");
    for round in 0..20_000 {
        let mut bytes = if round % 2 == 0 {
            recorded[dice.roll(recorded.len() as u64) as usize].clone()
        } else {
            (0..dice.roll(200)).map(|_| dice.roll(256) as u8).collect()
        };
        for _ in 0..=dice.roll(4) {
            match (dice.roll(4), bytes.len() as u64) {
                (_, 0) => {}
                (0, length) => bytes.truncate(dice.roll(length) as usize),
                (1, _) => bytes.push(dice.roll(256) as u8),
                (_, length) => bytes[dice.roll(length) as usize] = dice.roll(256) as u8,
            }
        }
        let authentic = |one: &Vec<u8>| {
            one[0] > 3 && *one == bytes || one[0] <= 3 && bytes.starts_with(&one[..one.len() - FINGERPRINT])
        };
        if !recorded.iter().any(authentic) {
            let from = if dice.roll(2) == 0 { line.public } else { stranger };
            line.inject(from, &bytes);
        }
    }
    for datagram in record::plaintext_alerts() {
        line.inject(line.public, &datagram);
    }
    line.run(SECOND);
    assert_eq!(line.events, []);
    assert_eq!(line.media.len(), 50, "no forgery was taken for media");
    speak(&mut line, 50..60);
    assert_eq!(line.media.len(), 60);
    assert!(!line.destinations.contains(&stranger));
}

#[test]
fn garbage_before_the_hello_does_not_keep_it_out() {
    let mut line = Scene::default().set();
    while !line.peer.knows(line.public) {
        line.run(Duration::from_millis(1));
    }
    let mut dice = Dice::new(11);
    for _ in 0..1_000 {
        let mut bytes: Vec<u8> = (0..dice.roll(200)).map(|_| dice.roll(256) as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = HANDSHAKE;
        }
        line.inject(line.public, &bytes);
    }
    line.run(10 * SECOND);
    assert_eq!(line.event(), Some(Event::Connected), "{:?}", line.errors.last());
}

/// Whoever may check may also say hello, and the rest of a handshake message in as many pieces as it likes.
#[test]
fn a_message_in_tens_of_thousands_of_pieces_exhausts_nothing() {
    for beginning in 1..=2 {
        let mut line = Scene::default().set();
        while line.seen.iter().filter(|bytes| bytes[0] == HANDSHAKE).count() < beginning
            || !line.peer.knows(line.public)
        {
            line.run(Duration::from_millis(1));
        }
        for datagram in record::crumbs(beginning as u16, 60_000) {
            line.inject(line.public, &datagram);
        }
        line.run(10 * SECOND);
        assert_eq!(line.event(), Some(Event::Connected), "the crumbs were not let in: {:?}", line.errors.last());
    }
}
