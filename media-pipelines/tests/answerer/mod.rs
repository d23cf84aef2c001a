//! A WHIP server for one publisher at a time that remembers everything it receives.

mod line;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, Slot, StreamInfo, TaggedPacket};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpHeaderExtensionCapability, RtpCodecKind};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState, RTCSessionDescription,
    Registry,
};

use line::Line;
use mingshi_media::clock::instant;
use mingshi_media::publish::header_extensions::{MID, REPAIRED_STREAM_ID, STREAM_ID, TRANSPORT_SEQUENCE};

/// Everything that came over one SSRC.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stream {
    pub(crate) mid: String,
    pub(crate) rid: String,
    pub(crate) repaired_rid: String,
    pub(crate) packets: Vec<(Instant, rtc::rtp::Packet)>,
    pub(crate) reports: Vec<SenderReport>,
}

/// What the answerer has seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) streams: BTreeMap<u32, Stream>,
    pub(crate) transport_sequence: Vec<u16>,
    pub(crate) offers: Vec<String>,
    pub(crate) deletes: usize,
}

#[derive(Clone)]
pub(crate) struct Answerer {
    pub(crate) address: String,
    pub(crate) seen: Arc<Mutex<Seen>>,
    tracks: Arc<Mutex<Vec<Arc<dyn TrackRemote>>>>,
    peer: Arc<tokio::sync::Mutex<Option<Arc<dyn PeerConnection>>>>,
    line: Arc<Mutex<Option<Line>>>,
}

struct Events {
    gathered: watch::Sender<bool>,
    tracks: Arc<Mutex<Vec<Arc<dyn TrackRemote>>>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let drained = Arc::clone(&track);
        self.tracks.lock().expect("no panic while locked").push(track);
        tokio::spawn(async move { while drained.poll().await.is_some() {} });
    }
}

impl Answerer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}/whip/demo", listener.local_addr().expect("bound"));
        let answerer =
            Self { address, seen: Arc::default(), tracks: Arc::default(), peer: Arc::default(), line: Arc::default() };
        let server = answerer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                server.serve(stream).await;
            }
        });
        answerer
    }

    /// End the connection from the server's side.
    pub(crate) fn hang_up(&self) {
        let peer = Arc::clone(&self.peer);
        tokio::spawn(async move {
            let peer = peer.lock().await.take().expect("a connection");
            peer.close().await.expect("an open connection closes");
        });
    }

    /// Die without a word.
    pub(crate) fn cut_the_line(&self) {
        self.line.lock().expect("no panic while locked").take().expect("a line").cut();
    }

    /// Send RTCP about a stream back to the publisher.
    pub(crate) async fn feedback(&self, packet: Box<dyn rtc::rtcp::Packet>) {
        let track = self.tracks.lock().expect("no panic while locked").last().cloned().expect("a track");
        track.write_rtcp(vec![packet]).await.expect("the connection is up");
    }

    /// The SSRC of an m-line's encoding.
    pub(crate) fn ssrc(&self, mid: &str, rid: &str) -> Option<u32> {
        let seen = self.seen.lock().expect("no panic while locked");
        let mut streams = seen.streams.iter().rev();
        streams
            .find(|(_, stream)| stream.mid == mid && stream.rid == rid && stream.repaired_rid.is_empty())
            .map(|(ssrc, _)| *ssrc)
    }

    /// Wait until `what` is seen.
    pub(crate) async fn until(&self, what: &str, patience: Duration, seen: impl Fn(&Seen) -> bool) {
        let deadline = instant() + patience;
        while !seen(&self.seen.lock().expect("no panic while locked")) {
            assert!(instant() < deadline, "not within {patience:?}: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some((head, body)) = read_request(&mut stream).await else { return };
        let answer = if head.starts_with("POST /whip/") {
            let sdp = self.answer(body).await;
            let length = sdp.len();
            format!(
                "HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nLocation: /whip/demo/c/1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{sdp}"
            )
        } else {
            self.seen.lock().expect("no panic while locked").deletes +=
                usize::from(head.starts_with("DELETE /whip/demo/c/1 "));
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        };
        // A publisher that went away while it was answered is that test's business.
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    async fn answer(&self, offer: String) -> String {
        self.seen.lock().expect("no panic while locked").offers.push(offer.clone());
        let (gathered, mut complete) = watch::channel(false);
        let recorder = Recorder {
            seen: Arc::clone(&self.seen),
            ids: ids(&offer),
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
        };
        let peer = PeerConnectionBuilder::new()
            .with_media_engine(media_engine())
            .with_interceptor_registry(Registry::new().with(Slot::TwccSender, recorder))
            .with_handler(Arc::new(Events { gathered, tracks: Arc::clone(&self.tracks) }))
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .build()
            .await
            .expect("a peer connection");
        let offer = RTCSessionDescription::offer(offer).expect("the offer is SDP");
        peer.set_remote_description(offer).await.expect("the offer is acceptable");
        let answer = peer.create_answer(None).await.expect("an answer");
        peer.set_local_description(answer).await.expect("the answer is acceptable");
        complete.wait_for(|complete| *complete).await.expect("candidates");
        let answer = self.through_a_line(peer.local_description().await.expect("set above").sdp).await;
        *self.peer.lock().await = Some(Arc::new(peer));
        answer
    }
}

impl Answerer {
    /// The answer with a line in the place of the candidate.
    async fn through_a_line(&self, answer: String) -> String {
        let candidate = answer.lines().find(|line| line.starts_with("a=candidate:")).expect("a candidate");
        let fields: Vec<_> = candidate.split(' ').collect();
        let address = format!("{}:{}", fields[4], fields[5]).parse().expect("an address");
        let line = Line::to(address).await;
        let through = answer.replace(&format!(" {} typ host", fields[5]), &format!(" {} typ host", line.port));
        *self.line.lock().expect("no panic while locked") = Some(line);
        through
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
    }
}

fn media_engine() -> MediaEngine {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().expect("default codecs");
    for (uri, kind) in [MID, TRANSPORT_SEQUENCE, STREAM_ID, REPAIRED_STREAM_ID]
        .into_iter()
        .flat_map(|uri| [(uri, RtpCodecKind::Audio), (uri, RtpCodecKind::Video)])
    {
        engine
            .register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.to_owned() }, kind, None)
            .expect("an id is free");
    }
    engine
}

/// The ids of the header extensions in an offer, by URI.
fn ids(offer: &str) -> BTreeMap<String, u8> {
    let lines = offer.lines().filter_map(|line| line.strip_prefix("a=extmap:")?.split_once(' '));
    lines.filter_map(|(id, uri)| Some((uri.to_owned(), id.parse().ok()?))).collect()
}

struct Recorder {
    seen: Arc<Mutex<Seen>>,
    ids: BTreeMap<String, u8>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Recorder {
    fn record(&self, message: &TaggedPacket) {
        let mut seen = self.seen.lock().expect("no panic while locked");
        match &message.message.packet {
            Packet::Rtp(packet) => {
                let extension = |uri| packet.header.get_extension(*self.ids.get(uri)?);
                let text =
                    |uri| extension(uri).map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default();
                if let Some(number) = extension(TRANSPORT_SEQUENCE) {
                    seen.transport_sequence.push(u16::from_be_bytes([number[0], number[1]]));
                }
                let stream = seen.streams.entry(packet.header.ssrc).or_default();
                (stream.mid, stream.rid, stream.repaired_rid) = (text(MID), text(STREAM_ID), text(REPAIRED_STREAM_ID));
                stream.packets.push((message.now, packet.clone()));
            }
            Packet::Rtcp(packets) => {
                for report in packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>()) {
                    seen.streams.entry(report.ssrc).or_default().reports.push(report.clone());
                }
            }
            _ => {}
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Recorder {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.record(&message);
        self.inbound.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.outbound.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for Recorder {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
