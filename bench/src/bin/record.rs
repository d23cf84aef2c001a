//! Records what a browser sends: `record camera vp8 FILE` or `record slides h264 FILE`.
//!
//! Chromium without a window publishes to this process over loopback, which answers as the server does and gives the
//! feedback that lets it send its best. Needs `/usr/bin/chromium`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mingshi::rtp::packet::Packet;
use mingshi::rtp::rtcp::Sent;
use mingshi::rtp::twcc::Arrivals;
use mingshi::transport::sdp::{self, Candidate, Local, Media, Offer, Role};
use mingshi::transport::{Credentials, Identity, Peer, Received, rtcp};
use mingshi::worker::clock;
use mingshi::worker::socket::{Inbox, Path, WorkerSocket};
use mingshi_bench::trace::{Arrival, COLUMNS, GLANCE};

const PAGE: &str = include_str!("record.html");
/// So long after the first packet.
const RECORDED: Duration = Duration::from_secs(12);
const PATIENCE: Duration = Duration::from_secs(40);
/// Batches taken in one round, as a worker does.
const RECEIVE_ROUNDS: usize = 16;
const WAIT: Duration = Duration::from_millis(5);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, codec, file] = &arguments[..] else { bail!("record camera|slides vp8|h264 FILE") };
    let pages = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}/{what}/{codec}", pages.local_addr()?);
    let mut browser = browse(&address)?;
    let recorded = answer(&pages).and_then(|(page, offer)| record(page, &offer));
    browser.kill()?;
    browser.wait()?;
    let mut text = format!("{COLUMNS}\n");
    for arrival in recorded? {
        text.push_str(&arrival.to_string());
        text.push('\n');
    }
    std::fs::write(file, text)?;
    Ok(())
}

fn browse(address: &str) -> anyhow::Result<Child> {
    let profile = std::env::temp_dir().join(format!("record-{}", std::process::id()));
    Command::new("/usr/bin/chromium")
        .args(["--headless=new", "--no-sandbox", "--mute-audio", "--allow-loopback-in-peer-connection"])
        .args(["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=fps=30"])
        .arg("--disable-features=WebRtcHideLocalIpsWithMdns")
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(address)
        .stderr(std::process::Stdio::null())
        .spawn()
        .context("Chromium can't be started")
}

/// Serves the page until it comes with its offer.
fn answer(pages: &TcpListener) -> anyhow::Result<(TcpStream, String)> {
    for stream in pages.incoming() {
        let mut stream = stream?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut request, mut length, mut line) = (String::new(), 0, String::new());
        reader.read_line(&mut request)?;
        while reader.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            line.clear();
        }
        if request.starts_with("POST") {
            let mut offer = vec![0; length];
            reader.read_exact(&mut offer)?;
            return Ok((stream, String::from_utf8(offer)?));
        }
        respond(&mut stream, PAGE)?;
    }
    bail!("the page never came")
}

fn respond(stream: &mut TcpStream, body: &str) -> anyhow::Result<()> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(stream, "{head}\r\n\r\n{body}")?;
    Ok(())
}

/// The publisher's connection, as far as recording needs it.
struct Recorder {
    peer: Peer,
    media: Media,
    socket: WorkerSocket,
    feedback: Arrivals,
    /// Which encoding each stream is.
    layers: HashMap<u32, u8>,
    arrivals: Vec<Arrival>,
    began: Option<Instant>,
    round: u32,
}

fn record(mut page: TcpStream, offer: &str) -> anyhow::Result<Vec<Arrival>> {
    let now = clock::now();
    let mut socket = WorkerSocket::bind("127.0.0.1:0".parse()?)?;
    let identity = Identity::generate()?;
    let offer = Offer::parse(offer)?;
    let credentials = Credentials::random("00recorder".into());
    let local = Local {
        ufrag: &credentials.ufrag,
        password: &credentials.password,
        fingerprint: identity.fingerprint(),
        cname: "recorder",
        candidates: &[Candidate::udp(socket.local())],
    };
    let agreed = sdp::negotiate(&offer, Role::Publisher, &local, |_, _| None)?;
    let media = agreed.media.into_iter().next().context("an offer without media")?;
    respond(&mut page, &agreed.answer)?;
    let mut poll = mio::Poll::new()?;
    poll.registry().register(socket.source(), mio::Token(0), mio::Interest::READABLE)?;
    let peer = Peer::new(now, &identity, credentials, offer.remote);
    let feedback = Arrivals::new(now);
    let mut recorder =
        Recorder { peer, media, socket, feedback, layers: HashMap::new(), arrivals: Vec::new(), began: None, round: 0 };
    let (mut inbox, mut events) = (Inbox::default(), mio::Events::with_capacity(4));
    while !recorder.done(now)? {
        poll.poll(&mut events, Some(WAIT))?;
        recorder.receive(&mut inbox)?;
        recorder.look_after();
    }
    Ok(recorder.arrivals)
}

impl Recorder {
    fn done(&self, since: Instant) -> anyhow::Result<bool> {
        let now = clock::now();
        if self.began.is_none() && now.saturating_duration_since(since) > PATIENCE {
            bail!("the browser sent nothing");
        }
        Ok(self.began.is_some_and(|began| now.saturating_duration_since(began) > RECORDED))
    }

    /// One round, as a worker receives.
    fn receive(&mut self, inbox: &mut Inbox) -> anyhow::Result<()> {
        let now = clock::now();
        self.round += 1;
        for _ in 0..RECEIVE_ROUNDS {
            if !inbox.receive(&self.socket)? {
                break;
            }
            for (path, datagram) in inbox.datagrams() {
                if let Ok(Received::Rtp(packet)) = self.peer.receive(now, path.remote, datagram) {
                    self.take(&Packet::parse(&packet)?, now);
                }
                while let Some((remote, message)) = self.peer.poll_transmit() {
                    self.socket.send(&Path { remote, local: path.local }, &message, message.len())?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, packet: &Packet<'_>, now: Instant) {
        let extensions = &self.media.extensions;
        if let Some(&[high, low, ..]) = extensions.transport_cc.and_then(|id| packet.extension(id)) {
            self.feedback.arrived(packet.ssrc, u16::from_be_bytes([high, low]), now);
        }
        let rid = extensions.rid.and_then(|id| packet.extension(id));
        if let Some(layer) = rid.and_then(|rid| self.media.rids.iter().position(|known| known.as_bytes() == rid)) {
            self.layers.insert(packet.ssrc, layer as u8);
        }
        let Some(&layer) = self.layers.get(&packet.ssrc).filter(|_| !packet.payload.is_empty()) else { return };
        let began = *self.began.get_or_insert(now);
        let mut glance = [0; GLANCE];
        let known = packet.payload.len().min(GLANCE);
        glance[..known].copy_from_slice(&packet.payload[..known]);
        self.arrivals.push(Arrival {
            micros: now.saturating_duration_since(began).as_micros() as u64,
            round: self.round,
            layer,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            length: packet.payload.len() as u16,
            glance,
        });
    }

    /// Gives feedback, so that the browser finds its line wide.
    fn look_after(&mut self) {
        let now = clock::now();
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            self.peer.handle_timeout(now);
        }
        let Some(feedback) = self.feedback.feedback(now) else { return };
        let mut compound = Vec::new();
        rtcp::write(&[Sent::TransportFeedback(feedback)], 1, "recorder", true, &mut compound);
        let (Some(remote), Some(sealer)) = (self.peer.remote(), self.peer.sealer()) else { return };
        if sealer.seal_rtcp(&mut compound).is_some() {
            // Lost feedback only makes the browser's estimate slower.
            let _ = self.socket.send(&Path { remote, local: None }, &compound, compound.len());
        }
    }
}
