//! The header extensions of what is published: MID (RFC 8843), RtpStreamId and RepairedRtpStreamId (RFC 8852), and
//! transport-wide sequence numbers (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Every packet carries all of them, retransmissions too: a server that has lost its memory of an SSRC knows it again
//! at the next packet, and the constant layout lets it forward packets of one frame with equal lengths.

use std::collections::HashMap;

use bytes::Bytes;
use rtc::interceptor::StreamInfo;
use rtc::rtp::Packet;

/// URI of the MID extension.
pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// URI of the RtpStreamId extension.
pub const STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// URI of the RepairedRtpStreamId extension.
pub const REPAIRED_STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// URI of the transport-wide sequence number.
pub const TRANSPORT_SEQUENCE: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// To which m-line and encoding an SSRC belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The m-line.
    pub mid: &'static str,
    /// The encoding, where the m-line has several.
    pub rid: Option<&'static str>,
}

/// Writes the extensions into packets on their way to the wire.
#[derive(Debug)]
pub struct HeaderExtensions {
    identities: HashMap<u32, Identity>,
    bound: HashMap<u32, Vec<(u8, Bytes)>>,
    transport_sequence: HashMap<u32, u8>,
    next: u16,
}

impl HeaderExtensions {
    /// For the SSRCs in `identities`; nothing is written before [`Self::bind`] tells the negotiated ids.
    #[must_use]
    pub fn new(identities: HashMap<u32, Identity>) -> Self {
        Self { identities, bound: HashMap::new(), transport_sequence: HashMap::new(), next: 0 }
    }

    /// An SSRC and its retransmissions are about to be sent, with these ids negotiated.
    pub fn bind(&mut self, info: &StreamInfo) {
        let Some(identity) = self.identities.get(&info.ssrc) else { return };
        let id = |uri: &str| {
            let negotiated = info.rtp_header_extensions.iter().find(|extension| extension.uri == uri)?;
            u8::try_from(negotiated.id).ok().filter(|id| (1..=14).contains(id))
        };
        let mid = id(MID).map(|id| (id, Bytes::from_static(identity.mid.as_bytes())));
        let rid = |uri| Some((id(uri)?, Bytes::from_static(identity.rid?.as_bytes())));
        self.bound.insert(info.ssrc, mid.clone().into_iter().chain(rid(STREAM_ID)).collect());
        if let Some(repair) = info.ssrc_rtx {
            self.bound.insert(repair, mid.into_iter().chain(rid(REPAIRED_STREAM_ID)).collect());
        }
        if let Some(id) = id(TRANSPORT_SEQUENCE) {
            self.transport_sequence.extend(info.ssrc_rtx.into_iter().chain([info.ssrc]).map(|ssrc| (ssrc, id)));
        }
    }

    /// An SSRC and its retransmissions are no longer sent.
    pub fn unbind(&mut self, info: &StreamInfo) {
        for ssrc in info.ssrc_rtx.into_iter().chain([info.ssrc]) {
            self.bound.remove(&ssrc);
            self.transport_sequence.remove(&ssrc);
        }
    }

    /// Complete a packet that leaves now. Transport-wide numbers count transmissions, so this is called once for each.
    pub fn stamp(&mut self, packet: &mut Packet) {
        let header = &mut packet.header;
        for (id, value) in self.bound.get(&header.ssrc).into_iter().flatten() {
            // An id from 1 to 14 with a value of 1 to 16 bytes always fits a one-byte header.
            let _ = header.set_extension(*id, value.clone());
        }
        if let Some(id) = self.transport_sequence.get(&header.ssrc) {
            let _ = header.set_extension(*id, Bytes::copy_from_slice(&self.next.to_be_bytes()));
            self.next = self.next.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::interceptor::RTPHeaderExtension;

    const CAMERA: u32 = 11;
    const CAMERA_REPAIR: u32 = 12;

    fn bound() -> HeaderExtensions {
        let identities = HashMap::from([(CAMERA, Identity { mid: "1", rid: Some("m") })]);
        let mut extensions = HeaderExtensions::new(identities);
        let negotiated = [MID, STREAM_ID, REPAIRED_STREAM_ID, TRANSPORT_SEQUENCE];
        extensions.bind(&StreamInfo {
            ssrc: CAMERA,
            ssrc_rtx: Some(CAMERA_REPAIR),
            rtp_header_extensions: (1..)
                .zip(negotiated)
                .map(|(id, uri)| RTPHeaderExtension { uri: uri.into(), id })
                .collect(),
            ..StreamInfo::default()
        });
        extensions
    }

    fn sent(extensions: &mut HeaderExtensions, ssrc: u32) -> Packet {
        let mut packet = Packet::default();
        packet.header.ssrc = ssrc;
        extensions.stamp(&mut packet);
        packet
    }

    #[test]
    fn media_and_its_retransmissions_name_their_encoding_each_in_its_own_extension() {
        let mut extensions = bound();
        let media = sent(&mut extensions, CAMERA);
        assert_eq!(media.header.get_extension(1).as_deref(), Some(&b"1"[..]));
        assert_eq!(media.header.get_extension(2).as_deref(), Some(&b"m"[..]));
        assert_eq!(media.header.get_extension(3), None);
        let repair = sent(&mut extensions, CAMERA_REPAIR);
        assert_eq!(repair.header.get_extension(2), None);
        assert_eq!(repair.header.get_extension(3).as_deref(), Some(&b"m"[..]));
    }

    #[test]
    fn transport_wide_numbers_count_every_transmission() {
        let mut extensions = bound();
        let numbers: Vec<_> = [CAMERA, CAMERA_REPAIR, CAMERA]
            .map(|ssrc| sent(&mut extensions, ssrc).header.get_extension(4).map(|value| value[1]))
            .into();
        assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn an_ssrc_that_is_not_ours_is_left_alone() {
        assert!(sent(&mut bound(), 99).header.extensions.is_empty());
    }
}
