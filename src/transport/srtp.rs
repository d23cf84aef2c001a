//! SRTP (RFC 3711, RFC 7714): sealing of what we send, in place and without allocation, and opening of what comes.
//!
//! Sealing is ours because it is the cost of a server: `rtc-srtp` allocates per packet. What comes is little, and is opened by `rtc-srtp`.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use rtc_srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc_srtp::protection_profile::ProtectionProfile;

use super::identity::Identity;

mod opener;

pub use opener::{Opener, is_rtcp};

/// First octets of an SRTCP packet that stay readable.
const RTCP_HEADER: usize = 8;
/// What sealing appends at most, to RTP and to RTCP alike.
pub const MAX_OVERHEAD: usize = 20;

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// SRTP_AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// SRTP_AES128_CM_HMAC_SHA1_80.
    Aes128CmHmacSha1_80,
}

impl Profile {
    const fn theirs(self) -> ProtectionProfile {
        match self {
            Self::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
            Self::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        }
    }

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes128CmHmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        }
    }
}

/// Keys could not be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SRTP: {0}")]
pub struct Error(String);

fn refuse(error: impl std::fmt::Display) -> Error {
    Error(error.to_string())
}

/// Key derivation labels (RFC 3711 §4.3.2) of one stream kind.
#[derive(Clone, Copy)]
struct Labels {
    encryption: u8,
    authentication: u8,
    salt: u8,
}

const RTP: Labels = Labels { encryption: 0, authentication: 1, salt: 2 };
const RTCP: Labels = Labels { encryption: 3, authentication: 4, salt: 5 };

/// Session key material by the AES-CM pseudo-random function with key derivation rate 0 (RFC 3711 §4.3.3).
fn derive(master_key: &[u8], master_salt: &[u8], label: u8, out: &mut [u8]) -> Result<(), Error> {
    let mut iv = [0u8; 16];
    iv[..master_salt.len()].copy_from_slice(master_salt);
    iv[7] ^= label;
    out.fill(0);
    counter_mode(master_key)?.less_safe_encrypt(out, EncryptionContext::Iv128((&iv).into())).map_err(refuse)?;
    Ok(())
}

fn counter_mode(key: &[u8]) -> Result<EncryptingKey, Error> {
    EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).map_err(refuse)?).map_err(refuse)
}

/// The keys of one direction and stream kind.
enum Keys {
    Gcm { key: LessSafeKey, salt: GcmSalt },
    CounterMode(Box<CounterMode>),
}

/// The older profile's keys, apart because they are three times as large: receivers' keys stand side by side, and a
/// packet to all of them walks over them.
struct CounterMode {
    key: EncryptingKey,
    salt: [u8; 14],
    authentication: hmac::Key,
}

impl Keys {
    fn new(profile: Profile, master_key: &[u8], master_salt: &[u8], labels: Labels) -> Result<Self, Error> {
        let mut key = [0; 16];
        derive(master_key, master_salt, labels.encryption, &mut key)?;
        match profile {
            Profile::AeadAes128Gcm => {
                let mut salt = [0; 12];
                derive(master_key, master_salt, labels.salt, &mut salt)?;
                let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(refuse)?);
                Ok(Self::Gcm { key, salt: GcmSalt::new(salt) })
            }
            Profile::Aes128CmHmacSha1_80 => {
                let (mut salt, mut authentication) = ([0; 14], [0; 20]);
                derive(master_key, master_salt, labels.salt, &mut salt)?;
                derive(master_key, master_salt, labels.authentication, &mut authentication)?;
                let authentication = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &authentication);
                Ok(Self::CounterMode(Box::new(CounterMode { key: counter_mode(&key)?, salt, authentication })))
            }
        }
    }
}

/// Initialisation vector of counter mode (RFC 3711 §4.1.1); `index` has 48 bits for RTP and 31 for RTCP.
fn counter_mode_iv(salt: &[u8; 14], ssrc: [u8; 4], index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    for (at, byte) in (4..8).zip(ssrc) {
        iv[at] ^= byte;
    }
    for (at, byte) in (8..14).zip(&index.to_be_bytes()[2..]) {
        iv[at] ^= byte;
    }
    iv
}

/// GCM's salt as a number, its first octet the most significant.
#[derive(Clone, Copy)]
struct GcmSalt(u128);

impl GcmSalt {
    fn new(salt: [u8; 12]) -> Self {
        let mut wide = [0; 16];
        wide[4..].copy_from_slice(&salt);
        Self(u128::from_be_bytes(wide))
    }

    /// The nonce of a packet (RFC 7714 §8.1 and §9.1): two zero octets, the stream, six octets of index, all combined
    /// with the salt.
    #[inline]
    fn nonce(self, ssrc: [u8; 4], index: u64) -> Nonce {
        let packet = u128::from(u32::from_be_bytes(ssrc)) << 48 | u128::from(index & 0xffff_ffff_ffff);
        let [_, _, _, _, nonce @ ..] = (self.0 ^ packet).to_be_bytes();
        Nonce::assume_unique_for_key(nonce)
    }
}

#[inline]
fn ssrc_at(packet: &[u8], at: usize) -> [u8; 4] {
    [packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]
}

/// Seals what we send.
///
/// **Invariant**: the caller never seals two packets of one SSRC with one index. A repeated nonce gives GCM's key away.
pub struct Sealer {
    rtp: Keys,
    rtcp: Box<Keys>,
    rtcp_index: u32,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// From a master key of 16 octets and a master salt of 12 (GCM) or 14 octets.
    ///
    /// # Errors
    /// [`Error`] when the lengths don't fit the profile.
    pub fn new(profile: Profile, master_key: &[u8], master_salt: &[u8]) -> Result<Self, Error> {
        let salt = if profile == Profile::AeadAes128Gcm { 12 } else { 14 };
        if master_key.len() != 16 || master_salt.len() != salt {
            return Err(Error(format!("a key of {} and a salt of {} octets", master_key.len(), master_salt.len())));
        }
        let keys = |labels| Keys::new(profile, master_key, master_salt, labels);
        Ok(Self { rtp: keys(RTP)?, rtcp: Box::new(keys(RTCP)?), rtcp_index: 0 })
    }

    /// Octets that sealing appends to an RTP packet.
    #[must_use]
    pub const fn overhead(&self) -> usize {
        match self.rtp {
            Keys::Gcm { .. } => 16,
            Keys::CounterMode(_) => 10,
        }
    }

    /// Seals an RTP packet in place: the first `header` octets stay readable, those up to `length` are encrypted, the tag
    /// follows. `index` is the 48-bit packet index, whose low 16 bits are the packet's sequence number. Returns the sealed
    /// length, or `None` if `packet` has no room for the tag.
    #[inline]
    pub fn seal_rtp(&self, packet: &mut [u8], header: usize, length: usize, index: u64) -> Option<usize> {
        let ssrc = ssrc_at(packet.get(..length)?, 8);
        match &self.rtp {
            Keys::Gcm { key, salt } => {
                let (head, rest) = packet.split_at_mut(header);
                let (body, after) = rest.split_at_mut(length - header);
                let nonce = salt.nonce(ssrc, index);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*head), body).ok()?;
                after.get_mut(..16)?.copy_from_slice(tag.as_ref());
                Some(length + 16)
            }
            Keys::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                let iv = counter_mode_iv(salt, ssrc, index);
                key.less_safe_encrypt(&mut packet[header..length], EncryptionContext::Iv128((&iv).into())).ok()?;
                let mut mac = hmac::Context::with_key(authentication);
                mac.update(&packet[..length]);
                mac.update(&((index >> 16) as u32).to_be_bytes());
                packet.get_mut(length..length + 10)?.copy_from_slice(&mac.sign().as_ref()[..10]);
                Some(length + 10)
            }
        }
    }

    /// Seals an RTCP compound in place (RFC 3711 §3.4, RFC 7714 §9). `None` if it is shorter than its header or all
    /// 2^31 indices are spent.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) -> Option<()> {
        let index = self.rtcp_index;
        if packet.len() < RTCP_HEADER || index >> 31 != 0 {
            return None;
        }
        self.rtcp_index += 1;
        let ssrc = ssrc_at(packet, 4);
        let trailer = (index | 1 << 31).to_be_bytes();
        match &*self.rtcp {
            Keys::Gcm { key, salt } => {
                let mut authenticated = [0; RTCP_HEADER + 4];
                authenticated[..RTCP_HEADER].copy_from_slice(&packet[..RTCP_HEADER]);
                authenticated[RTCP_HEADER..].copy_from_slice(&trailer);
                let nonce = salt.nonce(ssrc, u64::from(index));
                let body = &mut packet[RTCP_HEADER..];
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(authenticated), body).ok()?;
                packet.extend_from_slice(tag.as_ref());
                packet.extend_from_slice(&trailer);
            }
            Keys::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                let iv = counter_mode_iv(salt, ssrc, u64::from(index));
                key.less_safe_encrypt(&mut packet[RTCP_HEADER..], EncryptionContext::Iv128((&iv).into())).ok()?;
                packet.extend_from_slice(&trailer);
                let tag = hmac::sign(authentication, packet);
                packet.extend_from_slice(&tag.as_ref()[..10]);
            }
        }
        Some(())
    }
}

/// Both directions' keys from a DTLS handshake in which we were the server (RFC 5764 §4.2).
///
/// # Errors
/// [`Error`] when the exporter fails.
pub(super) fn from_dtls(
    profile: Profile,
    state: &rtc_dtls::state::State,
    identity: &Identity,
) -> Result<(Sealer, Opener), Error> {
    let mut config = Config { profile: profile.theirs(), ..Config::default() };
    let material =
        state.export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], config.keying_material_len()).map_err(refuse)?;
    config.set_session_keys_from_keying_material(material.as_ref(), false).map_err(refuse)?;
    let keys = &config.keys;
    Ok((
        Sealer::new(profile, &keys.local_master_key, &keys.local_master_salt)?,
        Opener::new(profile, &keys.remote_master_key, &keys.remote_master_salt, identity)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [(Profile, usize); 2] = [(Profile::AeadAes128Gcm, 12), (Profile::Aes128CmHmacSha1_80, 14)];

    fn pair(profile: Profile, salt: usize) -> (Sealer, Opener) {
        let identity = Identity::generate().expect("the machine has randomness");
        let (key, salt) = ([7; 16], vec![9; salt]);
        (Sealer::new(profile, &key, &salt).expect("fits"), Opener::new(profile, &key, &salt, &identity).expect("fits"))
    }

    /// RFC 3711 §B.3.
    #[test]
    fn keys_are_derived_as_the_rfc_derives_them() {
        let key = [0xe1, 0xf9, 0x7a, 0x0d, 0x3e, 0x01, 0x8b, 0xe0, 0xd6, 0x4f, 0xa3, 0x2c, 0x06, 0xde, 0x41, 0x39];
        let salt = [0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6];
        let (mut cipher, mut session_salt, mut authentication) = ([0; 16], [0; 14], [0; 20]);
        derive(&key, &salt, 0, &mut cipher).expect("derives");
        derive(&key, &salt, 2, &mut session_salt).expect("derives");
        derive(&key, &salt, 1, &mut authentication).expect("derives");
        assert_eq!(
            cipher,
            [0xc6, 0x1e, 0x7a, 0x93, 0x74, 0x4f, 0x39, 0xee, 0x10, 0x73, 0x4a, 0xfe, 0x3f, 0xf7, 0xa0, 0x87]
        );
        assert_eq!(session_salt, [0x30, 0xcb, 0xbc, 0x08, 0x86, 0x3d, 0x8c, 0x85, 0xd4, 0x9d, 0xb3, 0x4a, 0x9a, 0xe1]);
        assert_eq!(authentication[..8], [0xce, 0xbe, 0x32, 0x1f, 0x6f, 0xf7, 0x71, 0x6b]);
    }

    #[test]
    fn what_is_sealed_opens_elsewhere_over_the_wrap_and_only_once() {
        for (profile, salt) in PROFILES {
            let (sealer, mut opener) = pair(profile, salt);
            for index in 65_000..66_100u64 {
                let mut packet = vec![0x80, 96, (index >> 8) as u8, index as u8, 0, 0, 0, 1, 0, 0, 0, 5];
                packet.extend([index as u8; 50]);
                let (plain, length) = (packet.clone(), packet.len());
                packet.resize(length + MAX_OVERHEAD, 0);
                let sealed = sealer.seal_rtp(&mut packet, 12, length, index).expect("has room");
                assert_eq!(sealed, length + sealer.overhead());
                assert_eq!(opener.open_rtp(&packet[..sealed]).expect("opens"), plain, "{profile:?} {index}");
                assert!(opener.open_rtp(&packet[..sealed]).is_err(), "a replay is refused");
                packet[20] ^= 1;
                assert!(opener.open_rtp(&packet[..sealed]).is_err(), "a forgery is refused");
            }
        }
    }

    #[test]
    fn rtcp_opens_elsewhere() {
        for (profile, salt) in PROFILES {
            let (mut sealer, mut opener) = pair(profile, salt);
            for _ in 0..3 {
                let plain = vec![0x80, 201, 0, 1, 0, 0, 0, 5];
                let mut packet = plain.clone();
                sealer.seal_rtcp(&mut packet).expect("has a header");
                assert_eq!(opener.open_rtcp(&packet).expect("opens"), plain);
                assert!(opener.open_rtcp(&packet).is_err(), "a replay is refused");
            }
        }
    }

    #[test]
    fn a_packet_without_room_for_its_tag_is_refused() {
        let (sealer, _) = pair(Profile::AeadAes128Gcm, 12);
        assert_eq!(sealer.seal_rtp(&mut [0x80; 40], 12, 40, 1), None);
        assert!(Sealer::new(Profile::AeadAes128Gcm, &[0; 16], &[0; 14]).is_err());
    }
}
