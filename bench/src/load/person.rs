//! One who takes part: over HTTP in and out, and over UDP with media whose every voice packet says which one it is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use mingshi::worker::clock;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::client::{CHROMIUM, Client, Kind, OPUS, Way};
use super::server::{Lesson, Server, word};

/// Without anything to do a client looks at its state this often.
const IDLE: Duration = Duration::from_millis(200);
const PACE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);
/// The studio page: voice, camera, slides.
const STUDIO: &[Kind] = &[Kind::Voice, Kind::Video, Kind::Video];
/// A classroom's page: two voices; slides, camera and one on stage.
const PAGE: &[Kind] = &[Kind::Voice, Kind::Voice, Kind::Video, Kind::Video, Kind::Video];

/// What a receiver heard of the teacher, by the number that every voice packet carries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heard {
    /// Voice packets.
    pub voice: u64,
    /// Numbers that never came.
    pub missing: u64,
    /// Packets that came twice or behind a later one.
    pub disordered: u64,
    /// The longest from being sent to being received.
    pub longest_delay: Duration,
    /// The longest between two.
    pub longest_gap: Duration,
    /// Packets of pictures.
    pub pictures: u64,
    next: Option<u64>,
    last: Option<Instant>,
}

impl Heard {
    fn voice(&mut self, number: u64, delay: Duration, now: Instant) {
        self.voice += 1;
        match self.next {
            Some(next) if number < next => self.disordered += 1,
            next => {
                self.missing += next.map_or(0, |next| number - next);
                self.next = Some(number + 1);
            }
        }
        self.longest_delay = self.longest_delay.max(delay);
        self.longest_gap = self.longest_gap.max(self.last.map_or(Duration::ZERO, |last| now - last));
        self.last = Some(now);
    }

    /// Over all of them.
    #[must_use]
    pub fn over(many: impl IntoIterator<Item = Self>) -> Self {
        many.into_iter().fold(Self::default(), |sum, one| Self {
            voice: sum.voice + one.voice,
            missing: sum.missing + one.missing,
            disordered: sum.disordered + one.disordered,
            longest_delay: sum.longest_delay.max(one.longest_delay),
            longest_gap: sum.longest_gap.max(one.longest_gap),
            pictures: sum.pictures + one.pictures,
            ..sum
        })
    }
}

#[derive(Debug, Default)]
struct Ears(Mutex<Heard>);

impl Ears {
    fn open(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A teacher or a classroom, connected.
pub struct Person {
    token: String,
    location: String,
    client: Arc<Mutex<Client>>,
    ears: Arc<Ears>,
    wake: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

impl Person {
    /// A teacher who is on air from now on.
    ///
    /// # Errors
    /// When it isn't let in or doesn't get connected within 20 s.
    pub async fn teacher(server: &Server, lesson: &Lesson, began: Instant) -> anyhow::Result<Self> {
        let token = server.token(lesson, "studio", None).await?;
        let mut teacher = Self::arrive(server, &format!("/whip/{}", lesson.id), token, Way::Publish, began).await?;
        let (client, wake) = (Arc::clone(&teacher.client), Arc::clone(&teacher.wake));
        teacher.tasks.push(tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            let mut pictures = 0;
            for number in 0u64.. {
                pace.tick().await;
                send(&mut lock(&client), number, &mut pictures, began);
                wake.notify_one();
            }
        }));
        Ok(teacher)
    }

    /// A classroom that comes with the join code.
    ///
    /// # Errors
    /// As [`teacher`](Self::teacher).
    pub async fn classroom(server: &Server, lesson: &Lesson, began: Instant) -> anyhow::Result<Self> {
        let joined = server.post("/api/v1/join", "", &json!({ "code": lesson.code })).await?;
        Self::receiver(server, lesson, word(&joined, "token")?, began).await
    }

    /// A classroom that has a token.
    ///
    /// # Errors
    /// As [`teacher`](Self::teacher).
    pub async fn receiver(server: &Server, lesson: &Lesson, token: String, began: Instant) -> anyhow::Result<Self> {
        Self::arrive(server, &format!("/whep/{}", lesson.id), token, Way::Subscribe, began).await
    }

    async fn arrive(server: &Server, path: &str, token: String, way: Way, began: Instant) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let tracks = if way == Way::Publish { STUDIO } else { PAGE };
        let mut client = Client::new(clock::now(), socket.local_addr()?, way, tracks, &CHROMIUM);
        let offer = client.offer(clock::now(), false);
        let request = server.http.post(format!("{}{path}", server.base)).bearer_auth(&token);
        let answer = request.header(CONTENT_TYPE, "application/sdp").body(offer).send().await?;
        let status = answer.status();
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
        client.answered(clock::now(), text);
        let (client, ears, wake) = (Arc::new(Mutex::new(client)), Arc::new(Ears::default()), Arc::new(Notify::new()));
        let life = tokio::spawn(live(socket, Arc::clone(&client), Arc::clone(&ears), Arc::clone(&wake), way, began));
        let location = location.context("a connection has a Location")?;
        let person = Self { token, location, client, ears, wake, tasks: vec![life] };
        person.until("the connection is up", |person| lock(&person.client).is_connected()).await?;
        Ok(person)
    }

    /// Opens the lesson's websocket too, as a page does, and reads whatever comes.
    ///
    /// # Errors
    /// When it isn't let in.
    pub async fn watch(&mut self, server: &Server, lesson: &Lesson) -> anyhow::Result<()> {
        let url = format!("{}/api/v1/lessons/{}/events", server.base.replacen("http", "ws", 1), lesson.id);
        let mut request = url.into_client_request()?;
        let protocols = format!("mingshi.v1, bearer.{}", self.token);
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse()?);
        let (mut page, _) = tokio_tungstenite::connect_async(request).await?;
        self.tasks.push(tokio::spawn(async move { while let Some(Ok(_)) = page.next().await {} }));
        Ok(())
    }

    /// Its websocket ends without a word, as when a line breaks.
    pub fn cut_websocket(&mut self) {
        self.tasks.drain(1..).for_each(|page| page.abort());
    }

    /// Waits for voice.
    ///
    /// # Errors
    /// When there is none within 20 s.
    pub async fn hears(&self) -> anyhow::Result<()> {
        let before = self.heard().voice;
        self.until("voice is heard", |person| person.heard().voice > before).await
    }

    async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = clock::now() + PATIENCE;
        while !so(self) {
            if clock::now() > deadline {
                bail!("not within {PATIENCE:?}: {what}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// What it heard since this was last asked; what is missing between is counted.
    #[must_use]
    pub fn heard(&self) -> Heard {
        *self.ears.open()
    }

    /// Begins to count anew, without forgetting which packet is next.
    pub fn count_anew(&self) {
        let mut ears = self.ears.open();
        *ears = Heard { next: ears.next, ..Heard::default() };
    }

    /// Leaves as a page does when it is closed in order.
    ///
    /// # Errors
    /// When the server doesn't know of it.
    pub async fn leave(self, server: &Server) -> anyhow::Result<()> {
        let request = server.http.delete(format!("{}{}", server.base, self.location)).bearer_auth(&self.token);
        request.send().await?.error_for_status()?;
        Ok(())
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(client: &Mutex<Client>) -> MutexGuard<'_, Client> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn live(
    socket: UdpSocket,
    client: Arc<Mutex<Client>>,
    ears: Arc<Ears>,
    wake: Arc<Notify>,
    way: Way,
    began: Instant,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let (outgoing, wait) = {
            let mut client = lock(&client);
            let now = clock::now();
            if client.poll_timeout().is_some_and(|at| at <= now) {
                client.handle_timeout(now);
            }
            if way == Way::Subscribe {
                listen(&mut client, &mut ears.open(), began, now);
            }
            let outgoing: Vec<(SocketAddr, _)> = std::iter::from_fn(|| client.poll_transmit()).collect();
            let wait = client.poll_timeout().map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE));
            (outgoing, wait.max(Duration::from_millis(1)))
        };
        for (to, datagram) in outgoing {
            // A datagram that can't be sent is a lost one, as on any line.
            let _ = socket.send_to(&datagram, to).await;
        }
        tokio::select! {
            received = socket.recv_from(&mut buffer) => if let Ok((length, from)) = received {
                lock(&client).receive(clock::now(), from, &buffer[..length]);
            },
            () = wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn listen(client: &mut Client, ears: &mut Heard, began: Instant, now: Instant) {
    // Nobody reads its RTCP, so it is let go.
    client.heard();
    for packet in client.received.drain(..) {
        if packet.header.payload_type != OPUS {
            ears.pictures += 1;
        } else if let Some((number, sent)) = packet.payload.split_last_chunk::<16>().map(|(_, code)| numbers(*code)) {
            let delay = now.saturating_duration_since(began).saturating_sub(Duration::from_nanos(sent));
            ears.voice(number, delay, now);
        }
    }
}

/// Number and time of a voice packet.
fn numbers(code: [u8; 16]) -> (u64, u64) {
    let both = u128::from_be_bytes(code);
    ((both >> 64) as u64, both as u64)
}

/// The `number`-th voice packet, and a picture where one is due.
fn send(client: &mut Client, number: u64, pictures: &mut u16, began: Instant) {
    let now = clock::now();
    let wanted = client.heard().iter().any(|packet| packet.as_any().is::<PictureLossIndication>());
    let sent = now.saturating_duration_since(began).as_nanos() as u64;
    let mut voice = vec![0x78; 64];
    voice.extend(number.to_be_bytes());
    voice.extend(sent.to_be_bytes());
    // Ten pictures a second: the receivers are light.
    let shows = wanted || number.is_multiple_of(5);
    for track in 0..client.tracks() {
        match client.kind(track) {
            Kind::Voice => client.send(now, track, number as u16, (number as u32).wrapping_mul(960), &voice),
            Kind::Video if shows => {
                let picture = picture(wanted || number == 0);
                client.send(now, track, *pictures, (number as u32).wrapping_mul(1_800), &picture);
            }
            Kind::Video => {}
        }
    }
    *pictures = pictures.wrapping_add(u16::from(shows));
}

/// A VP8 picture in one packet (RFC 7741 §4.2, RFC 6386 §9.1).
fn picture(keyframe: bool) -> Vec<u8> {
    let mut payload = vec![0x10, u8::from(!keyframe), 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
    payload.resize(800, 7);
    payload
}
