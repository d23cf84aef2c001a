//! A peer: ICE, DTLS and SRTP of one connection put together.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::dtls::{self, Dtls, Identity, Outcome};
use super::ice::{CONSENT_TIMEOUT, Credentials, LiteAgent};
use super::sdp::Remote;
use super::srtp::{self, Opener, Profile, Sealer};

/// A peer that isn't connected so long after its offer never will be.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(25);

/// Why a datagram was not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not STUN, DTLS or SRTP by its first octet (RFC 7983 §7).
    #[error("a datagram of no known protocol")]
    UnknownProtocol,
    /// STUN that isn't this peer's.
    #[error("a STUN message that is malformed or not authenticated")]
    Unauthenticated,
    /// Media or DTLS from an address that no check came from.
    #[error("a datagram from an address that has not been checked")]
    Unchecked,
    /// Media before the keys.
    #[error("media before the handshake was done")]
    NoKeys,
    /// Forged, replayed or malformed media.
    #[error(transparent)]
    Srtp(#[from] srtp::Error),
    /// The handshake failed.
    #[error(transparent)]
    Dtls(#[from] dtls::Error),
}

/// What a datagram held.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// STUN or DTLS, dealt with.
    Nothing,
    /// An RTP packet, opened.
    Rtp(BytesMut),
    /// An RTCP compound, opened.
    Rtcp(BytesMut),
}

/// What happened to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A pair is nominated and the keys are there.
    Connected,
    /// It never came up.
    NeverConnected,
    /// The peer is silent: consent expired.
    Expired,
    /// The handshake failed, or the peer said goodbye.
    Closed,
}

/// One peer's connection.
#[derive(Debug)]
pub struct Peer {
    ice: LiteAgent,
    dtls: Dtls,
    keys: Option<(Profile, Box<Sealer>, Box<Opener>)>,
    created: Instant,
    connected: bool,
    over: bool,
    outgoing: VecDeque<(SocketAddr, BytesMut)>,
    events: VecDeque<Event>,
    /// Where the peer's DTLS came from last: flights go there until a pair is nominated.
    dtls_from: Option<SocketAddr>,
    answers: Vec<Vec<u8>>,
}

impl Peer {
    /// A peer that was answered with `local`.
    #[must_use]
    pub fn new(now: Instant, identity: &Identity, local: Credentials, remote: Remote) -> Self {
        Self {
            ice: LiteAgent::new(local, remote.ufrag, identity.provider().clone()),
            dtls: Dtls::new(identity.clone(), remote.fingerprints),
            keys: None,
            created: now,
            connected: false,
            over: false,
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            dtls_from: None,
            answers: Vec::new(),
        }
    }

    /// Takes one datagram, told apart by its first octet (RFC 7983 §7).
    ///
    /// # Errors
    /// [`Error`]: it was not used. Only a failed handshake ends the connection, and then an event says so.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<Received, Error> {
        if self.over {
            return Ok(Received::Nothing);
        }
        match datagram.first() {
            Some(0..=3) => self.receive_stun(now, from, datagram),
            Some(20..=63) if self.ice.knows(from) => self.receive_dtls(now, from, datagram),
            Some(128..=191) if self.ice.knows(from) => {
                let (_, _, opener) = self.keys.as_mut().ok_or(Error::NoKeys)?;
                // RFC 5761 §4: RTCP packet types, where an RTP packet has its marker and payload type.
                if matches!(datagram.get(1), Some(192..=223)) {
                    Ok(Received::Rtcp(opener.open_rtcp(datagram)?))
                } else {
                    Ok(Received::Rtp(opener.open_rtp(datagram)?))
                }
            }
            Some(20..=63 | 128..=191) => Err(Error::Unchecked),
            _ => Err(Error::UnknownProtocol),
        }
    }

    fn receive_stun(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<Received, Error> {
        let checked = self.ice.check(now, from, datagram, &mut self.answers);
        for answer in self.answers.drain(..) {
            self.outgoing.push_back((from, BytesMut::from(&answer[..])));
        }
        self.settle();
        match checked {
            super::ice::Checked::Answered => Ok(Received::Nothing),
            super::ice::Checked::Ignored => Err(Error::Unauthenticated),
        }
    }

    fn receive_dtls(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<Received, Error> {
        self.dtls_from = Some(from);
        let outcome = self.dtls.receive(now, datagram);
        self.send_flights();
        match outcome {
            Ok(Some(Outcome::Done(profile, sealer, opener))) => {
                self.keys = Some((profile, sealer, opener));
                self.settle();
            }
            Ok(Some(Outcome::PeerClosed)) => self.end(Event::Closed),
            Ok(None) => {}
            Err(error) => {
                // What is no hello, or can't be read after the handshake, is somebody's noise and not the end.
                if self.keys.is_none() && error.is_final() {
                    self.end(Event::Closed);
                }
                return Err(error.into());
            }
        }
        Ok(Received::Nothing)
    }

    fn send_flights(&mut self) {
        let Some(to) = self.ice.nominated().or(self.dtls_from) else { return };
        while let Some(flight) = self.dtls.poll_transmit() {
            self.outgoing.push_back((to, flight));
        }
    }

    fn settle(&mut self) {
        if !self.connected && self.keys.is_some() && self.ice.nominated().is_some() {
            self.connected = true;
            self.events.push_back(Event::Connected);
        }
    }

    fn end(&mut self, why: Event) {
        if !self.over {
            self.over = true;
            self.events.push_back(why);
        }
    }

    /// A datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, BytesMut)> {
        self.outgoing.pop_front()
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next needed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let expiry = if self.connected {
            self.ice.last_check().map_or(self.created, |last| last) + CONSENT_TIMEOUT
        } else {
            self.created + CONNECT_TIMEOUT
        };
        Some(self.dtls.poll_timeout().map_or(expiry, |flight| flight.min(expiry)))
    }

    /// Sends lost flights again and notices what is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.over {
            return;
        }
        self.dtls.handle_timeout(now);
        self.send_flights();
        let silent_since = self.ice.last_check().unwrap_or(self.created);
        if self.connected && now >= silent_since + CONSENT_TIMEOUT {
            self.end(Event::Expired);
        } else if !self.connected && now >= self.created + CONNECT_TIMEOUT {
            self.end(Event::NeverConnected);
        }
    }

    /// Where media goes: where the peer's latest nomination came from.
    #[must_use]
    pub const fn remote(&self) -> Option<SocketAddr> {
        self.ice.nominated()
    }

    /// Whether the peer has shown itself from this address.
    #[must_use]
    pub fn knows(&self, address: SocketAddr) -> bool {
        self.ice.knows(address)
    }

    /// Seals what we send, once connected.
    pub fn sealer(&mut self) -> Option<&mut Sealer> {
        self.keys.as_mut().filter(|_| self.connected).map(|(_, sealer, _)| &mut **sealer)
    }

    /// The agreed protection profile.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        self.keys.as_ref().map(|&(profile, ..)| profile)
    }

    /// New ICE credentials on both sides; media goes on meanwhile.
    pub fn restart_ice(&mut self, local: Credentials, remote_ufrag: String) {
        self.ice.restart(local, remote_ufrag);
    }

    /// Whether a check that names this fragment of ours may be answered.
    #[must_use]
    pub fn answers_to(&self, ufrag: &str) -> bool {
        self.ice.answers_to(ufrag)
    }

    /// Says goodbye; what is left to send is the last.
    pub fn close(&mut self, now: Instant) {
        self.dtls.close(now);
        self.send_flights();
        self.over = true;
    }
}
