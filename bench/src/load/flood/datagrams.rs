//! Datagrams to the media threads, at a steady rate.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mingshi::worker::clock;
use reqwest::header::CONTENT_TYPE;

use super::super::client::{CHROMIUM, Client, Kind, Way};
use super::{Aim, HOSTILE, Tally, count};

/// How often a few are sent.
const BEAT: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(10);
const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;

/// Requests without a name, and octets that only begin like STUN.
pub(super) async fn strangers(aim: &Aim<'_>, rate: u32, end: Instant) -> anyhow::Result<Tally> {
    let make = |number: u64| {
        let mut datagram: Vec<u8> = (0..100).map(|_| rand::random()).collect();
        datagram[0] = (number % 4) as u8;
        if number.is_multiple_of(2) {
            datagram[..8].copy_from_slice(&[0, 1, 0, 80, 0x21, 0x12, 0xa4, 0x42]);
        }
        datagram
    };
    send(UdpSocket::bind((HOSTILE, 0))?, aim.media.clone(), rate, end, make).await
}

/// Checks that name a connection of ours, so that their integrity has to be computed.
pub(super) async fn forged_checks(aim: &Aim<'_>, rate: u32, end: Instant) -> anyhow::Result<Tally> {
    let socket = UdpSocket::bind((HOSTILE, 0))?;
    let Beginning { names, to, .. } = begin(aim, &socket).await?;
    let make = move |_| {
        let mut datagram = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        datagram.extend(rand::random::<[u8; 12]>());
        datagram.extend([0, 6]);
        datagram.extend((names.len() as u16).to_be_bytes());
        datagram.extend(names.as_bytes());
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram.extend([0, 8, 0, 20]);
        datagram.extend(rand::random::<[u8; 20]>());
        let length = (datagram.len() - 20) as u16;
        datagram[2..4].copy_from_slice(&length.to_be_bytes());
        datagram
    };
    send(socket, vec![to], rate, end, make).await
}

/// A real client's ClientHello in ever new records, from where it checked or from elsewhere.
pub(super) async fn hellos(aim: &Aim<'_>, rate: u32, end: Instant, checked: bool) -> anyhow::Result<Tally> {
    let socket = UdpSocket::bind((HOSTILE, 0))?;
    let Beginning { hello, to, .. } = begin(aim, &socket).await?;
    let socket = if checked { socket } else { UdpSocket::bind((HOSTILE, 0))? };
    let make = move |number: u64| {
        let mut datagram = hello.clone();
        datagram[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
        // Another client's, by its random.
        let random = RECORD_HEADER + HANDSHAKE_HEADER + 2;
        datagram[random..random + 8].copy_from_slice(&number.to_be_bytes());
        datagram
    };
    send(socket, vec![to], rate, end, make).await
}

async fn send(
    socket: UdpSocket,
    to: Vec<SocketAddr>,
    rate: u32,
    end: Instant,
    make: impl Fn(u64) -> Vec<u8> + Send + 'static,
) -> anyhow::Result<Tally> {
    let sending = tokio::task::spawn_blocking(move || {
        let (began, mut tally, mut number) = (clock::now(), Tally::new(), 0u64);
        let _ = socket.set_nonblocking(true);
        while clock::now() < end {
            let due = (clock::now() - began).as_secs_f64() * f64::from(rate);
            while (number as f64) < due {
                let to = to[number as usize % to.len()];
                let what = if socket.send_to(&make(number), to).is_ok() { "sent" } else { "not sent" };
                count(&mut tally, what, 1);
                number += 1;
            }
            std::thread::sleep(BEAT);
        }
        let mut answers = [0; 2_048];
        while let Ok((octets, _)) = socket.recv_from(&mut answers) {
            count(&mut tally, "answers", 1);
            count(&mut tally, "octets of answers", octets as u64);
        }
        tally
    });
    Ok(sending.await?)
}

/// A connection that has checked and not said hello.
struct Beginning {
    /// Both fragments, as a check names them.
    names: String,
    to: SocketAddr,
    hello: Vec<u8>,
}

async fn begin(aim: &Aim<'_>, socket: &UdpSocket) -> anyhow::Result<Beginning> {
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut client = Client::new(clock::now(), socket.local_addr()?, Way::Subscribe, &[Kind::Voice], &CHROMIUM);
    let offer = client.offer(clock::now(), false);
    let whep = aim.client.post(format!("{}/whep/{}", aim.server.base, aim.lesson.id)).bearer_auth(&aim.token);
    let answer = whep.header(CONTENT_TYPE, "application/sdp").body(offer.clone()).send().await?;
    let answer = answer.error_for_status()?.text().await?;
    let names = format!("{}:{}", fragment(&answer)?, fragment(&offer)?);
    client.answered(clock::now(), answer);
    let deadline = clock::now() + PATIENCE;
    let mut buffer = [0; 2_048];
    while clock::now() < deadline {
        if client.poll_timeout().is_some_and(|at| at <= clock::now()) {
            client.handle_timeout(clock::now());
        }
        while let Some((to, datagram)) = client.poll_transmit() {
            if datagram.first() == Some(&22) {
                socket.set_read_timeout(None)?;
                return Ok(Beginning { names, to, hello: datagram.to_vec() });
            }
            socket.send_to(&datagram, to)?;
        }
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            client.receive(clock::now(), from, &buffer[..length]);
        }
        tokio::task::yield_now().await;
    }
    bail!("no hello within {PATIENCE:?}")
}

fn fragment(description: &str) -> anyhow::Result<&str> {
    let line = description.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
    line.context("a description has a fragment")
}
