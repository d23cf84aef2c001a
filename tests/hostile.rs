//! Who has no good intentions: recordings played again, and addresses of others that are made to receive.

#[expect(dead_code, reason = "tests/media_path.rs uses the rest")]
#[path = "wire/client.rs"]
mod client;
#[expect(dead_code, reason = "tests/transport.rs uses the rest")]
#[path = "wire/line.rs"]
mod line;
#[expect(dead_code, reason = "tests/transport.rs uses the rest")]
#[path = "wire/record.rs"]
mod record;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mingshi::transport::peer::{CONNECT_TIMEOUT, Error};
use mingshi::transport::sdp::{Fingerprint, Remote};
use mingshi::transport::srtp::{MAX_OVERHEAD, Opener, Profile, Sealer};
use mingshi::transport::{Credentials, Identity, Peer};

use line::{Direction, Line, Scene, address};

const PROFILES: [(Profile, usize); 2] = [(Profile::AeadAes128Gcm, 12), (Profile::Aes128CmHmacSha1_80, 14)];
/// What a line may hold back and still deliver.
const WINDOW: u64 = 2_048;
/// Whoever made an address receive, the server sends it no more than so many times what came from there.
const AMPLIFICATION: usize = 3;
const VOICE: u32 = 0x1111_1111;
const RETRANSMISSIONS: u32 = 0x2222_2222;

fn keys((profile, salt): (Profile, usize)) -> (Sealer, Opener) {
    let identity = Identity::generate().expect("the machine has randomness");
    let (key, salt) = ([7; 16], vec![9; salt]);
    (Sealer::new(profile, &key, &salt).expect("fits"), Opener::new(profile, &key, &salt, &identity).expect("fits"))
}

fn sealed_rtp(sealer: &Sealer, ssrc: u32, index: u64) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend((index as u16).to_be_bytes());
    packet.extend((index as u32).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([index as u8; 40]);
    let length = packet.len();
    packet.resize(length + MAX_OVERHEAD, 0);
    let sealed = sealer.seal_rtp(&mut packet, 12, length, index).expect("has room");
    packet.truncate(sealed);
    packet
}

#[test]
fn a_late_packet_opens_once_within_the_window_and_never_beyond_it() {
    for profile in PROFILES {
        let (sealer, mut opener) = keys(profile);
        // Over the wrap of the sequence number, so that late packets belong to the rollover before.
        let (first, last) = (65_536 - 1_500, 65_536 + 1_500);
        for ssrc in [VOICE, RETRANSMISSIONS] {
            let packets: Vec<Vec<u8>> = (first..=last).map(|index| sealed_rtp(&sealer, ssrc, index)).collect();
            let at = |index: u64| &packets[(index - first) as usize];
            // Every third is held back; the receiver sees the wrap without them.
            for index in (first..=last).filter(|index| index % 3 != 0) {
                opener.open_rtp(at(index)).expect("it is new");
            }
            for index in (first..=last).rev().filter(|index| index % 3 == 0 && last - index < WINDOW) {
                opener.open_rtp(at(index)).expect("it is late, and new");
            }
            for index in first..=last {
                let in_window = last - index < WINDOW;
                let again = opener.open_rtp(at(index));
                assert!(again.is_err(), "{:?} {ssrc:x} {index}: a replay, in the window: {in_window}", profile.0);
            }
            opener.open_rtp(&sealed_rtp(&sealer, ssrc, last + 1)).expect("the stream goes on");
        }
    }
}

#[test]
fn a_late_compound_opens_once_within_the_window_and_never_beyond_it() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = keys(profile);
        let mut compounds = Vec::new();
        for _ in 0..4_000 {
            let mut compound = vec![0x80, 201, 0, 1, 0, 0, 0, 5];
            sealer.seal_rtcp(&mut compound).expect("has a header");
            compounds.push(compound);
        }
        let last = compounds.len() - 1;
        for (at, compound) in compounds.iter().enumerate().filter(|(at, _)| at % 3 != 0) {
            opener.open_rtcp(compound).unwrap_or_else(|error| panic!("{at} is new: {error}"));
        }
        for (at, compound) in compounds.iter().enumerate().rev() {
            if at % 3 == 0 && ((last - at) as u64) < WINDOW {
                opener.open_rtcp(compound).unwrap_or_else(|error| panic!("{at} is late, and new: {error}"));
            }
            assert!(opener.open_rtcp(compound).is_err(), "{at} is a replay");
        }
    }
}

#[test]
fn a_recording_played_again_from_anywhere_is_nothing() {
    let mut line = Scene::default().connected();
    for number in 0..50u16 {
        line.client.send(line.now, 0, number, u32::from(number) * 960, &[number as u8; 60]);
        line.run(Duration::from_millis(20));
    }
    line.run(Duration::from_secs(1));
    let (media, at) = (line.media.len(), line.peer.remote());
    assert_eq!(media, 50);
    let recorded = line.seen.clone();
    // From where it came, from where nobody is known, and from there again behind every recorded check.
    for from in [line.public, address("203.0.113.66:6"), address("203.0.113.66:6")] {
        recorded.iter().for_each(|datagram| line.inject(from, datagram));
        line.run(Duration::from_secs(1));
    }
    assert_eq!(line.media.len(), media, "no packet is taken twice");
    assert_eq!(line.peer.remote(), at, "media stays where it was");
    assert_eq!(line.destinations.iter().filter(|to| **to != line.public).count(), 0, "nobody else is sent anything");
    let refused = line.errors.iter().filter(|error| matches!(error, Error::Srtp(_) | Error::Unchecked)).count();
    assert!(refused >= 2 * media, "{refused} were refused");
}

/// What a client sends until its handshake waits for the server's second word: checks and hellos.
fn beginning() -> (Line, Vec<Vec<u8>>) {
    let mut line = Scene::default().set();
    let mut hellos = 0;
    line.middlebox = Some(Box::new(move |direction, datagram| {
        hellos += usize::from(direction == Direction::ToServer && record::is_hello(&datagram));
        if hellos > 1 { Vec::new() } else { vec![datagram] }
    }));
    line.run(Duration::from_secs(2));
    let seen = line.seen.clone();
    assert!(seen.iter().any(|datagram| record::is_hello(datagram)), "the client said hello");
    (line, seen)
}

/// A server's peer that has heard nothing yet and has the credentials of this line.
fn fresh_peer(line: &Line, check: &[u8]) -> Peer {
    let value = |key: &str| {
        let line = line.agreed.answer.lines().find_map(|line| line.strip_prefix(key));
        line.expect("the answer has it").to_owned()
    };
    let local = Credentials { ufrag: value("a=ice-ufrag:"), password: value("a=ice-pwd:") };
    let text = String::from_utf8_lossy(check);
    let (_, theirs) = text.split_once(&format!("{}:", local.ufrag)).expect("a check names both");
    let ufrag = theirs.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/')).collect();
    let fingerprint = Fingerprint { hash: "sha-256".into(), value: vec!["AB"; 32].join(":") };
    let remote = Remote { ufrag, password: "nobody needs to know it".into(), fingerprints: vec![fingerprint] };
    Peer::new(line.now, &line.identity, local, remote)
}

/// Octets that the peer sends until it gives up.
fn sent_until_given_up(peer: &mut Peer, mut now: Instant) -> usize {
    let (end, mut octets) = (now + CONNECT_TIMEOUT * 2, 0);
    while let Some(due) = peer.poll_timeout().filter(|due| *due <= end) {
        octets += std::iter::from_fn(|| peer.poll_transmit()).map(|(_, datagram)| datagram.len()).sum::<usize>();
        now = due.max(now + Duration::from_millis(1));
        peer.handle_timeout(now);
    }
    octets + std::iter::from_fn(|| peer.poll_transmit()).map(|(_, datagram)| datagram.len()).sum::<usize>()
}

#[test]
fn whoever_is_made_to_receive_gets_little_more_than_the_other_sends() {
    let (line, seen) = beginning();
    let victim: SocketAddr = address("203.0.113.99:9");
    let check = seen.iter().find(|datagram| datagram[0] == 0).expect("the client checks");
    let hello = seen.iter().find(|datagram| record::is_hello(datagram)).expect("it says hello");
    let without_a_check = vec![hello.clone(), hello.clone()];
    let one_of_each = vec![check.clone(), hello.clone()];
    let many_hellos = [vec![check.clone()], (0..50).map(|copy| record::numbered(hello, copy)).collect()].concat();
    let pieces = [vec![check.clone()], record::in_pieces(hello, 70)].concat();
    let checks = vec![check.clone(); 20];
    for (what, datagrams) in [
        ("hellos without a check", without_a_check),
        ("a check and a hello", one_of_each),
        ("a check and fifty hellos", many_hellos),
        ("a check and a hello in pieces", pieces),
        ("the same check many times", checks),
    ] {
        let mut peer = fresh_peer(&line, check);
        let mut received = 0;
        for datagram in &datagrams {
            received += datagram.len();
            let _ = peer.receive(line.now, victim, datagram);
        }
        let sent = sent_until_given_up(&mut peer, line.now);
        assert!(sent <= AMPLIFICATION * received, "{what}: {sent} octets for {received}");
        assert_eq!(sent == 0, datagrams[0] == *hello, "{what}: an answer to whom it is owed");
    }
}
