//! DTLS-SRTP (RFC 5763, RFC 5764), always as the server.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error as SharedError;

mod records;

use self::records::{Gate, Hello, asks_for_cookie};
use super::identity::Identity;
use super::sdp::Fingerprint;
use super::srtp::{self, Opener, Profile, Sealer};

/// A flight that isn't answered is sent again after this time, then after twice as long, and so on.
/// RFC 6347 §4.2.4.1 says a second; a lesson that begins can't wait for that on a lossy line.
const FIRST_REPEAT: Duration = Duration::from_millis(250);
/// And never later than this, so that a line that was broken is used soon after it is back.
const LAST_REPEAT: Duration = Duration::from_secs(2);
/// Datagrams of a ClientHello in pieces that are held until it is whole.
const MAX_HELD: usize = 8;
/// The endpoint tells associations apart by address. Ours has one, which lives on when the peer's address changes.
const ASSOCIATION: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The peer offered no SRTP profile that we have.
    #[error("the peer offers neither AEAD_AES_128_GCM nor AES128_CM_HMAC_SHA1_80")]
    NoProfile,
    /// The first message is no ClientHello, or one that never ends.
    #[error("the peer's ClientHello can't be read")]
    BadHello,
    /// Malformed, or more than any handshake needs.
    #[error("a DTLS datagram that no handshake needs")]
    Needless,
    /// The handshake itself.
    #[error("DTLS: {0}")]
    Handshake(String),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] srtp::Error),
}

impl Error {
    /// Whether the association is over; else it was only that the datagram was not used.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::BadHello | Self::Needless)
    }
}

/// What came of a datagram or of time.
#[derive(Debug)]
pub enum Outcome {
    /// The handshake is done: keys of both directions.
    Done(Profile, Box<Sealer>, Box<Opener>),
    /// The peer said goodbye.
    PeerClosed,
}

/// One DTLS association as the server.
pub struct Dtls {
    identity: Identity,
    fingerprints: Vec<Fingerprint>,
    gate: Gate,
    hello: Hello,
    held: Vec<BytesMut>,
    association: Option<(Endpoint, Profile)>,
    flight: Flight,
    cookie_returned: bool,
    done: bool,
    outgoing: VecDeque<BytesMut>,
}

/// What was sent last, to be sent again until the peer goes on (RFC 6347 §4.2.4).
///
/// The crate has timers of its own and they aren't used: one stops for good when the peer repeats itself, as browsers do
/// every 50 ms, and it gives up after eight sends, which a line's break of two seconds outlasts. The same records may be
/// sent again: a peer that has one of them drops it as a replay, and takes what it misses.
#[derive(Default)]
struct Flight {
    datagrams: Vec<BytesMut>,
    repeat: Option<(Instant, Duration)>,
}

impl std::fmt::Debug for Dtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dtls").field("begun", &self.association.is_some()).finish_non_exhaustive()
    }
}

impl Dtls {
    /// For a peer whose certificate has one of these fingerprints.
    #[must_use]
    pub fn new(identity: Identity, fingerprints: Vec<Fingerprint>) -> Self {
        Self {
            identity,
            fingerprints,
            gate: Gate::default(),
            hello: Hello::default(),
            held: Vec::new(),
            association: None,
            flight: Flight::default(),
            cookie_returned: false,
            done: false,
            outgoing: VecDeque::new(),
        }
    }

    /// Takes one datagram.
    ///
    /// # Errors
    /// [`Error`]; where it [is final](Error::is_final) the association is over.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<Option<Outcome>, Error> {
        if !self.gate.admits(datagram) {
            return Err(Error::Needless);
        }
        if self.association.is_none() && !self.begin(datagram)? {
            return Ok(None);
        }
        let mut outcome = None;
        let held = std::mem::take(&mut self.held);
        for datagram in held.into_iter().chain([BytesMut::from(datagram)]) {
            outcome = self.feed(now, datagram)?.or(outcome);
        }
        Ok(outcome)
    }

    /// Reads the hello as far as it has come. Once it is whole there is an association, and this is true.
    fn begin(&mut self, datagram: &[u8]) -> Result<bool, Error> {
        let profiles = match self.hello.take(datagram) {
            Ok(Some(profiles)) => profiles,
            Ok(None) if self.held.len() < MAX_HELD => {
                self.held.push(BytesMut::from(datagram));
                return Ok(false);
            }
            // Nonsense, or more pieces than a hello has. What came of it before can't be trusted; the client says it again.
            _ => {
                self.hello = Hello::default();
                self.held.clear();
                return Err(Error::BadHello);
            }
        };
        // The server chooses; the crate would follow the client's order, in which browsers put GCM last.
        let profile = [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80]
            .into_iter()
            .find(|&profile| profiles.contains(&code(profile)))
            .ok_or(Error::NoProfile)?;
        self.association = Some((self.endpoint(profile)?, profile));
        Ok(true)
    }

    fn feed(&mut self, now: Instant, datagram: BytesMut) -> Result<Option<Outcome>, Error> {
        let Some((endpoint, profile)) = &mut self.association else { return Ok(None) };
        let events = endpoint.read(now, ASSOCIATION, None, datagram);
        let answer: Vec<BytesMut> = std::iter::from_fn(|| endpoint.poll_transmit()).map(|sent| sent.message).collect();
        if !answer.is_empty() {
            // A fatal alert, the answer to a wrong cookie, comes with an error.
            self.cookie_returned |= events.is_ok() && !asks_for_cookie(&answer[0]);
            self.outgoing.extend(answer.iter().cloned());
            self.flight = Flight { datagrams: answer, repeat: Some((now + FIRST_REPEAT, FIRST_REPEAT)) };
        }
        let mut outcome = None;
        for event in events.map_err(|error| Error::Handshake(error.to_string()))? {
            match event {
                EndpointEvent::HandshakeComplete => {
                    let state = endpoint.get_connection_state(ASSOCIATION);
                    let state = state.ok_or_else(|| Error::Handshake("the association is gone".into()))?;
                    let (sealer, opener) = srtp::from_dtls(*profile, state, &self.identity)?;
                    self.done = true;
                    outcome = Some(Outcome::Done(*profile, Box::new(sealer), Box::new(opener)));
                }
                EndpointEvent::PeerClosed => outcome = Some(Outcome::PeerClosed),
                _ => {}
            }
        }
        if self.done {
            // The last flight is repeated when the peer shows that it missed it, by repeating its own.
            self.flight.repeat = None;
        }
        Ok(outcome)
    }

    fn endpoint(&self, profile: Profile) -> Result<Endpoint, Error> {
        let fingerprints = self.fingerprints.clone();
        let verify = move |certificates: &[Vec<u8>], _: &[_]| match certificates.first() {
            Some(leaf) if fingerprints.iter().any(|fingerprint| fingerprint.matches(leaf)) => Ok(()),
            _ => Err(SharedError::Other("the certificate isn't the one that the offer announced".into())),
        };
        let config = ConfigBuilder::default()
            .with_crypto_provider(Arc::clone(self.identity.provider()))
            .with_certificates(vec![self.identity.certificate().clone()])
            .with_srtp_protection_profiles(vec![match profile {
                Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                Profile::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            }])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // Certificates are self-made; what vouches for them is the fingerprint in the offer.
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(verify)))
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .build(false, None)
            .map_err(|error| Error::Handshake(error.to_string()))?;
        Ok(Endpoint::new(ASSOCIATION, TransportProtocol::UDP, Some(Arc::new(config))))
    }

    /// Whether the peer has returned the cookie that it was sent (RFC 6347 §4.2.1): it hears us.
    #[must_use]
    pub const fn has_cookie_returned(&self) -> bool {
        self.cookie_returned
    }

    /// A datagram to send.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.outgoing.pop_front()
    }

    /// When a flight is to be sent again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flight.repeat.map(|(at, _)| at)
    }

    /// Sends a flight again that wasn't answered.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some((_, interval)) = self.flight.repeat.filter(|&(at, _)| at <= now) else { return };
        let next = (interval * 2).min(LAST_REPEAT);
        self.flight.repeat = Some((now + next, next));
        self.outgoing.extend(self.flight.datagrams.iter().cloned());
    }

    /// Says goodbye (close_notify).
    pub fn close(&mut self, now: Instant) {
        if let Some((endpoint, _)) = &mut self.association {
            // The association is dropped either way; a goodbye that can't be written isn't sent.
            let _ = endpoint.close(now);
            while let Some(message) = endpoint.poll_transmit() {
                self.outgoing.push_back(message.message);
            }
        }
    }
}

/// The profile's number (RFC 5764 §4.1.2, RFC 7714 §14.2).
const fn code(profile: Profile) -> u16 {
    match profile {
        Profile::AeadAes128Gcm => 0x0007,
        Profile::Aes128CmHmacSha1_80 => 0x0001,
    }
}
