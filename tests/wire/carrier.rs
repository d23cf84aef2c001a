//! What carries a client's datagrams: a UDP socket, or a TCP stream with frames (RFC 4571).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mingshi::transport::framing::{Deframer, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::server::Server;

pub(crate) enum Carrier {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, checked: bool, deframer: Deframer, asleep: Arc<AtomicBool> },
}

impl Carrier {
    /// A socket of its own at this address.
    pub(crate) async fn udp(address: IpAddr) -> Self {
        Self::Udp(UdpSocket::bind((address, 0)).await.expect("a free port"))
    }

    /// A stream to the server, as a listener of its would hand it over. While `asleep` is set, nothing is read.
    pub(crate) async fn tcp(server: &Server, address: IpAddr, asleep: Arc<AtomicBool>) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
        // A slow line's reader is felt at once, and not after megabytes.
        socket.set_recv_buffer_size(4_096).expect("it can be set");
        let stream = socket.connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
        let (accepted, remote) = listener.accept().await.expect("it has connected");
        let workers = server.workers.clone();
        tokio::spawn(async move {
            let first = first(&accepted).await.expect("the client checks");
            let accepted = accepted.into_std().expect("it can be");
            // A test that has ended may have stopped its server.
            let _ = workers.adopt(accepted, remote, first);
        });
        Self::Tcp { stream, checked: false, deframer: Deframer::default(), asleep }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp { stream, .. } => stream.local_addr(),
        }
        .expect("it is bound")
    }

    /// A datagram that can't be sent is a lost one, as on any line.
    pub(crate) async fn send(&mut self, datagram: &[u8], to: SocketAddr) {
        match self {
            Self::Udp(socket) => drop(socket.send_to(datagram, to).await),
            // A client sends nothing over a pair before it has checked it.
            Self::Tcp { checked: false, .. } if datagram[0] != 0 => {}
            Self::Tcp { stream, checked, .. } => {
                *checked = true;
                let mut framed = Vec::new();
                frame(datagram, &mut framed);
                drop(stream.write_all(&framed).await);
            }
        }
    }

    /// What came; it may be cancelled at any time.
    pub(crate) async fn receive(&mut self) -> Vec<Vec<u8>> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                match socket.recv_from(&mut buffer).await {
                    Ok((length, _)) => vec![buffer[..length].to_vec()],
                    Err(_) => Vec::new(),
                }
            }
            Self::Tcp { stream, deframer, asleep, .. } => {
                while asleep.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let mut buffer = vec![0; 65_536];
                match stream.read(&mut buffer).await {
                    Ok(length) if length > 0 => deframer.extend(&buffer[..length]),
                    _ => std::future::pending().await,
                }
                std::iter::from_fn(|| deframer.next_datagram().expect("the server frames").map(<[u8]>::to_vec))
                    .collect()
            }
        }
    }
}

/// The first frame, octet by octet, since what follows is the worker's.
async fn first(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    loop {
        stream.readable().await?;
        let mut one = [0];
        match stream.try_read(&mut one) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => octets.push(one[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if let [high, low, datagram @ ..] = &octets[..]
            && datagram.len() == usize::from(u16::from_be_bytes([*high, *low]))
        {
            return Ok(datagram.to_vec());
        }
    }
}
