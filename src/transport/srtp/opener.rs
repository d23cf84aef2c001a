//! Opening what comes, so that nothing forged is remembered.

use std::sync::Arc;

use bytes::BytesMut;
use rtc_crypto::RTCCryptoProvider;
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};

use super::{Error, Profile, refuse};
use crate::transport::identity::Identity;

/// Window of the replay protection, in packets: at 4 Mbit/s it spans more than a second of reordering.
const REPLAY_WINDOW: usize = 2_048;
/// Streams of one peer at most, those that say whose RTCP it is among them. A studio's simulcast with retransmission takes 15.
const MAX_STREAMS: usize = 256;
/// A trial leaves half a kilobyte behind for each stream that was only claimed; after so many it begins anew.
const MAX_CLAIMS: usize = 64;

/// Whether SRTP is RTCP: its packet type is where an RTP packet has its marker and payload type (RFC 5761 §4).
#[must_use]
pub fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet.get(1), Some(192..=223))
}

/// Whose stream SRTP is, which stays readable. `None` for what is too short to be any.
fn ssrc_of(packet: &[u8]) -> Option<[u8; 4]> {
    let at = if is_rtcp(packet) { 4 } else { 8 };
    packet.get(at..at + 4)?.try_into().ok()
}

/// What makes a context.
struct Keys {
    profile: Profile,
    key: Vec<u8>,
    salt: Vec<u8>,
    provider: Arc<dyn RTCCryptoProvider>,
}

impl Keys {
    fn context(&self) -> Result<Context, Error> {
        let rtp = Some(srtp_replay_protection(REPLAY_WINDOW));
        let rtcp = Some(srtcp_replay_protection(REPLAY_WINDOW));
        Context::new(&self.key, &self.salt, self.profile.theirs(), rtp, rtcp, self.provider.crypto()).map_err(refuse)
    }
}

/// Opens what comes.
///
/// `rtc-srtp` keeps a replay window for every stream that a packet names, before it knows whether the packet is
/// authentic, and forgets none. Whoever knows where a peer sends from could name a new stream with each packet. So the
/// first packet of a stream is tried on a context that is thrown away now and then, and only what passes there
/// reaches the one that lasts.
pub struct Opener {
    keys: Keys,
    context: Context,
    /// Streams of which something authentic came.
    opened: Vec<[u8; 4]>,
    trial: Context,
    claims: usize,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("streams", &self.opened.len())
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

impl Opener {
    /// From the peer's master key and salt, with replay protection for RTP and RTCP.
    ///
    /// # Errors
    /// [`Error`] when the lengths don't fit the profile.
    pub fn new(profile: Profile, master_key: &[u8], master_salt: &[u8], identity: &Identity) -> Result<Self, Error> {
        let provider = Arc::clone(identity.provider());
        let keys = Keys { profile, key: master_key.into(), salt: master_salt.into(), provider };
        Ok(Self { context: keys.context()?, trial: keys.context()?, keys, opened: Vec::new(), claims: 0 })
    }

    /// Whether something authentic came of this packet's stream before. Of these only there are replay windows.
    #[must_use]
    pub fn has_opened(&self, packet: &[u8]) -> bool {
        ssrc_of(packet).is_some_and(|ssrc| self.opened.contains(&ssrc))
    }

    /// An RTP packet's plain form.
    ///
    /// # Errors
    /// [`Error`] for what is forged, replayed, too short or of one stream too many.
    pub fn open_rtp(&mut self, packet: &[u8]) -> Result<BytesMut, Error> {
        self.open(packet, |context| context.decrypt_rtp(packet).map_err(refuse))
    }

    /// An RTCP compound's plain form.
    ///
    /// # Errors
    /// [`Error`] for what is forged, replayed, too short or of one stream too many.
    pub fn open_rtcp(&mut self, packet: &[u8]) -> Result<BytesMut, Error> {
        self.open(packet, |context| context.decrypt_rtcp(packet).map_err(refuse))
    }

    fn open(
        &mut self,
        packet: &[u8],
        decrypt: impl Fn(&mut Context) -> Result<BytesMut, Error>,
    ) -> Result<BytesMut, Error> {
        self.admit(packet, &decrypt)?;
        decrypt(&mut self.context)
    }

    /// Lets the stream of `packet` in if it is known or the packet passes the trial.
    fn admit(&mut self, packet: &[u8], decrypt: impl Fn(&mut Context) -> Result<BytesMut, Error>) -> Result<(), Error> {
        let ssrc = ssrc_of(packet).ok_or_else(|| refuse("too short"))?;
        if self.opened.contains(&ssrc) {
            return Ok(());
        }
        if self.opened.len() >= MAX_STREAMS {
            return Err(refuse("more streams than one peer may have"));
        }
        if self.claims >= MAX_CLAIMS {
            self.trial = self.keys.context()?;
            self.claims = 0;
        }
        self.claims += 1;
        decrypt(&mut self.trial)?;
        self.opened.push(ssrc);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_OVERHEAD, Sealer};
    use super::*;

    fn packet(ssrc: u32, sealer: &Sealer, index: u64) -> Vec<u8> {
        let mut packet = vec![0x80, 96, (index >> 8) as u8, index as u8, 0, 0, 0, 1];
        packet.extend(ssrc.to_be_bytes());
        packet.extend([7; 30]);
        let length = packet.len();
        packet.resize(length + MAX_OVERHEAD, 0);
        let sealed = sealer.seal_rtp(&mut packet, 12, length, index).expect("has room");
        packet.truncate(sealed);
        packet
    }

    #[test]
    fn streams_that_are_only_claimed_are_forgotten() {
        let identity = Identity::generate().expect("the machine has randomness");
        for (profile, salt) in [(Profile::AeadAes128Gcm, 12), (Profile::Aes128CmHmacSha1_80, 14)] {
            let (key, salt) = ([7; 16], vec![9; salt]);
            let sealer = Sealer::new(profile, &key, &salt).expect("fits");
            let stranger = Sealer::new(profile, &[8; 16], &salt).expect("fits");
            let mut opener = Opener::new(profile, &key, &salt, &identity).expect("fits");
            for ssrc in 0..10_000 {
                assert!(opener.open_rtp(&packet(ssrc, &stranger, 1)).is_err());
                assert!(opener.claims <= MAX_CLAIMS && opener.opened.is_empty());
            }
            // Neither do they keep the peer's own out, nor does a stream begin twice.
            let first = packet(77, &sealer, 1);
            assert!(!opener.has_opened(&first));
            assert!(opener.open_rtp(&first).is_ok() && opener.has_opened(&first));
            assert!(opener.open_rtp(&first).is_err(), "a replay is refused");
            for ssrc in 20_000..30_000 {
                assert!(opener.open_rtp(&packet(ssrc, &stranger, 1)).is_err());
            }
            assert!(opener.open_rtp(&first).is_err(), "the window outlives what strangers send");
            assert!(opener.open_rtp(&packet(77, &sealer, 2)).is_ok());
        }
    }

    #[test]
    fn a_peer_has_so_many_streams_at_most() {
        let identity = Identity::generate().expect("the machine has randomness");
        let (key, salt) = ([7; 16], [9; 12]);
        let sealer = Sealer::new(Profile::AeadAes128Gcm, &key, &salt).expect("fits");
        let mut opener = Opener::new(Profile::AeadAes128Gcm, &key, &salt, &identity).expect("fits");
        let opens = (0..MAX_STREAMS as u32 + 5).filter(|&ssrc| opener.open_rtp(&packet(ssrc, &sealer, 1)).is_ok());
        assert_eq!(opens.count(), MAX_STREAMS);
        assert!(opener.open_rtp(&packet(0, &sealer, 2)).is_ok(), "those that are there go on");
    }
}
