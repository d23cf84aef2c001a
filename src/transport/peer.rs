//! A peer: ICE, DTLS and SRTP of one connection put together.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::Endpoint;
use super::allowance::Allowance;
use super::dtls::{self, Dtls, Outcome};
use super::ice::{CONSENT_TIMEOUT, Checked, Credentials, LiteAgent};
use super::identity::Identity;
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
    /// An authentic check that was sent before from another address.
    #[error("a check that came before from elsewhere")]
    Replayed,
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

fn open(opener: &mut Opener, datagram: &[u8]) -> Result<Received, srtp::Error> {
    if srtp::is_rtcp(datagram) {
        opener.open_rtcp(datagram).map(Received::Rtcp)
    } else {
        opener.open_rtp(datagram).map(Received::Rtp)
    }
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

/// Where the handshake's cookie went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cookie {
    Unsent,
    To(Endpoint),
    /// To several addresses, or it has come back: it proves nothing any more.
    Spent,
}

/// One peer's connection.
#[derive(Debug)]
pub struct Peer {
    ice: LiteAgent,
    dtls: Dtls,
    keys: Option<(Profile, Box<Sealer>, Box<Opener>)>,
    /// Where the handshake's end came from, by which somebody heard our part of it.
    heard_us: Option<Endpoint>,
    created: Instant,
    connected: bool,
    over: bool,
    outgoing: VecDeque<(Endpoint, BytesMut)>,
    events: VecDeque<Event>,
    /// Where the peer's DTLS came from last: flights go there until a pair is nominated.
    dtls_from: Option<Endpoint>,
    /// Where the cookie was asked for, while it was at one place only.
    cookie_to: Cookie,
    /// Until the connection is up: what may be sent to addresses that may be somebody else's.
    allowance: Allowance,
    stun: Vec<(Endpoint, Vec<u8>)>,
}

impl Peer {
    /// A peer that was answered with `local`.
    #[must_use]
    pub fn new(now: Instant, identity: &Identity, local: Credentials, remote: Remote) -> Self {
        Self {
            ice: LiteAgent::new(
                local,
                Credentials { ufrag: remote.ufrag, password: remote.password },
                identity.provider().clone(),
            ),
            dtls: Dtls::new(identity.clone(), remote.fingerprints),
            keys: None,
            heard_us: None,
            created: now,
            connected: false,
            over: false,
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            dtls_from: None,
            cookie_to: Cookie::Unsent,
            allowance: Allowance::default(),
            stun: Vec::new(),
        }
    }

    /// Takes one datagram, told apart by its first octet (RFC 7983 §7).
    ///
    /// # Errors
    /// [`Error`]: it was not used. Only a failed handshake ends the connection, and then an event says so.
    pub fn receive(&mut self, now: Instant, from: impl Into<Endpoint>, datagram: &[u8]) -> Result<Received, Error> {
        if self.over {
            return Ok(Received::Nothing);
        }
        let from = from.into();
        match datagram.first() {
            Some(0..=3) => self.receive_stun(now, from, datagram),
            Some(20..=63) if self.ice.knows(from) => self.receive_dtls(now, from, datagram),
            Some(128..=191) if self.ice.knows(from) => {
                let (_, _, opener) = self.keys.as_mut().ok_or(Error::NoKeys)?;
                let received = open(opener, datagram)?;
                self.ice.media(now, from, &mut self.stun);
                self.send_stun();
                Ok(received)
            }
            Some(20..=63 | 128..=191) => Err(Error::Unchecked),
            _ => Err(Error::UnknownProtocol),
        }
    }

    /// Takes media from an address that no check has come from, if it is this peer's: one whose router forgot its mapping. Any
    /// peer may be asked, since nothing but authentic media of a stream that came before leaves a trace.
    pub fn receive_moved(&mut self, now: Instant, from: impl Into<Endpoint>, datagram: &[u8]) -> Option<Received> {
        let from = from.into();
        if self.over || !self.connected {
            return None;
        }
        let (_, _, opener) = self.keys.as_mut()?;
        if !opener.has_opened(datagram) {
            return None;
        }
        let received = open(opener, datagram).ok()?;
        self.ice.media(now, from, &mut self.stun);
        self.send_stun();
        Some(received)
    }

    fn receive_stun(&mut self, now: Instant, from: Endpoint, datagram: &[u8]) -> Result<Received, Error> {
        let checked = self.ice.check(now, from, datagram, &mut self.stun);
        if matches!(checked, Checked::Answered | Checked::Proved) && !self.connected {
            self.allowance.received(from, datagram.len());
        }
        self.send_stun();
        self.settle(now);
        match checked {
            Checked::Answered | Checked::Proved => Ok(Received::Nothing),
            Checked::Replayed => Err(Error::Replayed),
            Checked::Ignored => Err(Error::Unauthenticated),
        }
    }

    fn send_stun(&mut self) {
        let (connected, allowance) = (self.connected, &mut self.allowance);
        let allowed = self.stun.drain(..).filter(|(to, message)| connected || allowance.take(*to, message.len()));
        self.outgoing.extend(allowed.map(|(to, message)| (to, BytesMut::from(&message[..]))));
    }

    fn receive_dtls(&mut self, now: Instant, from: Endpoint, datagram: &[u8]) -> Result<Received, Error> {
        self.dtls_from = Some(from);
        let outcome = self.dtls.receive(now, datagram);
        if !self.connected {
            self.allowance.received(from, datagram.len());
            if self.dtls.has_cookie_returned()
                && std::mem::replace(&mut self.cookie_to, Cookie::Spent) == Cookie::To(from)
            {
                self.allowance.prove(from);
            }
        }
        self.send_flights();
        match outcome {
            Ok(Some(Outcome::Done(profile, sealer, opener))) => {
                self.keys = Some((profile, sealer, opener));
                self.heard_us = Some(from);
                self.settle(now);
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
            // What isn't allowed is lost as on any line, and repeated when more has come.
            if self.connected || self.allowance.take(to, flight.len()) {
                self.outgoing.push_back((to, flight));
                self.cookie_to = match self.cookie_to {
                    Cookie::Unsent => Cookie::To(to),
                    Cookie::To(before) if before == to => Cookie::To(to),
                    _ => Cookie::Spent,
                };
            }
        }
    }

    fn settle(&mut self, now: Instant) {
        let Some(nominated) = self.ice.nominated().filter(|_| !self.connected && self.keys.is_some()) else { return };
        self.connected = true;
        // A stream that has been closed meanwhile hears nothing any more.
        self.ice.guard(now, self.heard_us.unwrap_or(nominated), &mut self.stun);
        self.allowance = Allowance::default();
        self.send_stun();
        self.events.push_back(Event::Connected);
    }

    fn end(&mut self, why: Event) {
        if !self.over {
            self.over = true;
            self.events.push_back(why);
        }
    }

    /// A datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(Endpoint, BytesMut)> {
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
        [self.dtls.poll_timeout(), self.ice.poll_timeout(), Some(expiry)].into_iter().flatten().min()
    }

    /// Sends lost flights again and notices what is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.over {
            return;
        }
        self.dtls.handle_timeout(now);
        self.send_flights();
        self.ice.handle_timeout(now, &mut self.stun);
        self.send_stun();
        let silent_since = self.ice.last_check().unwrap_or(self.created);
        if self.connected && now >= silent_since + CONSENT_TIMEOUT {
            self.end(Event::Expired);
        } else if !self.connected && now >= self.created + CONNECT_TIMEOUT {
            self.end(Event::NeverConnected);
        }
    }

    /// Where media goes: where the peer's latest nomination came from, once it is proven to be there.
    #[must_use]
    pub const fn remote(&self) -> Option<Endpoint> {
        self.ice.nominated()
    }

    /// Whether the peer has shown itself from there.
    #[must_use]
    pub fn knows(&self, endpoint: impl Into<Endpoint>) -> bool {
        self.ice.knows(endpoint.into())
    }

    /// Whether a move of media waits for its proof, so that time should be looked after closely.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        !self.over && self.ice.poll_timeout().is_some()
    }

    /// A stream is closed: nothing can be sent there any more.
    pub fn forget(&mut self, endpoint: Endpoint) {
        self.ice.forget(endpoint);
        self.dtls_from.take_if(|from| *from == endpoint);
        self.heard_us.take_if(|from| *from == endpoint);
    }

    /// Whether it has come up.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
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
    pub fn restart_ice(&mut self, local: Credentials, remote: Credentials) {
        self.ice.restart(local, remote);
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
