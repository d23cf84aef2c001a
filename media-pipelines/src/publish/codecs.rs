//! The codecs and header extensions that are offered.

use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::shared::error::Error;

use super::header_extensions::{MID, REPAIRED_STREAM_ID, STREAM_ID, TRANSPORT_SEQUENCE};
use crate::demo::ladder::VideoCodec;

const OPUS_TYPE: u8 = 111;
const VIDEO_TYPE: u8 = 102;
const REPAIR_TYPE: u8 = 103;

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The voice.
    Opus,
    /// Pictures.
    Video(VideoCodec),
}

/// The codecs offered: one for each kind, so that what is negotiated is what the encoders make.
///
/// The voice has no NACK: without a retransmission format its packets would be encrypted twice under one SRTP index, which
/// AES-GCM doesn't survive (RFC 7714 §8.1).
///
/// # Errors
/// What the stack refuses, which is nothing unless it changes.
pub fn media_engine(video: VideoCodec) -> Result<MediaEngine, Error> {
    let mut engine = MediaEngine::default();
    let opus = RTCRtpCodecParameters { rtp_codec: codec(Content::Opus), payload_type: OPUS_TYPE };
    engine.register_codec(opus, RtpCodecKind::Audio)?;
    let pictures = RTCRtpCodecParameters { rtp_codec: codec(Content::Video(video)), payload_type: VIDEO_TYPE };
    engine.register_codec(pictures, RtpCodecKind::Video)?;
    let repair = RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: 90_000,
        sdp_fmtp_line: format!("apt={VIDEO_TYPE}"),
        ..Default::default()
    };
    engine
        .register_codec(RTCRtpCodecParameters { rtp_codec: repair, payload_type: REPAIR_TYPE }, RtpCodecKind::Video)?;
    let extensions = [
        (MID, RtpCodecKind::Audio),
        (TRANSPORT_SEQUENCE, RtpCodecKind::Audio),
        (MID, RtpCodecKind::Video),
        (TRANSPORT_SEQUENCE, RtpCodecKind::Video),
        (STREAM_ID, RtpCodecKind::Video),
        (REPAIRED_STREAM_ID, RtpCodecKind::Video),
    ];
    for (uri, kind) in extensions {
        engine.register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.to_owned() }, kind, None)?;
    }
    Ok(engine)
}

/// A codec as it is offered.
#[must_use]
pub fn codec(content: Content) -> RTCRtpCodec {
    let (mime_type, clock_rate, channels, parameters) = match content {
        Content::Opus => (MIME_TYPE_OPUS, 48_000, 2, "minptime=10;useinbandfec=1"),
        Content::Video(VideoCodec::H264) => {
            (MIME_TYPE_H264, 90_000, 0, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e028")
        }
        Content::Video(VideoCodec::Vp8) => (MIME_TYPE_VP8, 90_000, 0, ""),
    };
    let kinds: &[(&str, &str)] = match content {
        Content::Opus => &[("transport-cc", "")],
        Content::Video(_) => &[("transport-cc", ""), ("nack", ""), ("nack", "pli"), ("ccm", "fir")],
    };
    let feedback =
        kinds.iter().map(|(typ, parameter)| RTCPFeedback { typ: (*typ).into(), parameter: (*parameter).into() });
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: parameters.to_owned(),
        rtcp_feedback: feedback.collect(),
    }
}
