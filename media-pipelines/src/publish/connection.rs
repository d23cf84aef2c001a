//! One WebRTC connection that sends the whole lesson: an m-line for the voice, one for the camera with its rids and one
//! for the slides with theirs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{NackResponderBuilder, ReceiverReportBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::watch;
use tokio::task::JoinSet;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionState,
    RTCSessionDescription, Registry, SettingEngineBuilder, SrtpProtectionProfile,
};

use super::codecs::{self, Content};
use super::header_extensions::{HeaderExtensions, Identity};
use super::interceptor::Departure;
use super::packetise::Packetiser;
use super::sender_report::{SenderReports, Timestamps};
use crate::clock::Clock;
use crate::demo::ladder::{LAYERS, Source, VideoCodec};
use crate::demo::outlet::{Frame, Outlet};
use crate::demo::pipeline::Encoders;

/// A server that answers no consent check (RFC 7675) for this long is gone.
const CONSENT_TIMEOUT: Duration = Duration::from_millis(1_500);
const CONSENT_INTERVAL: Duration = Duration::from_millis(300);
/// Packets of one frame that leave at once, and the pause before the next ones: a keyframe must not overflow a queue
/// on its way.
const BURST: usize = 12;
const BURST_PAUSE: Duration = Duration::from_millis(2);
/// Packets kept for retransmission, per encoding: some seconds at the highest rate.
const RETRANSMISSION_BUFFER: u16 = 1_024;

/// Why a connection could not be made or has ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The WebRTC stack refused something.
    #[error("the WebRTC connection can't be set up: {0}")]
    Stack(#[from] webrtc::error::Error),
    /// Candidates were not gathered in time.
    #[error("no local address could be gathered")]
    NoCandidates,
    /// The answer leaves out one of the m-lines.
    #[error("the server doesn't take the {0:?} in the form it was offered")]
    NotTaken(Source),
    /// ICE or DTLS did not succeed in time.
    #[error("the server answered over HTTP but no media connection came up")]
    NoMedia,
    /// The connection was up and is not any more.
    #[error("the media connection to the server is lost")]
    Lost,
}

/// One encoding on the wire.
struct Encoding {
    source: Source,
    rid: Option<&'static str>,
    ssrc: u32,
    repair: Option<u32>,
    timestamps: Timestamps,
    outlet: Arc<Outlet>,
}

/// One m-line.
struct Line {
    source: Source,
    mid: &'static str,
    track: Arc<TrackLocalStaticRTP>,
}

/// A connection, from its offer to its end.
pub struct Connection {
    peer: Arc<dyn PeerConnection>,
    codec: VideoCodec,
    encodings: Vec<Encoding>,
    lines: Vec<Line>,
    state: watch::Receiver<RTCPeerConnectionState>,
    gathered: watch::Receiver<bool>,
    senders: JoinSet<()>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("codec", &self.codec)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

struct Events {
    state: watch::Sender<RTCPeerConnectionState>,
    gathered: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        tracing::debug!(%state, "connection state");
        self.state.send_replace(state);
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }
}

impl Connection {
    /// Prepare to send what `encoders` make, from the local address `local`.
    ///
    /// # Errors
    /// [`ConnectionError::Stack`].
    pub async fn new(
        encoders: &Encoders,
        codec: VideoCodec,
        clock: Clock,
        local: IpAddr,
    ) -> Result<Self, ConnectionError> {
        let encodings = encodings(encoders);
        let lines = [(Source::Voice, "0"), (Source::Camera, "1"), (Source::Slides, "2")].map(|(source, mid)| Line {
            source,
            mid,
            track: Arc::new(track(source, codec, &encodings)),
        });
        let (state, state_receiver) = watch::channel(RTCPeerConnectionState::New);
        let (gathered, gathered_receiver) = watch::channel(false);
        let departure = departure(&encodings, &lines, clock);
        let peer = PeerConnectionBuilder::new()
            .with_media_engine(codecs::media_engine(codec)?)
            .with_setting_engine(
                SettingEngineBuilder::new()
                    .with_ice_timeouts(Some(CONSENT_TIMEOUT), Some(CONSENT_TIMEOUT), Some(CONSENT_INTERVAL))
                    .with_include_loopback_candidate(true)
                    // A server names its addresses; nobody needs to be asked for them.
                    .with_multicast_dns_mode(MulticastDnsMode::Disabled)
                    .with_mid_generator(|greatest| (greatest + 1).to_string())
                    .with_srtp_protection_profiles(vec![
                        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                    ])
                    .build(),
            )
            .with_interceptor_registry(
                Registry::new()
                    .with(Slot::TwccSender, departure)
                    .with(Slot::NackResponder, NackResponderBuilder::new().with_size(RETRANSMISSION_BUFFER).build())
                    .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build()),
            )
            .with_handler(Arc::new(Events { state, gathered }))
            .with_udp_addrs(vec![std::net::SocketAddr::new(local, 0)])
            .build()
            .await?;
        let (peer, lines): (Arc<dyn PeerConnection>, _) = (Arc::new(peer), Vec::from(lines));
        for line in &lines {
            let init = RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Sendonly, ..Default::default() };
            peer.add_transceiver_from_track(Arc::clone(&line.track) as Arc<dyn TrackLocal>, Some(init)).await?;
        }
        Ok(Self {
            peer,
            codec,
            encodings,
            lines,
            state: state_receiver,
            gathered: gathered_receiver,
            senders: JoinSet::new(),
        })
    }

    /// The offer, with all candidates.
    ///
    /// # Errors
    /// [`ConnectionError::NoCandidates`] or what the stack says.
    pub async fn offer(&mut self) -> Result<String, ConnectionError> {
        let offer = self.peer.create_offer(None).await?;
        self.peer.set_local_description(offer).await?;
        let complete = self.gathered.wait_for(|complete| *complete);
        match tokio::time::timeout(Duration::from_secs(2), complete).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(ConnectionError::NoCandidates),
        }
        Ok(self.peer.local_description().await.ok_or(ConnectionError::NoCandidates)?.sdp)
    }

    /// Take the answer, wait until media may flow and begin to send, every layer with a keyframe.
    ///
    /// # Errors
    /// [`ConnectionError`] says what is wrong with the answer, or that nothing came up within `patience`.
    pub async fn start(&mut self, answer: String, patience: Duration) -> Result<(), ConnectionError> {
        self.peer.set_remote_description(RTCSessionDescription::answer(answer)?).await?;
        let up = self.state.wait_for(|state| *state == RTCPeerConnectionState::Connected || is_down(*state));
        match tokio::time::timeout(patience, up).await {
            Ok(Ok(state)) if *state == RTCPeerConnectionState::Connected => {}
            _ => return Err(ConnectionError::NoMedia),
        }
        for encoding in &self.encodings {
            let content = if encoding.source == Source::Voice { Content::Opus } else { Content::Video(self.codec) };
            let payload_type = self.payload_type(encoding.source, content).await?;
            let line = self.line(encoding.source)?;
            let packetiser = Packetiser::new(content, payload_type, encoding.ssrc, encoding.timestamps, rand::random());
            self.senders.spawn(send(encoding.outlet.attach(), packetiser, Arc::clone(&line.track)));
        }
        Ok(())
    }

    /// Wait until the connection is lost.
    pub async fn lost(&mut self) {
        // The sender lives as long as the connection; without it there is no connection either.
        let _ = self.state.wait_for(|state| is_down(*state)).await;
    }

    /// Stop sending and leave.
    pub async fn close(mut self) {
        self.senders.abort_all();
        if let Err(error) = self.peer.close().await {
            tracing::debug!(%error, "closing the connection");
        }
    }

    fn line(&self, source: Source) -> Result<&Line, ConnectionError> {
        self.lines.iter().find(|line| line.source == source).ok_or(ConnectionError::NotTaken(source))
    }

    /// The payload type that the answer settled on for a source.
    async fn payload_type(&self, source: Source, content: Content) -> Result<u8, ConnectionError> {
        let wanted = codecs::codec(content).mime_type;
        let mid = self.line(source)?.mid;
        for transceiver in self.peer.get_transceivers().await {
            if transceiver.mid().await?.as_deref() != Some(mid) {
                continue;
            }
            let Some(sender) = transceiver.sender().await? else { continue };
            let codecs = sender.get_parameters().await?.rtp_parameters.codecs;
            let taken = codecs.iter().find(|taken| taken.rtp_codec.mime_type.eq_ignore_ascii_case(&wanted));
            return taken.map(|taken| taken.payload_type).ok_or(ConnectionError::NotTaken(source));
        }
        Err(ConnectionError::NotTaken(source))
    }
}

const fn is_down(state: RTCPeerConnectionState) -> bool {
    matches!(
        state,
        RTCPeerConnectionState::Disconnected | RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed
    )
}

/// Send frames until the outlet or the connection closes.
async fn send(
    mut frames: tokio::sync::mpsc::Receiver<Frame>,
    mut packetiser: Packetiser,
    track: Arc<TrackLocalStaticRTP>,
) {
    while let Some(frame) = frames.recv().await {
        let packets = match packetiser.packetise(&frame) {
            Ok(packets) => packets,
            Err(error) => {
                tracing::warn!(%error, ?packetiser, "a frame can't be packetised");
                continue;
            }
        };
        for (index, packet) in packets.into_iter().enumerate() {
            if index > 0 && index % BURST == 0 {
                tokio::time::sleep(BURST_PAUSE).await;
            }
            if track.write_rtp(packet).await.is_err() {
                return;
            }
        }
    }
}

fn encodings(encoders: &Encoders) -> Vec<Encoding> {
    let timestamps = |rate| Timestamps { rate, offset: rand::random() };
    let voice = Encoding {
        source: Source::Voice,
        rid: None,
        ssrc: rand::random(),
        repair: None,
        timestamps: timestamps(48_000),
        outlet: encoders.voice(),
    };
    let layers = LAYERS.iter().enumerate().map(|(index, layer)| Encoding {
        source: layer.source,
        rid: Some(layer.rid),
        ssrc: rand::random(),
        repair: Some(rand::random()),
        timestamps: timestamps(90_000),
        outlet: encoders.layer(index),
    });
    std::iter::once(voice).chain(layers).collect()
}

/// Voice and camera share a media stream, so that receivers play them in step.
const fn media_stream(source: Source) -> &'static str {
    match source {
        Source::Voice | Source::Camera => "lesson",
        Source::Slides => "slides",
    }
}

fn track(source: Source, video: VideoCodec, encodings: &[Encoding]) -> TrackLocalStaticRTP {
    let (name, kind, content) = match source {
        Source::Voice => ("voice", RtpCodecKind::Audio, Content::Opus),
        Source::Camera => ("camera", RtpCodecKind::Video, Content::Video(video)),
        Source::Slides => ("slides", RtpCodecKind::Video, Content::Video(video)),
    };
    let own = encodings.iter().filter(|encoding| encoding.source == source);
    let codings = own.map(|encoding| RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            rid: encoding.rid.unwrap_or_default().to_owned(),
            ssrc: Some(encoding.ssrc),
            rtx: encoding.repair.map(|ssrc| RTCRtpRtxParameters { ssrc }),
            fec: None,
        },
        active: true,
        codec: codecs::codec(content),
        ..Default::default()
    });
    let stream = media_stream(source).to_owned();
    TrackLocalStaticRTP::new(MediaStreamTrack::new(stream, name.to_owned(), name.to_owned(), kind, codings.collect()))
}

fn departure(encodings: &[Encoding], lines: &[Line], clock: Clock) -> Departure {
    let mut identities = HashMap::new();
    let mut reports = SenderReports::new(clock);
    let mut outlets = HashMap::new();
    for (encoding, line) in
        encodings.iter().filter_map(|e| Some((e, lines.iter().find(|line| line.source == e.source)?)))
    {
        identities.insert(encoding.ssrc, Identity { mid: line.mid, rid: encoding.rid });
        reports.add(encoding.ssrc, encoding.timestamps, media_stream(encoding.source));
        outlets.insert(encoding.ssrc, Arc::clone(&encoding.outlet));
    }
    Departure::new(HeaderExtensions::new(identities), reports, outlets)
}
