//! Frames cut into RTP packets: H.264 (RFC 6184, packetization-mode 1), VP8 (RFC 7741), Opus (RFC 7587).

use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::opus::OpusPayloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;
use rtc::rtp::{Header, Packet};
use rtc::shared::error::Error;

use super::codecs::Content;
use super::sender_report::Timestamps;
use crate::demo::ladder::VideoCodec;
use crate::demo::outlet::Frame;

/// Bytes of payload in one packet: with header, extensions, retransmission header and SRTP tag it stays below 1,200.
const PAYLOAD: usize = 1_130;

/// One SSRC's packets.
pub struct Packetiser {
    payloader: Box<dyn Payloader>,
    content: Content,
    payload_type: u8,
    ssrc: u32,
    timestamps: Timestamps,
    sequence_number: u16,
}

impl std::fmt::Debug for Packetiser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packetiser").field("content", &self.content).field("ssrc", &self.ssrc).finish_non_exhaustive()
    }
}

impl Packetiser {
    /// Packets begin with `sequence_number`, which should be random (RFC 3550 §5.1).
    #[must_use]
    pub fn new(content: Content, payload_type: u8, ssrc: u32, timestamps: Timestamps, sequence_number: u16) -> Self {
        let mut vp8 = Vp8Payloader::default();
        vp8.enable_picture_id = true;
        let payloader: Box<dyn Payloader> = match content {
            Content::Opus => Box::new(OpusPayloader),
            Content::Video(VideoCodec::H264) => Box::new(H264Payloader::default()),
            Content::Video(VideoCodec::Vp8) => Box::new(vp8),
        };
        Self { payloader, content, payload_type, ssrc, timestamps, sequence_number }
    }

    /// The packets of a frame, all with the timestamp of its capture; the last one of a picture is marked.
    ///
    /// # Errors
    /// What the payload format refuses.
    pub fn packetise(&mut self, frame: &Frame) -> Result<Vec<Packet>, Error> {
        let payloads = self.payloader.payload(PAYLOAD, &frame.data)?;
        let last = payloads.len().saturating_sub(1);
        let timestamp = self.timestamps.at(frame.captured);
        let packets = payloads.into_iter().enumerate().map(|(index, payload)| {
            let header = Header {
                version: 2,
                marker: index == last && self.content != Content::Opus,
                payload_type: self.payload_type,
                sequence_number: self.sequence_number,
                timestamp,
                ssrc: self.ssrc,
                ..Header::default()
            };
            self.sequence_number = self.sequence_number.wrapping_add(1);
            Packet { header, payload }
        });
        Ok(packets.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;
    use bytes::Bytes;

    fn packetiser(content: Content) -> Packetiser {
        Packetiser::new(content, 102, 9, Timestamps { rate: 90_000, offset: 0 }, u16::MAX)
    }

    fn frame(data: Vec<u8>) -> Frame {
        Frame { captured: UnixTime::from_nanos(2_000_000_000), data: Bytes::from(data), keyframe: true }
    }

    #[test]
    fn a_large_picture_becomes_numbered_packets_with_one_timestamp_and_a_marker_at_the_end() {
        let mut access_unit = vec![0, 0, 0, 1, 0x65];
        access_unit.extend(std::iter::repeat_n(0xaa, 3 * PAYLOAD));
        let packets = packetiser(Content::Video(VideoCodec::H264)).packetise(&frame(access_unit)).expect("valid H.264");
        let numbers: Vec<_> = packets.iter().map(|packet| packet.header.sequence_number).collect();
        assert_eq!(numbers, [u16::MAX, 0, 1, 2]);
        assert!(packets.iter().all(|packet| packet.header.timestamp == 180_000 && packet.payload.len() <= PAYLOAD));
        let marked: Vec<_> = packets.iter().map(|packet| packet.header.marker).collect();
        assert_eq!(marked, [false, false, false, true]);
    }

    #[test]
    fn parameter_sets_travel_in_one_packet_before_their_picture() {
        let sets_and_slice = vec![0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 4, 5, 0, 0, 1, 0x65, 6, 7, 8];
        let packets =
            packetiser(Content::Video(VideoCodec::H264)).packetise(&frame(sets_and_slice)).expect("valid H.264");
        let kinds: Vec<_> = packets.iter().map(|packet| packet.payload[0] & 0x1f).collect();
        assert_eq!(kinds, [24, 5], "STAP-A with both sets, then the IDR slice");
    }

    #[test]
    fn a_voice_packet_is_one_rtp_packet_without_marker() {
        let packets = packetiser(Content::Opus).packetise(&frame(vec![1; 80])).expect("valid Opus");
        assert_eq!((packets.len(), packets[0].header.marker, packets[0].payload.len()), (1, false, 80));
    }
}
