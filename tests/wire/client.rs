//! A client made of the `rtc` crate: it offers as a browser does, and lives on the time and the datagrams it is given.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::interceptor::{Interceptor, Packet as Intercepted, Registry, Slot, StreamInfo, TaggedPacket};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_AV1, MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtcp::Packet as Rtcp;
use rtc::rtp::Packet as Rtp;
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpRtxParameters, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;

pub(crate) use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as Offered;

pub(crate) const OPUS: u8 = 111;
pub(crate) const VP8: u8 = 96;
pub(crate) const VP8_RTX: u8 = 97;
/// What publishers offer besides.
pub(crate) const RED: u8 = 63;
pub(crate) const H264: u8 = 102;
pub(crate) const AV1: u8 = 45;
/// As Chromium orders them.
pub(crate) const CHROMIUM: [Offered; 2] = [Offered::Srtp_Aes128_Cm_Hmac_Sha1_80, Offered::Srtp_Aead_Aes_128_Gcm];

/// What a track is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Voice,
    Video,
}

impl Kind {
    const fn codec_kind(self) -> RtpCodecKind {
        match self {
            Self::Voice => RtpCodecKind::Audio,
            Self::Video => RtpCodecKind::Video,
        }
    }

    pub(crate) const fn payload_type(self) -> u8 {
        match self {
            Self::Voice => OPUS,
            Self::Video => VP8,
        }
    }
}

/// What the client does with its tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Publish,
    Subscribe,
}

struct Track {
    kind: Kind,
    ssrc: u32,
    sender: Option<RTCRtpSenderId>,
}

/// What passes beneath the client's own rules: RTCP as it came, and packets that no well-behaved stack would send.
#[derive(Default)]
struct Wire {
    heard: Vec<Box<dyn Rtcp>>,
    disguise: Option<Disguise>,
}

/// Changes an outgoing packet after everything that checks it.
pub(crate) type Disguise = Box<dyn FnMut(&mut Rtp) + Send>;

pub(crate) struct Client {
    pc: RTCPeerConnection,
    local: SocketAddr,
    tracks: Vec<Track>,
    wire: Arc<Mutex<Wire>>,
    pub(crate) state: RTCPeerConnectionState,
    /// Packets that arrived and belong to an m-line.
    pub(crate) received: Vec<Rtp>,
    /// Media as it came, sealed, what came twice included.
    pub(crate) datagrams: Vec<Vec<u8>>,
    /// Requests for a keyframe that were met.
    pub(crate) keyframes_asked: usize,
}

impl Client {
    pub(crate) fn new(now: Instant, local: SocketAddr, way: Way, tracks: &[Kind], profiles: &[Offered]) -> Self {
        let wire = Arc::new(Mutex::new(Wire::default()));
        let tap = Tap { wire: Arc::clone(&wire), inbound: VecDeque::new(), outbound: VecDeque::new() };
        let mut pc = RTCPeerConnectionBuilder::new()
            .with_media_engine(media_engine(way))
            .with_setting_engine(setting_engine(profiles).build())
            .with_interceptor_registry(Registry::new().with(Slot::TwccSender, tap))
            .build(now)
            .expect("a peer connection");
        let tracks = tracks.iter().map(|&kind| add_track(&mut pc, way, kind)).collect();
        let candidate = CandidateConfig {
            network: "udp".into(),
            address: local.ip().to_string(),
            port: local.port(),
            component: 1,
            ..Default::default()
        };
        let candidate = CandidateHostConfig { base_config: candidate, ..Default::default() };
        let candidate = RTCIceCandidate::from(&candidate.new_candidate_host().expect("an address"));
        pc.add_local_candidate(candidate.to_json().expect("can be written")).expect("is taken");
        Self {
            pc,
            local,
            tracks,
            wire,
            state: RTCPeerConnectionState::New,
            received: Vec::new(),
            datagrams: Vec::new(),
            keyframes_asked: 0,
        }
    }

    /// An offer, for the first time or with `restart` for a new ICE session.
    pub(crate) fn offer(&mut self, now: Instant, restart: bool) -> String {
        if restart {
            self.pc.restart_ice();
        }
        let offer = self.pc.create_offer(None).expect("an offer");
        self.pc.set_local_description(now, offer).expect("its own offer");
        self.pc.local_description().expect("set above").sdp
    }

    pub(crate) fn answered(&mut self, now: Instant, answer: String) {
        let answer = RTCSessionDescription::answer(answer).expect("an answer");
        self.pc.set_remote_description(now, answer).expect("the answer is acceptable");
    }

    /// A datagram came. What is wrong with it is the client's to know.
    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        // RFC 7983, RFC 5761 §4.
        if matches!(datagram, [128..=191, kind, ..] if !(192..=223).contains(kind)) {
            self.datagrams.push(datagram.to_vec());
        }
        let transport = TransportContext {
            local_addr: self.local,
            peer_addr: from,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        let _ = self.pc.handle_read(TaggedBytesMut { now, transport, message: BytesMut::from(datagram) });
        self.take_note();
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, BytesMut)> {
        self.pc.poll_write().map(|datagram| (datagram.transport.peer_addr, datagram.message))
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        self.pc.poll_timeout()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let _ = self.pc.handle_timeout(now);
        self.take_note();
    }

    fn take_note(&mut self) {
        while let Some(event) = self.pc.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.state = state;
            }
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.pc.poll_read() {
            if let RTCMessage::RtpPacket(_, packet) = message {
                self.received.push(packet);
            }
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state == RTCPeerConnectionState::Connected
    }

    pub(crate) fn tracks(&self) -> usize {
        self.tracks.len()
    }

    pub(crate) fn kind(&self, track: usize) -> Kind {
        self.tracks[track].kind
    }

    /// The stream of a track that it sends.
    pub(crate) fn ssrc(&self, track: usize) -> u32 {
        self.tracks[track].ssrc
    }

    /// Sends one packet of a track.
    pub(crate) fn send(&mut self, now: Instant, track: usize, sequence: u16, timestamp: u32, payload: &[u8]) {
        let Track { kind, ssrc, sender } = self.tracks[track];
        let mut packet = Rtp { payload: Bytes::copy_from_slice(payload), ..Default::default() };
        packet.header.version = 2;
        packet.header.marker = true;
        packet.header.ssrc = ssrc;
        packet.header.payload_type = kind.payload_type();
        packet.header.sequence_number = sequence;
        packet.header.timestamp = timestamp;
        let mut sender = self.pc.rtp_sender(sender.expect("it publishes")).expect("it is there");
        sender.write_rtp(now, packet).expect("it was negotiated");
    }

    /// From now on outgoing media is changed before it is sealed.
    pub(crate) fn disguise(&mut self, disguise: Option<Disguise>) {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner).disguise = disguise;
    }

    /// Sends an RTCP compound.
    pub(crate) fn send_rtcp(&mut self, now: Instant, compound: Vec<Box<dyn Rtcp>>) {
        let message = TaggedRTCMessage { now, message: RTCMessage::RtcpPacket(String::new(), compound) };
        self.pc.handle_write(message).expect("it is connected");
    }

    /// The RTCP packets that came since this was last asked.
    pub(crate) fn heard(&mut self) -> Vec<Box<dyn Rtcp>> {
        std::mem::take(&mut self.wire.lock().unwrap_or_else(PoisonError::into_inner).heard)
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self) {
        self.pc.close().expect("it can always be closed");
    }
}

fn add_track(pc: &mut RTCPeerConnection, way: Way, kind: Kind) -> Track {
    let (ssrc, repair): (u32, u32) = (rand::random(), rand::random());
    if way == Way::Subscribe {
        pc.add_transceiver_from_kind(kind.codec_kind(), None).expect("a transceiver");
        return Track { kind, ssrc, sender: None };
    }
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            rtx: (kind == Kind::Video).then_some(RTCRtpRtxParameters { ssrc: repair }),
            ..Default::default()
        },
        active: true,
        codec: codec(kind),
        ..Default::default()
    };
    let name = format!("track-{ssrc}");
    let track = MediaStreamTrack::new("lesson".into(), name.clone(), name, kind.codec_kind(), vec![coding]);
    Track { kind, ssrc, sender: Some(pc.add_track(track).expect("a track")) }
}

fn setting_engine(profiles: &[SrtpProtectionProfile]) -> SettingEngineBuilder {
    SettingEngineBuilder::new()
        .with_include_loopback_candidate(true)
        .with_srtp_protection_profiles(profiles.to_vec())
        .with_ice_connection_attempts(Some(Duration::from_millis(100)), Some(50))
        // The server ends what is silent; a client that gave up first would hide it.
        .with_ice_timeouts(Some(Duration::from_secs(60)), Some(Duration::from_secs(60)), Some(Duration::from_secs(2)))
}

fn codec(kind: Kind) -> RTCRtpCodec {
    let (mime_type, clock_rate, channels) = match kind {
        Kind::Voice => (MIME_TYPE_OPUS, 48_000, 2),
        Kind::Video => (MIME_TYPE_VP8, 90_000, 0),
    };
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    let rtcp_feedback = match kind {
        Kind::Voice => Vec::new(),
        Kind::Video => vec![feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")],
    };
    RTCRtpCodec { mime_type: mime_type.to_owned(), clock_rate, channels, sdp_fmtp_line: String::new(), rtcp_feedback }
}

fn media_engine(way: Way) -> MediaEngine {
    let mut engine = MediaEngine::default();
    let other = |mime_type: &str, clock_rate, channels, parameters: String| RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: parameters,
        ..Default::default()
    };
    let baseline = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    let mut codecs = vec![
        (codec(Kind::Voice), OPUS, RtpCodecKind::Audio),
        (codec(Kind::Video), VP8, RtpCodecKind::Video),
        (other(MIME_TYPE_RTX, 90_000, 0, format!("apt={VP8}")), VP8_RTX, RtpCodecKind::Video),
    ];
    if way == Way::Publish {
        codecs.extend([
            (other("audio/red", 48_000, 2, format!("{OPUS}/{OPUS}")), RED, RtpCodecKind::Audio),
            (other(MIME_TYPE_H264, 90_000, 0, baseline.into()), H264, RtpCodecKind::Video),
            (other(MIME_TYPE_AV1, 90_000, 0, String::new()), AV1, RtpCodecKind::Video),
        ]);
    }
    for (rtp_codec, payload_type, kind) in codecs {
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, kind).expect("a codec");
    }
    engine
}

/// The last step before sealing, and the first after opening.
struct Tap {
    wire: Arc<Mutex<Wire>>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Intercepted::Rtcp(packets) = &message.message.packet {
            self.wire.lock().unwrap_or_else(PoisonError::into_inner).heard.extend(packets.iter().cloned());
        }
        self.inbound.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        if let Intercepted::Rtp(packet) = &mut message.message.packet
            && let Some(disguise) = &mut self.wire.lock().unwrap_or_else(PoisonError::into_inner).disguise
        {
            disguise(packet);
        }
        self.outbound.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
