//! A connection on simulated time: a client, a line that loses, delays and doubles, an address translator, and our peer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mingshi::transport::peer::Error;
use mingshi::transport::sdp::{Agreed, Candidate, Local, Offer, Role, SendStream, negotiate};
use mingshi::transport::{Credentials, Endpoint, Event, Identity, Peer, Received};
use mingshi::worker::clock;

use super::client::{Client, Kind, Offered, Way};

/// What the line does to datagrams, in both directions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Of a thousand.
    pub(crate) lost: u64,
    /// Of a thousand.
    pub(crate) doubled: u64,
    /// Each is late by up to so much more than the line's delay, so that they overtake each other.
    pub(crate) late: Duration,
}

/// Nothing is lost, everything takes ten milliseconds.
pub(crate) const FAIR: Weather = Weather { lost: 0, doubled: 0, late: Duration::ZERO };
const DELAY: Duration = Duration::from_millis(10);

/// A small generator of numbers, so that a seed tells the whole story.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to `sides` - 1.
    pub(crate) const fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// Sees every datagram before the line has it; what it returns travels on.
pub(crate) type Middlebox = Box<dyn FnMut(Direction, Vec<u8>) -> Vec<Vec<u8>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

pub(crate) struct Line {
    pub(crate) now: Instant,
    pub(crate) client: Client,
    pub(crate) peer: Peer,
    pub(crate) agreed: Agreed,
    pub(crate) identity: Identity,
    /// The client's address as the server sees it.
    pub(crate) public: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) weather: Weather,
    pub(crate) middlebox: Option<Middlebox>,
    dice: Dice,
    flying: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    /// Everything that ever reached the server from the client.
    pub(crate) seen: Vec<Vec<u8>>,
    /// Where the peer sent to.
    pub(crate) destinations: BTreeSet<SocketAddr>,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) media: Vec<BytesMut>,
    pub(crate) errors: Vec<Error>,
}

/// How a scenario begins.
pub(crate) struct Scene {
    pub(crate) seed: u64,
    pub(crate) way: Way,
    pub(crate) profiles: Vec<Offered>,
    pub(crate) weather: Weather,
    /// What is done to the offer on its way to the server.
    pub(crate) tampered: fn(String) -> String,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            seed: 1,
            way: Way::Publish,
            profiles: super::client::CHROMIUM.to_vec(),
            weather: FAIR,
            tampered: std::convert::identity,
        }
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl Scene {
    /// Offer and answer are exchanged; nothing has been sent yet.
    pub(crate) fn set(self) -> Line {
        let now = clock::now();
        let server = address("198.51.100.1:5000");
        let mut client = Client::new(now, address("10.0.0.2:4000"), self.way, &[Kind::Voice], &self.profiles);
        let offer = (self.tampered)(client.offer(now, false));
        let identity = Identity::generate().expect("the machine has randomness");
        let local = Credentials::random("00server".into());
        let (agreed, remote) = answer(&offer, self.way, &local, &identity, server);
        let peer = Peer::new(now, &identity, local, remote);
        client.answered(now, agreed.answer.clone());
        Line {
            now,
            client,
            peer,
            agreed,
            identity,
            public: address("203.0.113.7:61000"),
            server,
            weather: self.weather,
            middlebox: None,
            dice: Dice::new(self.seed),
            flying: BTreeMap::new(),
            sent: 0,
            seen: Vec::new(),
            destinations: BTreeSet::new(),
            events: Vec::new(),
            media: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// As [`set`](Self::set), and the connection is up.
    pub(crate) fn connected(self) -> Line {
        let mut line = self.set();
        line.run(Duration::from_secs(5));
        assert_eq!(line.event(), Some(Event::Connected));
        assert!(line.client.is_connected());
        line
    }
}

fn answer(
    offer: &str,
    way: Way,
    local: &Credentials,
    identity: &Identity,
    server: SocketAddr,
) -> (Agreed, mingshi::transport::sdp::Remote) {
    let offer = Offer::parse(offer).expect("an offer");
    let description = Local {
        ufrag: &local.ufrag,
        password: &local.password,
        fingerprint: identity.fingerprint(),
        cname: "server",
        candidates: &[Candidate::udp(server)],
    };
    let role = match way {
        Way::Publish => Role::Publisher,
        Way::Subscribe => Role::Subscriber,
    };
    let stream = |_, _: &_| Some(SendStream { ssrc: 7, rtx_ssrc: 8, stream: "s".into(), track: "t".into() });
    (negotiate(&offer, role, &description, stream).expect("it can be met"), offer.remote)
}

impl Line {
    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.exchange();
            let next =
                [self.flying.keys().next().map(|&(at, _)| at), self.client.poll_timeout(), self.peer.poll_timeout()];
            let next = next.into_iter().flatten().min().filter(|&at| at < end);
            let Some(next) = next else { break };
            // A timeout of the past is due now; what is due at once moves time by a little, so that it does move.
            self.now = next.max(self.now + Duration::from_micros(10));
            self.deliver();
            if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
                self.client.handle_timeout(self.now);
            }
            if self.peer.poll_timeout().is_some_and(|at| at <= self.now) {
                self.peer.handle_timeout(self.now);
            }
        }
        self.now = end;
    }

    /// Puts what both ends have to say on the line.
    fn exchange(&mut self) {
        while let Some((to, bytes)) = self.client.poll_transmit() {
            self.carry(Direction::ToServer, self.public, to, bytes.to_vec());
        }
        while let Some((to, bytes)) = self.peer.poll_transmit() {
            self.destinations.insert(to.address);
            self.carry(Direction::ToClient, self.server, to.address, bytes.to_vec());
        }
        while let Some(event) = self.peer.poll_event() {
            self.events.push((self.now, event));
        }
    }

    fn carry(&mut self, direction: Direction, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let datagrams = match &mut self.middlebox {
            Some(middlebox) => middlebox(direction, bytes),
            None => vec![bytes],
        };
        for bytes in datagrams {
            if self.dice.roll(1_000) < self.weather.lost {
                continue;
            }
            let copies = 1 + u64::from(self.dice.roll(1_000) < self.weather.doubled);
            for _ in 0..copies {
                let late = Duration::from_micros(self.dice.roll(self.weather.late.as_micros() as u64 + 1));
                self.sent += 1;
                self.flying.insert((self.now + DELAY + late, self.sent), Datagram { from, to, bytes: bytes.clone() });
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let Datagram { from, to, bytes } = entry.remove();
            if to == self.server {
                self.seen.push(bytes.clone());
                self.inject(from, &bytes);
            } else if to == self.public {
                self.client.receive(self.now, from, &bytes);
            }
        }
    }

    /// Whether media goes to this address.
    pub(crate) fn is_at(&self, address: SocketAddr) -> bool {
        self.peer.remote() == Some(Endpoint::from(address))
    }

    /// A datagram reaches the server from `from`, whoever made it.
    pub(crate) fn inject(&mut self, from: SocketAddr, bytes: &[u8]) {
        match self.peer.receive(self.now, from, bytes) {
            Ok(Received::Nothing | Received::Rtcp(_)) => {}
            Ok(Received::Rtp(packet)) => self.media.push(packet),
            Err(error) => self.errors.push(error),
        }
    }

    /// The oldest event that was not yet looked at.
    pub(crate) fn event(&mut self) -> Option<Event> {
        if self.events.is_empty() { None } else { Some(self.events.remove(0).1) }
    }

    /// Sends a packet of our stream to where media goes; returns its plain form.
    pub(crate) fn send_to_client(&mut self, index: u16) -> Vec<u8> {
        let mut packet = vec![0x80, super::client::OPUS];
        packet.extend(index.to_be_bytes());
        packet.extend((u32::from(index) * 960).to_be_bytes());
        packet.extend(7u32.to_be_bytes());
        packet.extend([index as u8; 40]);
        let (plain, length) = (packet.clone(), packet.len());
        packet.resize(length + mingshi::transport::srtp::MAX_OVERHEAD, 0);
        let to = self.peer.remote().expect("a pair is nominated");
        let sealer = self.peer.sealer().expect("it is connected");
        let sealed = sealer.seal_rtp(&mut packet, 12, length, u64::from(index)).expect("has room");
        packet.truncate(sealed);
        self.destinations.insert(to.address);
        self.carry(Direction::ToClient, self.server, to.address, packet);
        plain
    }

    /// An ICE restart that the client asks for; the server has new credentials too.
    pub(crate) fn restart(&mut self, way: Way) {
        let offer = self.client.offer(self.now, true);
        let local = Credentials::random("00again".into());
        let (agreed, remote) = answer(&offer, way, &local, &self.identity, self.server);
        self.peer.restart_ice(local, Credentials { ufrag: remote.ufrag, password: remote.password });
        self.agreed = agreed;
    }
}
