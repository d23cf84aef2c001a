//! A client on a socket of its own, which sends a lesson or receives one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mingshi::id::ParticipantId;
use mingshi::worker::clock;
use mingshi::worker::mailbox::{Connect, Connected, Refused};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp::Packet as Rtp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::carrier::Carrier;
use super::client::{CHROMIUM, Client, Kind, VP8, Way};
use super::server::{Server, until};

/// Without anything to do a client looks at its state this often.
const IDLE: Duration = Duration::from_millis(200);
/// A voice packet, and here a picture too.
const PACE: Duration = Duration::from_millis(20);

pub(crate) struct Participant {
    pub(crate) id: ParticipantId,
    pub(crate) connected: Connected,
    client: Arc<Mutex<Client>>,
    wake: Arc<Notify>,
    life: JoinHandle<()>,
    moves: tokio::sync::mpsc::Sender<Carrier>,
    work: Option<JoinHandle<()>>,
    tag: u8,
}

impl Participant {
    /// Offers, is answered, and goes on by itself from here. `tag` is the last octet of everything that it sends.
    pub(crate) async fn join(
        server: &Server,
        request: Connect,
        (way, tracks): (Way, &[Kind]),
        tag: u8,
    ) -> Result<Self, Refused> {
        let carrier = Carrier::udp(request.address).await;
        Self::join_over(server, request, (way, tracks), tag, carrier).await
    }

    /// As [`join`](Self::join), with something else than a socket of its own to carry its datagrams.
    pub(crate) async fn join_over(
        server: &Server,
        request: Connect,
        media: (Way, &[Kind]),
        tag: u8,
        carrier: Carrier,
    ) -> Result<Self, Refused> {
        Self::join_offering(server, request, media, tag, (carrier, std::convert::identity)).await
    }

    /// As [`join_over`](Self::join_over), with another offer than the client would make by itself.
    pub(crate) async fn join_offering(
        server: &Server,
        mut request: Connect,
        (way, tracks): (Way, &[Kind]),
        tag: u8,
        (carrier, altered): (Carrier, fn(String) -> String),
    ) -> Result<Self, Refused> {
        let local = carrier.local();
        let mut client = Client::new(clock::now(), local, way, tracks, &CHROMIUM);
        request.offer = altered(client.offer(clock::now(), false));
        let id = request.participant;
        let connected = server.workers.connect(request).await?;
        client.answered(clock::now(), connected.answer.clone());
        let (client, wake) = (Arc::new(Mutex::new(client)), Arc::new(Notify::new()));
        let (moves, moved) = tokio::sync::mpsc::channel(1);
        let life = tokio::spawn(live(carrier, moved, Arc::clone(&client), Arc::clone(&wake)));
        Ok(Self { id, connected, client, wake, life, moves, work: None, tag })
    }

    /// As [`join`](Self::join), and the connection is up.
    pub(crate) async fn arrive(server: &Server, request: Connect, media: (Way, &[Kind]), tag: u8) -> Self {
        let participant = Self::join(server, request, media, tag).await.expect("it is welcome");
        until("the client is connected", || participant.ask(|client, _| client.is_connected())).await;
        participant
    }

    /// From now on its datagrams travel another way; the client doesn't notice.
    pub(crate) async fn travel_by(&self, carrier: Carrier) {
        self.moves.send(carrier).await.expect("it lives");
    }

    /// Has the client do something.
    pub(crate) fn ask<T>(&self, what: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let answer = what(&mut self.client.lock().unwrap_or_else(PoisonError::into_inner), clock::now());
        self.wake.notify_one();
        answer
    }

    /// Begins to send all its tracks, pictures beginning with a keyframe and with another one for each request.
    pub(crate) fn on_air(&mut self) {
        let (client, wake, tag) = (Arc::clone(&self.client), Arc::clone(&self.wake), self.tag);
        self.work = Some(tokio::spawn(async move {
            for number in 0u32.. {
                send(&mut client.lock().unwrap_or_else(PoisonError::into_inner), number, tag);
                wake.notify_one();
                tokio::time::sleep(PACE).await;
            }
        }));
    }

    /// Stops sending.
    pub(crate) fn off_air(&mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
        }
    }

    /// Vanishes without a word.
    pub(crate) fn vanish(mut self) {
        self.off_air();
        self.life.abort();
    }

    /// Packets that came, by payload type and by whose they are.
    pub(crate) fn received(&self) -> BTreeMap<(u8, u8), Vec<Rtp>> {
        let mut sorted: BTreeMap<_, Vec<Rtp>> = BTreeMap::new();
        for packet in self.ask(|client, _| client.received.clone()) {
            let tag = packet.payload.last().copied().unwrap_or_default();
            sorted.entry((packet.header.payload_type, tag)).or_default().push(packet);
        }
        sorted
    }

    /// How many packets of this kind came from whoever has this tag.
    pub(crate) fn count(&self, kind: Kind, tag: u8) -> usize {
        self.received().get(&(kind.payload_type(), tag)).map_or(0, Vec::len)
    }

    /// How many came from whoever has this tag.
    pub(crate) fn from(&self, tag: u8) -> usize {
        self.received().iter().filter(|((_, whose), _)| *whose == tag).map(|(_, packets)| packets.len()).sum()
    }

    pub(crate) fn forget(&self) {
        self.ask(|client, _| client.received.clear());
    }

    /// Waits for more packets from whoever has this tag.
    pub(crate) async fn hears(&self, tag: u8) {
        let before = self.from(tag);
        until(&format!("packets of {tag}"), || self.from(tag) > before + 3).await;
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.off_air();
        self.life.abort();
    }
}

async fn live(
    mut carrier: Carrier,
    mut moves: tokio::sync::mpsc::Receiver<Carrier>,
    client: Arc<Mutex<Client>>,
    wake: Arc<Notify>,
) {
    // The address of the server that the client knows, whatever carries its datagrams there.
    let mut known = None;
    loop {
        let (outgoing, wait) = {
            let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock::now();
            if client.poll_timeout().is_some_and(|at| at <= now) {
                client.handle_timeout(now);
            }
            let outgoing: Vec<(SocketAddr, _)> = std::iter::from_fn(|| client.poll_transmit()).collect();
            let wait = client.poll_timeout().map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE));
            (outgoing, wait.max(Duration::from_millis(1)))
        };
        for (to, datagram) in outgoing {
            known = Some(to);
            carrier.send(&datagram, to).await;
        }
        tokio::select! {
            received = carrier.receive() => if let Some(from) = known {
                let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
                received.iter().for_each(|datagram| client.receive(clock::now(), from, datagram));
            },
            Some(other) = moves.recv() => carrier = other,
            () = wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn send(client: &mut Client, number: u32, tag: u8) {
    let now = clock::now();
    let wanted = client.heard().iter().any(|packet| packet.as_any().is::<PictureLossIndication>());
    client.keyframes_asked += usize::from(wanted);
    for track in 0..client.tracks() {
        match client.kind(track) {
            Kind::Voice => client.send(now, track, number as u16, number.wrapping_mul(960), &[tag; 40]),
            Kind::Video => {
                let payload = picture(number == 0 || wanted, tag);
                client.send(now, track, number as u16, number.wrapping_mul(1_800), &payload);
            }
        }
    }
}

/// A VP8 picture in one packet (RFC 7741 §4.2, RFC 6386 §9.1).
fn picture(keyframe: bool, tag: u8) -> Vec<u8> {
    let mut payload = vec![0x10, u8::from(!keyframe), 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
    payload.extend([tag; 60]);
    payload
}

/// Whether this packet begins a keyframe.
pub(crate) fn is_keyframe(packet: &Rtp) -> bool {
    packet.header.payload_type == VP8 && packet.payload.get(1).is_some_and(|octet| octet & 1 == 0)
}
