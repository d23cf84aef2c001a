//! Records real octets into `fuzz/corpora`: what a client of another make sends in a whole connection to our peer, on
//! simulated time. What is in the folders already stays.

#[path = "../../../tests/wire/client.rs"]
#[allow(dead_code, reason = "the tests that it was made for use more of it")]
mod client;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use client::{CHROMIUM, Client, Kind, Way};
use mingshi::rtp::rtcp::{Reception, Sent, TransportFeedback};
use mingshi::transport::framing::frame;
use mingshi::transport::sdp::{Candidate, Local, Offer, Role, negotiate};
use mingshi::transport::{Credentials, Identity, Peer, Received, rtcp};
use mingshi::worker::clock;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;

const STEP: Duration = Duration::from_millis(10);

struct Corpora(PathBuf);

impl Corpora {
    fn keep(&self, target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let folder = self.0.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)
    }
}

fn main() -> anyhow::Result<()> {
    let corpora = Corpora(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora"));
    record(&corpora)?;
    feedback(&corpora)?;
    written_by_hand(&corpora)?;
    journal(&corpora)?;
    Ok(())
}

/// One publisher's connection: its checks, its handshake, its media sealed and open.
fn record(corpora: &Corpora) -> anyhow::Result<()> {
    let mut now = clock::now();
    let server = ([198, 51, 100, 1], 5_000).into();
    let tracks = [Kind::Voice, Kind::Video];
    let mut client = Client::new(now, ([10, 0, 0, 2], 4_000).into(), Way::Publish, &tracks, &CHROMIUM);
    let offer = Offer::parse(&client.offer(now, false))?;
    let (identity, local) = (Identity::generate()?, Credentials::random("00server".into()));
    let candidates = [Candidate::udp(server)];
    let description = Local {
        ufrag: &local.ufrag,
        password: &local.password,
        fingerprint: identity.fingerprint(),
        cname: "server",
        candidates: &candidates,
    };
    let agreed = negotiate(&offer, Role::Publisher, &description, |_, _| None)?;
    let mut peer = Peer::new(now, &identity, local, offer.remote);
    client.answered(now, agreed.answer);
    let (mut handshake, mut stream, mut sealed, mut opened, mut compounds) = (Vec::new(), Vec::new(), 0, 0, 0);
    for step in 0..400u16 {
        now += STEP;
        if client.is_connected() {
            send(&mut client, now, step);
        }
        client.handle_timeout(now);
        peer.handle_timeout(now);
        while let Some((_, datagram)) = client.poll_transmit() {
            match datagram[0] {
                0..=3 if step < 100 => {
                    corpora.keep("stun", &format!("check-{step}"), &datagram)?;
                    corpora.keep(
                        "stun_authentic",
                        &format!("attributes-{step}"),
                        &datagram[20..datagram.len() - 32],
                    )?;
                }
                20..=63 => frame(&datagram, &mut handshake),
                128..=191 if sealed < 6 => {
                    sealed += 1;
                    corpora.keep("srtp_open", &format!("sealed-{sealed}"), &datagram)?;
                }
                _ => {}
            }
            if stream.len() < 6_000 {
                frame(&datagram, &mut stream);
            }
            match peer.receive(now, ([203, 0, 113, 7], 61_000), &datagram) {
                Ok(Received::Rtp(packet)) if opened < 6 => {
                    opened += 1;
                    corpora.keep("rtp_packet", &format!("recorded-{opened}"), &packet)?;
                    corpora.keep("srtp_sealed", &format!("rtp-{opened}"), &packet)?;
                }
                Ok(Received::Rtcp(compound)) if compounds < 6 => {
                    compounds += 1;
                    corpora.keep("rtcp", &format!("recorded-{compounds}"), &compound)?;
                    corpora.keep("srtp_sealed", &format!("rtcp-{compounds}"), &compound)?;
                }
                _ => {}
            }
        }
        while let Some((_, datagram)) = peer.poll_transmit() {
            client.receive(now, server, &datagram);
        }
    }
    anyhow::ensure!(opened > 0 && compounds > 0, "the client never connected");
    corpora.keep("dtls", "handshake", &handshake)?;
    corpora.keep("peer", "handshake", &handshake)?;
    corpora.keep("tcp_frames", "connection", &stream)?;
    Ok(())
}

/// What a connected client sends in one step: a packet of each track, and now and then RTCP.
fn send(client: &mut Client, now: Instant, step: u16) {
    for track in 0..client.tracks() {
        let keyframe = [0x90, 0x80, step as u8, 0, 0x9d, 1, 0x2a, 4, 4, 4, 4];
        client.send(now, track, step, u32::from(step) * 960, &keyframe);
    }
    if step.is_multiple_of(100) {
        let ssrc = client.ssrc(0);
        let report = SenderReport { ssrc, ntp_time: 1 << 40, rtp_time: 960, ..Default::default() };
        let request = PictureLossIndication { sender_ssrc: ssrc, media_ssrc: ssrc };
        client.send_rtcp(now, vec![Box::new(report), Box::new(request)]);
    }
}

/// RTCP of every kind that we write.
fn feedback(corpora: &Corpora) -> anyhow::Result<()> {
    let messages: [(&str, Vec<Sent>); 3] = [
        ("nack", vec![Sent::Nack { ssrc: 7, sequence_numbers: vec![1, 2, 5, 40, 65_535] }]),
        ("report", vec![Sent::ReceiverReport(vec![Reception { ssrc: 7, fraction_lost: 9, ..Default::default() }; 3])]),
        ("transport", vec![Sent::TransportFeedback(TransportFeedback { ssrc: 7, base: 9, ..Default::default() })]),
    ];
    for (name, sent) in messages {
        let mut out = Vec::new();
        rtcp::write(&sent, 2, "seed", false, &mut out);
        corpora.keep("rtcp", name, &out)?;
        corpora.keep("srtp_sealed", name, &out)?;
    }
    Ok(())
}

/// A journal with a record of every kind, and one that ends in mid-record.
fn journal(corpora: &Corpora) -> anyhow::Result<()> {
    use mingshi_journal::{
        Anchor, Closed, Codec, Event, Keeps, Lost, LostWhy, Opened, Packet, Record, Restarted, SourceEnded, What,
        Writer,
    };
    let (lesson, title) = ("0000000000001".into(), "古诗".into());
    let records = [
        Record::Opened(Opened { lesson, title, teacher: None, subject: Some("语文".into()), grade: None, at: 1 }),
        Record::Event(Event { at: 2, what: What::Hand { participant: "p".into(), raised: true } }),
        Record::Anchor(Anchor { source: 1, layer: 0, timestamp: 90_000, unix_nanos: 3 }),
        Record::Restarted(Restarted { source: 1, layer: 0 }),
        Record::Keeps(Keeps { source: 1, layers: vec![0, 2], at: 4 }),
        Record::Packet(Packet {
            source: 1,
            layer: 0,
            codec: Codec::Opus,
            marker: true,
            sequence: 65_536,
            timestamp: 960,
            arrival: 4,
            payload: bytes::Bytes::from_static(&[0xf8, 0xff, 0xfe]),
        }),
        Record::Lost(Lost { from: 5, to: 6, source: Some(1), why: LostWhy::DiskFull, packets: 7 }),
        Record::SourceEnded(SourceEnded { number: 1, at: 8 }),
        Record::Closed(Closed { at: 9 }),
    ];
    let folder = tempfile::tempdir()?;
    let mut writer = Writer::open(folder.path(), 1)?;
    for record in &records {
        writer.append(record)?;
    }
    writer.flush()?;
    let octets = std::fs::read(folder.path().join("00000001.journal"))?;
    corpora.keep("journal", "every-kind", &octets)?;
    corpora.keep("journal", "cut-short", &octets[..octets.len() - 9])?;
    Ok(())
}

/// Payloads and texts as the documents that define them show them.
fn written_by_hand(corpora: &Corpora) -> std::io::Result<()> {
    let one_byte = [0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x10, 7, 0x20, 9, 1, 2, 3];
    let two_byte = [0xb0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 1, 1, 1, 7, 0, 1, 2, 3, 0, 2];
    for (target, name, bytes) in [
        ("rtp_packet", "one-byte-extension", &one_byte[..]),
        ("rtp_packet", "two-byte-extension-padding", &two_byte[..]),
        ("red", "two-blocks", &[0x80 | 111, 0, 0x40, 4, 111, 1, 2, 3, 4, 5, 6]),
        ("vp8", "keyframe", &[0x90, 0xc0, 0x81, 0x23, 7, 0, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1]),
        ("vp8", "short-picture", &[0x90, 0xa0, 0x23, 0x20, 1, 2]),
        ("h264", "sps", &[0x67, 0x42, 0xe0, 0x1f, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0x9a]),
        (
            "h264",
            "aggregate",
            &[0x78, 0, 10, 0x67, 0x42, 0xe0, 0x1f, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0x9a, 0, 2, 0x68, 0xce],
        ),
        ("h264", "fragment", &[0x7c, 0x85, 1, 2, 3]),
        ("av1", "sequence-header", &[0x18, 0x0a, 0x0b, 0, 0, 0, 0x24]),
        ("nack", "gaps", &[0, 1, 0, 3, 0, 9, 0xff, 0xfb, 0, 60]),
        ("twcc", "gaps", &[0, 1, 9, 0, 3, 9, 0, 2, 200, 0xff, 0xff, 255, 0, 0, 255]),
        ("packet_cache", "forward", &[1, 0, 90, 3, 1, 0, 80, 7, 5, 4, 0, 1, 0xfe, 0, 9, 2]),
        ("tcp_queue", "mixed", &[1, 200, 0, 0, 20, 9, 1, 255, 255, 0, 20, 1]),
    ] {
        corpora.keep(target, name, bytes)?;
    }
    for (target, name, text) in [
        (
            "sdp_fragment",
            "trickle",
            "a=ice-ufrag:them\r\na=ice-pwd:a password of theirs\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n",
        ),
        (
            "token",
            "signed-by-another",
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJtaW5nc2hpIiwiZXhwIjoyMDAwMDAwMDAwLCJpYXQiOjEsInN1YiI6ImEiLCJyb2xlIjoib3BlcmF0b3IifQ.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        ("token", "unsigned", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJtaW5nc2hpIn0."),
        ("page_message", "ping", r#"{"type":"ping"}"#),
        ("page_message", "hand", r#"{"type":"hand","raised":true}"#),
        ("page_message", "cap", r#"{"type":"layer_cap","slot":"camera","index":0,"max_spatial":null}"#),
        (
            "page_message",
            "stats",
            r#"{"type":"stats","stats":{"over_ms":5000,"path":{"transport":"udp","round_trip_ms":12,"available_outgoing":null},"slots":[{"slot":"voice","index":0,"codec":"opus","received":250,"lost":0,"jitter_buffer_ms":40}],"sent":[]}}"#,
        ),
        ("join_code", "plain", "123456"),
        ("join_code", "with-a-space", " 123 456 "),
        ("operator_key", "zeros", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("forwarded_for", "chain", "6.6.6.6, 1.2.3.4, 203.0.113.2"),
        ("config", "unknown-key", "[server]\nhtpp = \"\"\n"),
    ] {
        corpora.keep(target, name, text.as_bytes())?;
    }
    Ok(())
}
