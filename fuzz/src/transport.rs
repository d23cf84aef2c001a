//! STUN, DTLS and SRTP.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use mingshi::transport::dtls::Dtls;
use mingshi::transport::ice::local_ufrag;
use mingshi::transport::sdp::{Fingerprint, Remote};
use mingshi::transport::srtp::{MAX_OVERHEAD, Opener, Profile, Sealer};
use mingshi::transport::{Credentials, Identity, Peer, Received};
use mingshi::worker::clock;

const OURS: &str = "00server";
const PASSWORD: &str = "a password of the server";
const MAGIC_COOKIE: [u8; 4] = 0x2112_a442u32.to_be_bytes();
const PROFILES: [(Profile, usize); 2] = [(Profile::AeadAes128Gcm, 12), (Profile::Aes128CmHmacSha1_80, 14)];

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| Identity::generate().expect("the machine has randomness"))
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(clock::now)
}

fn fingerprints() -> Vec<Fingerprint> {
    vec![Fingerprint { hash: "sha-256".into(), value: vec!["AB"; 32].join(":") }]
}

fn new_peer() -> Peer {
    let local = Credentials { ufrag: OURS.into(), password: PASSWORD.into() };
    let remote = Remote { ufrag: "them".into(), password: "a password of theirs".into(), fingerprints: fingerprints() };
    Peer::new(start(), identity(), local, remote)
}

fn from() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000))
}

fn octets_sent(peer: &mut Peer) -> usize {
    std::iter::from_fn(|| peer.poll_transmit()).map(|(_, message)| message.len()).sum()
}

/// A STUN message with these attributes (each behind its type and length) and an integrity that verifies
/// (RFC 8489 §14.5).
fn authenticated(attributes: &[u8]) -> Vec<u8> {
    let attributes = &attributes[..attributes.len().min(1_200) & !3];
    let mut message = vec![0, 1];
    message.extend(((attributes.len() + 24) as u16).to_be_bytes());
    message.extend(MAGIC_COOKIE);
    message.extend([7; 12]);
    message.extend(attributes);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, PASSWORD.as_bytes());
    let tag = hmac::sign(&key, &message);
    message.extend([0, 8, 0, 20]);
    message.extend(tag.as_ref());
    message
}

fn username() -> Vec<u8> {
    let name = format!("{OURS}:them");
    let mut attribute = vec![0, 6];
    attribute.extend((name.len() as u16).to_be_bytes());
    attribute.extend(name.as_bytes());
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// What nobody vouches for gets no answer.
pub(crate) fn stun(data: &[u8]) {
    let _ = local_ufrag(data);
    let mut peer = new_peer();
    let outcome = peer.receive(start(), from(), data);
    assert!(outcome.is_err() || octets_sent(&mut peer) > 0 || data.is_empty(), "STUN was used in silence");
    assert!(outcome.is_ok() || octets_sent(&mut peer) == 0, "a stranger got an answer");
}

/// Attributes of any kind in a check that is authentic: an answer is no longer than thrice the check.
pub(crate) fn stun_authentic(data: &[u8]) {
    for attributes in [[username(), data.to_vec()].concat(), data.to_vec()] {
        let check = authenticated(&attributes);
        let _ = local_ufrag(&check);
        let mut peer = new_peer();
        let _ = peer.receive(start(), from(), &check);
        assert!(octets_sent(&mut peer) <= 3 * check.len(), "a check is amplified");
    }
}

/// Datagrams behind their lengths, to a server that waits for a hello.
pub(crate) fn dtls(data: &[u8]) {
    let mut dtls = Dtls::new(identity().clone(), fingerprints());
    let mut now = start();
    for datagram in crate::pieces(data).take(64) {
        let outcome = dtls.receive(now, datagram);
        while dtls.poll_transmit().is_some() {}
        if outcome.is_err_and(|error| error.is_final()) {
            return;
        }
        now += Duration::from_millis(300);
        dtls.handle_timeout(now);
    }
}

/// Datagrams behind their lengths, to a connection that was checked once.
pub(crate) fn peer(data: &[u8]) {
    let mut peer = new_peer();
    let mut now = start();
    assert!(peer.receive(now, from(), &authenticated(&username())).is_ok(), "the check is authentic");
    for datagram in crate::pieces(data).take(64) {
        if let Ok(received) = peer.receive(now, from(), datagram) {
            assert_eq!(received, Received::Nothing, "there are no keys");
        }
        now += Duration::from_millis(100);
        peer.handle_timeout(now);
        while peer.poll_transmit().is_some() {}
        while peer.poll_event().is_some() {}
    }
}

fn pair((profile, salt): (Profile, usize)) -> (Sealer, Opener) {
    let (key, salt) = ([7; 16], vec![9; salt]);
    let sealer = Sealer::new(profile, &key, &salt).expect("the lengths fit");
    (sealer, Opener::new(profile, &key, &salt, identity()).expect("the lengths fit"))
}

/// Anything where a sealed packet is expected.
pub(crate) fn srtp_open(data: &[u8]) {
    for profile in PROFILES {
        let (_, mut opener) = pair(profile);
        let _ = opener.open_rtp(data);
        let _ = opener.open_rtcp(data);
    }
}

/// Any plain packet whose seal is right: it opens once as it was, and is read.
pub(crate) fn srtp_sealed(data: &[u8]) {
    for profile in PROFILES {
        let (mut sealer, mut opener) = pair(profile);
        let mut compound = data.to_vec();
        if sealer.seal_rtcp(&mut compound).is_some() && opener.open_rtcp(&compound).is_ok_and(|plain| plain == data) {
            assert!(opener.open_rtcp(&compound).is_err(), "a replay");
            crate::media::rtcp(data);
        }
        let mut packet = data.to_vec();
        if packet.len() < 12 {
            continue;
        }
        let index = u64::from(u16::from_be_bytes([packet[2], packet[3]]));
        packet.resize(data.len() + MAX_OVERHEAD, 0);
        let Some(length) = sealer.seal_rtp(&mut packet, 12, data.len(), index) else { continue };
        if let Ok(plain) = opener.open_rtp(&packet[..length]) {
            assert!(opener.open_rtp(&packet[..length]).is_err(), "a replay");
            crate::media::rtp_packet(&plain);
        }
    }
}
