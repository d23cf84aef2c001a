//! The UDP socket of one worker: many datagrams in by one call (GRO), many equally long ones out by one (GSO).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use crate::transport::Endpoint;

/// Wanted of the kernel for either direction: a keyframe to a thousand classrooms at once is tens of megabytes.
const BUFFER: usize = 8 << 20;
/// One receive buffer: what the kernel may coalesce.
const RECEIVE: usize = 65_536;

/// A bound socket.
#[derive(Debug)]
pub struct WorkerSocket {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    granted: (usize, usize),
}

/// Where a datagram came from and which of our addresses it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The peer's end.
    pub remote: Endpoint,
    /// Our address, from which answers must go. Only UDP needs it.
    pub local: Option<IpAddr>,
}

impl WorkerSocket {
    /// Binds `address`. An IPv6 wildcard takes IPv4 too.
    ///
    /// # Errors
    /// What the system says, such as that the port is in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // A kernel that grants less still works; `mingshi check` says what to set.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.bind(&address.into())?;
        let granted = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
        let socket = StdSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self { socket: mio::net::UdpSocket::from_std(socket), state, local, granted })
    }

    /// The bound address.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Kernel buffers granted for receiving and sending, in octets as the kernel counts them.
    #[must_use]
    pub const fn granted(&self) -> (usize, usize) {
        self.granted
    }

    /// Segments that one send may carry.
    #[must_use]
    pub fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// For registration with a poll.
    pub const fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// Sends `contents` cut into segments of `segment` octets, of which the last may be shorter.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` when the kernel's buffer is full.
    pub fn send(&self, to: &Path, contents: &[u8], segment: usize) -> io::Result<()> {
        let destination = match (self.local, to.remote.address) {
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            (_, other) => other,
        };
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: (contents.len() > segment).then_some(segment),
            src_ip: to.local,
        };
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }
}

/// Receive buffers of a worker, and what came last.
#[derive(Debug)]
pub struct Inbox {
    buffers: Vec<Vec<u8>>,
    meta: [RecvMeta; BATCH_SIZE],
    received: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            buffers: (0..BATCH_SIZE).map(|_| vec![0; RECEIVE]).collect(),
            meta: [RecvMeta::default(); BATCH_SIZE],
            received: 0,
        }
    }
}

impl Inbox {
    /// Receives what is there, at most one batch. Returns whether anything was.
    ///
    /// # Errors
    /// What the system says, other than that nothing is there.
    pub fn receive(&mut self, socket: &WorkerSocket) -> io::Result<bool> {
        self.received = 0;
        let mut slices = self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| slices.next().unwrap_or(IoSliceMut::new(&mut [])));
        match socket.state.recv(UdpSockRef::from(&socket.socket), &mut slices, &mut self.meta) {
            Ok(received) => {
                self.received = received;
                Ok(received > 0)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The datagrams of the last batch.
    pub fn datagrams(&self) -> impl Iterator<Item = (Path, &[u8])> {
        self.meta.iter().zip(&self.buffers).take(self.received).flat_map(|(meta, buffer)| {
            let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port()).into();
            let path = Path { remote, local: meta.dst_ip };
            buffer[..meta.len].chunks(meta.stride.max(1)).map(move |datagram| (path, datagram))
        })
    }
}
