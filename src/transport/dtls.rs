//! DTLS-SRTP (RFC 5763, RFC 5764), always as the server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use bytes::BytesMut;
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error as SharedError;

use super::sdp::Fingerprint;
use super::srtp::{self, Opener, Profile, Sealer};

/// A lost flight is sent again after this time, then with back-off. RFC 6347 §4.2.4.1 says a second; a lesson that begins can't wait for that on a lossy line.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(250);
/// Datagrams of a ClientHello in pieces that are held until it is whole.
const MAX_HELD: usize = 8;
/// The longest ClientHello that is put together.
const MAX_HELLO: usize = 8_192;
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
    /// The handshake itself.
    #[error("DTLS: {0}")]
    Handshake(String),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] srtp::Error),
}

/// Our certificate and what computes with it; one for the whole server.
#[derive(Clone)]
pub struct Identity {
    certificate: Certificate,
    fingerprint: Arc<str>,
    provider: Arc<dyn RTCCryptoProvider>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Identity {
    /// A new self-made certificate (ECDSA on P-256, as browsers make them).
    ///
    /// # Errors
    /// [`Error::Handshake`] when the machine has no randomness.
    pub fn generate() -> Result<Self, Error> {
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::new());
        let certificate = Certificate::generate_self_signed(vec!["mingshi".to_string()], provider.crypto())
            .map_err(|error| Error::Handshake(error.to_string()))?;
        let leaf = certificate.certificate.first().ok_or_else(|| Error::Handshake("no certificate was made".into()))?;
        let fingerprint = hexadecimal(&SHA256, leaf.as_ref()).into();
        Ok(Self { certificate, fingerprint, provider })
    }

    /// SHA-256 of the certificate in upper-case hexadecimal with colons (RFC 8122 §5).
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn provider(&self) -> &Arc<dyn RTCCryptoProvider> {
        &self.provider
    }
}

fn hexadecimal(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    let pairs: Vec<String> = digest(algorithm, bytes).as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

impl Fingerprint {
    /// Whether this is the certificate that the offer announced (RFC 8122 §5).
    fn matches(&self, certificate: &[u8]) -> bool {
        let algorithm = match self.hash.as_str() {
            "sha-256" => &SHA256,
            "sha-384" => &SHA384,
            "sha-512" => &SHA512,
            _ => return false,
        };
        hexadecimal(algorithm, certificate).eq_ignore_ascii_case(&self.value)
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
    hello: Hello,
    held: Vec<BytesMut>,
    association: Option<(Endpoint, Profile)>,
    outgoing: Vec<BytesMut>,
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
            hello: Hello::default(),
            held: Vec::new(),
            association: None,
            outgoing: Vec::new(),
        }
    }

    /// Takes one datagram.
    ///
    /// # Errors
    /// [`Error`]: the association is over.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<Option<Outcome>, Error> {
        if self.association.is_none() {
            if self.held.len() == MAX_HELD {
                return Err(Error::BadHello);
            }
            self.held.push(BytesMut::from(datagram));
            let Some(profiles) = self.hello.take(datagram)? else { return Ok(None) };
            // The server chooses; the crate would follow the client's order, in which browsers put GCM last.
            let profile = [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80]
                .into_iter()
                .find(|&profile| profiles.contains(&code(profile)))
                .ok_or(Error::NoProfile)?;
            self.association = Some((self.endpoint(profile)?, profile));
        } else {
            self.held.push(BytesMut::from(datagram));
        }
        let mut outcome = None;
        for datagram in std::mem::take(&mut self.held) {
            outcome = self.feed(now, datagram)?.or(outcome);
        }
        Ok(outcome)
    }

    fn feed(&mut self, now: Instant, datagram: BytesMut) -> Result<Option<Outcome>, Error> {
        let Some((endpoint, profile)) = &mut self.association else { return Ok(None) };
        let events = endpoint.read(now, ASSOCIATION, None, datagram);
        while let Some(message) = endpoint.poll_transmit() {
            self.outgoing.push(message.message);
        }
        let mut outcome = None;
        for event in events.map_err(|error| Error::Handshake(error.to_string()))? {
            match event {
                EndpointEvent::HandshakeComplete => {
                    let state = endpoint.get_connection_state(ASSOCIATION);
                    let state = state.ok_or_else(|| Error::Handshake("the association is gone".into()))?;
                    let (sealer, opener) = srtp::from_dtls(*profile, state, &self.identity)?;
                    outcome = Some(Outcome::Done(*profile, Box::new(sealer), Box::new(opener)));
                }
                EndpointEvent::PeerClosed => outcome = Some(Outcome::PeerClosed),
                _ => {}
            }
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
            .with_crypto_provider(Arc::clone(&self.identity.provider))
            .with_certificates(vec![self.identity.certificate.clone()])
            .with_srtp_protection_profiles(vec![match profile {
                Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                Profile::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            }])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // Certificates are self-made; what vouches for them is the fingerprint in the offer.
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(verify)))
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(FLIGHT_INTERVAL)
            .build(false, None)
            .map_err(|error| Error::Handshake(error.to_string()))?;
        Ok(Endpoint::new(ASSOCIATION, TransportProtocol::UDP, Some(Arc::new(config))))
    }

    /// A datagram to send.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        if self.outgoing.is_empty() { None } else { Some(self.outgoing.remove(0)) }
    }

    /// When a flight is to be sent again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.0.poll_timeout(&ASSOCIATION)
    }

    /// Sends a lost flight again.
    ///
    /// # Errors
    /// [`Error::Handshake`] when the peer has been given up.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        let Some((endpoint, _)) = &mut self.association else { return Ok(()) };
        if endpoint.poll_timeout(&ASSOCIATION).is_none_or(|at| at > now) {
            return Ok(());
        }
        let result = endpoint.handle_timeout(ASSOCIATION, now);
        while let Some(message) = endpoint.poll_transmit() {
            self.outgoing.push(message.message);
        }
        result.map_err(|error| Error::Handshake(error.to_string()))
    }

    /// Says goodbye (close_notify).
    pub fn close(&mut self, now: Instant) {
        if let Some((endpoint, _)) = &mut self.association {
            // The association is dropped either way; a goodbye that can't be written isn't sent.
            let _ = endpoint.close(now);
            while let Some(message) = endpoint.poll_transmit() {
                self.outgoing.push(message.message);
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

/// The first ClientHello, put together from its fragments (RFC 6347 §4.2.3).
#[derive(Default)]
struct Hello {
    body: Vec<u8>,
    have: Vec<bool>,
}

/// Octets before the fragment in a record that holds a handshake message: record header, handshake header.
const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;

fn u24(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
}

fn u16_of(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

impl Hello {
    /// Takes a datagram's records; the SRTP profiles that the hello offers, once it is whole.
    fn take(&mut self, mut datagram: &[u8]) -> Result<Option<Vec<u16>>, Error> {
        while datagram.len() >= RECORD_HEADER {
            let length = usize::from(u16_of(&datagram[11..]));
            let record = datagram.get(RECORD_HEADER..RECORD_HEADER + length).ok_or(Error::BadHello)?;
            if datagram[0] == 22 {
                self.fragment(record)?;
            }
            datagram = &datagram[RECORD_HEADER + length..];
        }
        if self.have.is_empty() || self.have.contains(&false) {
            return Ok(None);
        }
        profiles(&self.body).map(Some).ok_or(Error::BadHello)
    }

    fn fragment(&mut self, record: &[u8]) -> Result<(), Error> {
        let header = record.get(..HANDSHAKE_HEADER).ok_or(Error::BadHello)?;
        let (total, offset, length) = (u24(&header[1..]), u24(&header[6..]), u24(&header[9..]));
        let fragment = record.get(HANDSHAKE_HEADER..HANDSHAKE_HEADER + length).ok_or(Error::BadHello)?;
        let first = self.have.is_empty();
        if header[0] != 1
            || total == 0
            || total > MAX_HELLO
            || offset + length > total
            || !(first || total == self.body.len())
        {
            return Err(Error::BadHello);
        }
        self.body.resize(total, 0);
        self.have.resize(total, false);
        self.body[offset..offset + length].copy_from_slice(fragment);
        self.have[offset..offset + length].fill(true);
        Ok(())
    }
}

/// The use_srtp extension of a ClientHello (RFC 5764 §4.1.1); empty if it has none.
fn profiles(hello: &[u8]) -> Option<Vec<u16>> {
    let skip = |rest: &'_ [u8], size: usize| -> Option<usize> {
        let length = rest.get(..size)?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        Some(size + length)
    };
    let mut rest = hello.get(2 + 32..)?;
    for size in [1, 1, 2, 1] {
        // Session id, cookie, cipher suites, compression methods.
        rest = rest.get(skip(rest, size)?..)?;
    }
    if rest.is_empty() {
        return Some(Vec::new());
    }
    rest = rest.get(2..2 + usize::from(u16_of(rest.get(..2)?)))?;
    while let [t0, t1, l0, l1, after @ ..] = rest {
        let value = after.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
        if [*t0, *t1] == [0, 14] {
            let list = value.get(2..2 + usize::from(u16_of(value.get(..2)?)))?;
            return Some(list.chunks_exact(2).map(u16_of).collect());
        }
        rest = &after[value.len()..];
    }
    Some(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello_body(offered: &[u16]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
        let list: Vec<u8> = offered.iter().flat_map(|profile| profile.to_be_bytes()).collect();
        let mut extensions = vec![0, 23, 0, 0, 0, 14];
        extensions.extend(((list.len() + 3) as u16).to_be_bytes());
        extensions.extend((list.len() as u16).to_be_bytes());
        extensions.extend(list);
        extensions.push(0);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    fn record(body: &[u8], from: usize, to: usize) -> Vec<u8> {
        let size = |value: usize| [(value >> 16) as u8, (value >> 8) as u8, value as u8];
        let mut fragment = vec![1];
        fragment.extend(size(body.len()));
        fragment.extend([0, 0]);
        fragment.extend(size(from));
        fragment.extend(size(to - from));
        fragment.extend(&body[from..to]);
        let mut record = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend((fragment.len() as u16).to_be_bytes());
        record.extend(fragment);
        record
    }

    #[test]
    fn the_profiles_of_a_hello_in_pieces_are_read_in_any_order() {
        let body = hello_body(&[1, 7]);
        let mut hello = Hello::default();
        assert_eq!(hello.take(&record(&body, 20, body.len())), Ok(None));
        assert_eq!(hello.take(&record(&body, 0, 20)), Ok(Some(vec![1, 7])));
    }

    #[test]
    fn a_hello_without_srtp_has_no_profiles() {
        let body = hello_body(&[]);
        assert_eq!(Hello::default().take(&record(&body, 0, body.len())), Ok(Some(vec![])));
        assert_eq!(Hello::default().take(&[22; 40]), Err(Error::BadHello));
    }

    #[test]
    fn a_fingerprint_is_of_one_certificate() {
        let value = hexadecimal(&SHA256, b"certificate").to_lowercase();
        let fingerprint = Fingerprint { hash: "sha-256".into(), value };
        assert!(fingerprint.matches(b"certificate"));
        assert!(!fingerprint.matches(b"another"));
        assert!(!Fingerprint { hash: "md5".into(), ..fingerprint }.matches(b"certificate"));
    }

    proptest! {
        #[test]
        fn mutated_hellos_never_panic(at in 0usize..120, value: u8, cut in 0usize..200) {
            let body = hello_body(&[1, 7]);
            let mut datagram = record(&body, 0, body.len());
            if let Some(byte) = datagram.get_mut(at) {
                *byte = value;
            }
            datagram.truncate(cut);
            let _ = Hello::default().take(&datagram);
        }
    }
}
