//! TCP streams of a worker's peers: read as datagrams, written without ever waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::transport::framing::{Class, Deframer, FrameQueue, LENGTH, frame};
use crate::transport::{Endpoint, StreamId, srtp};

/// Octets that the kernel may hold unsent: what is written behind them waits for no more than this. What has been sent and
/// isn't acknowledged yet comes on top, as the line wants it.
const UNSENT: u32 = 16 * 1024;
/// Keeps what is under way near what the line carries, and takes random loss for what it is. The kernel's default fills the
/// line's queue until something is lost, and the voice stands in that queue. Where the system doesn't have or allow it, the
/// default stays (draft-ietf-ccwg-bbr).
const CONGESTION_CONTROL: &[u8] = b"bbr";
/// Read at a time from one stream, so that no stream keeps the others waiting.
const READ: usize = 64 * 1024;

/// Counts since the worker began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Pieces of pictures that a stream was too slow for.
    pub(super) video: u64,
    /// Everything else that one was too slow for.
    pub(super) urgent: u64,
}

#[derive(Debug)]
struct Stream {
    socket: mio::net::TcpStream,
    endpoint: Endpoint,
    /// Key of the connection that it belongs to.
    owner: usize,
    /// The owner's pictures.
    videos: Vec<u32>,
    deframer: Deframer,
    queue: FrameQueue,
}

/// All streams of a worker.
#[derive(Debug)]
pub(super) struct Streams {
    registry: Registry,
    /// Token of the stream numbered 0; the others follow.
    first_token: usize,
    next: u64,
    streams: BTreeMap<StreamId, Stream>,
    readable: BTreeSet<StreamId>,
    /// Closed by the peer or by an error; their owners aren't told yet.
    ended: BTreeSet<StreamId>,
    /// Video can flow again.
    recovered: BTreeSet<StreamId>,
    dropped: Dropped,
    framed: Vec<u8>,
    buffer: Vec<u8>,
}

impl Streams {
    /// None yet; they will be registered with tokens from `first_token` on.
    pub(super) fn new(registry: Registry, first_token: usize) -> Self {
        Self {
            registry,
            first_token,
            next: 0,
            streams: BTreeMap::new(),
            readable: BTreeSet::new(),
            ended: BTreeSet::new(),
            recovered: BTreeSet::new(),
            dropped: Dropped::default(),
            framed: Vec::new(),
            buffer: vec![0; READ],
        }
    }

    /// Takes a connected stream over for the connection with the key `owner`, which sends `videos`.
    ///
    /// # Errors
    /// What the system says; the stream is closed then.
    pub(super) fn adopt(
        &mut self,
        stream: std::net::TcpStream,
        remote: SocketAddr,
        owner: usize,
        videos: Vec<u32>,
    ) -> io::Result<Endpoint> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)?;
        let _ = SockRef::from(&stream).set_tcp_congestion(CONGESTION_CONTROL);
        let id = StreamId(self.next);
        self.next += 1;
        let endpoint = Endpoint::tcp(remote, id);
        let mut socket = mio::net::TcpStream::from_std(stream);
        self.registry.register(&mut socket, self.token(id), Interest::READABLE | Interest::WRITABLE)?;
        let (deframer, queue) = (Deframer::default(), FrameQueue::default());
        self.streams.insert(id, Stream { socket, endpoint, owner, videos, deframer, queue });
        // What came before it was registered may raise no event.
        self.readable.insert(id);
        Ok(endpoint)
    }

    fn token(&self, id: StreamId) -> Token {
        Token(self.first_token + id.0 as usize)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// What was dropped.
    pub(super) const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Something happened to the stream with this token.
    pub(super) fn happened(&mut self, event: &mio::event::Event) {
        let Some(number) = event.token().0.checked_sub(self.first_token) else { return };
        let id = StreamId(number as u64);
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.readable.insert(id);
        }
        if event.is_writable() {
            self.write(id);
        }
    }

    /// Takes the streams that may have something to read.
    pub(super) fn take_readable(&mut self) -> BTreeSet<StreamId> {
        std::mem::take(&mut self.readable)
    }

    /// Whether some stream may have more to read.
    pub(super) fn is_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// Reads once. What came is in the deframer that is given; it goes back with [`give_back`](Self::give_back).
    pub(super) fn read(&mut self, id: StreamId) -> Option<(Endpoint, Deframer)> {
        let stream = self.streams.get_mut(&id)?;
        match stream.socket.read(&mut self.buffer) {
            Ok(0) => self.ended.insert(id),
            Ok(length) => {
                stream.deframer.extend(&self.buffer[..length]);
                // There may be more, and no event will say so.
                self.readable.insert(id)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return None;
            }
            Err(_) => self.ended.insert(id),
        };
        Some((stream.endpoint, std::mem::take(&mut stream.deframer)))
    }

    /// Gives the deframer back, with what is left of it.
    pub(super) fn give_back(&mut self, id: StreamId, deframer: Deframer) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.deframer = deframer;
        }
    }

    /// The stream is of no use any more.
    pub(super) fn end(&mut self, id: StreamId) {
        self.ended.insert(id);
    }

    /// The streams that ended, each with its owner. They are closed by this.
    pub(super) fn take_ended(&mut self) -> Vec<(Endpoint, usize)> {
        let ended = std::mem::take(&mut self.ended);
        ended.into_iter().filter_map(|id| self.close(id)).collect()
    }

    /// The owners of streams on which video was dropped and can flow again.
    pub(super) fn take_recovered(&mut self) -> Vec<usize> {
        let recovered = std::mem::take(&mut self.recovered);
        recovered.into_iter().filter_map(|id| self.streams.get(&id)).map(|stream| stream.owner).collect()
    }

    /// Closes a stream; what was written before still leaves.
    pub(super) fn close(&mut self, id: StreamId) -> Option<(Endpoint, usize)> {
        self.readable.remove(&id);
        self.recovered.remove(&id);
        let mut stream = self.streams.remove(&id)?;
        // Dropping the socket closes it, and that takes it out of the poll as well.
        let _ = self.registry.deregister(&mut stream.socket);
        Some((stream.endpoint, stream.owner))
    }

    /// Sends `contents` cut into datagrams of `segment` octets, of which the last may be shorter. What the stream is too
    /// slow for waits or is dropped, and is counted.
    ///
    /// # Errors
    /// The stream is closed.
    pub(super) fn send(&mut self, now: Instant, id: StreamId, contents: &[u8], segment: usize) -> io::Result<()> {
        let Some(stream) = self.streams.get_mut(&id) else { return Err(io::ErrorKind::NotConnected.into()) };
        let segment = segment.max(1);
        let mut rest = contents;
        if stream.queue.is_empty() {
            // The usual case: everything leaves at once, without being copied datagram by datagram.
            self.framed.clear();
            contents.chunks(segment).for_each(|datagram| frame(datagram, &mut self.framed));
            let written = match stream.socket.write(&self.framed) {
                Ok(written) => written,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
                Err(error) => {
                    self.ended.insert(id);
                    return Err(error);
                }
            };
            let framed = LENGTH + segment;
            // A frame that was begun is finished before anything else.
            let whole = if written == self.framed.len() { contents.len().div_ceil(segment) } else { written / framed };
            let begun = written > whole * framed;
            if begun && written < self.framed.len() {
                let end = ((whole + 1) * framed).min(self.framed.len());
                stream.queue.begin(&self.framed[written..end]);
            }
            rest = contents.get((whole + usize::from(begun)) * segment..).unwrap_or_default();
        }
        for datagram in rest.chunks(segment) {
            let class = class(datagram, &stream.videos);
            let dropped = stream.queue.push(now, class, datagram);
            match class {
                Class::Video => self.dropped.video += dropped,
                Class::Urgent => self.dropped.urgent += dropped,
            }
        }
        Ok(())
    }

    /// Writes what waits, as far as the kernel takes it.
    fn write(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        while !stream.queue.is_empty() {
            match stream.socket.write(stream.queue.head()) {
                Ok(written) => stream.queue.written(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.ended.insert(id);
                    return;
                }
            }
        }
        if stream.queue.take_recovered() {
            self.recovered.insert(id);
        }
    }
}

/// SRTP and SRTCP are told apart by the octet that isn't sealed (RFC 5761 §4); the stream's number isn't sealed either.
fn class(datagram: &[u8], videos: &[u32]) -> Class {
    match datagram {
        [128..=191, _, _, _, _, _, _, _, a, b, c, d, ..]
            if !srtp::is_rtcp(datagram) && videos.contains(&u32::from_be_bytes([*a, *b, *c, *d])) =>
        {
            Class::Video
        }
        _ => Class::Urgent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_are_of_the_class_that_is_dropped_first() {
        let packet =
            |kind: u8, ssrc: u32| [&[0x90, kind, 0, 1, 0, 0, 0, 0][..], &ssrc.to_be_bytes(), &[0; 20]].concat();
        assert_eq!(class(&packet(96, 7), &[7, 8]), Class::Video);
        assert_eq!(class(&packet(96 | 0x80, 8), &[7, 8]), Class::Video);
        assert_eq!(class(&packet(111, 9), &[7, 8]), Class::Urgent);
        assert_eq!(class(&packet(200, 7), &[7, 8]), Class::Urgent, "a report");
        assert_eq!(class(&[22, 254, 253], &[7]), Class::Urgent);
        assert_eq!(class(&[0, 1, 0, 0], &[7]), Class::Urgent);
    }

    #[test]
    fn what_a_stream_is_too_slow_for_arrives_whole_or_not_at_all() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut reader = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (stream, remote) = listener.accept().expect("it has connected");
        let poll = mio::Poll::new().expect("a poll");
        let mut streams = Streams::new(poll.registry().try_clone().expect("a registry"), 2);
        let endpoint = streams.adopt(stream, remote, 5, vec![7]).expect("adopted");
        let id = endpoint.stream.expect("a stream");
        let now = crate::worker::clock::now();
        let packet = |ssrc: u32, length: usize| {
            let mut packet = vec![ssrc as u8; length];
            packet[..8].copy_from_slice(&[0x80, 96, 0, 0, 0, 0, 0, 0]);
            packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
            packet
        };
        let batch = packet(7, 1_000).repeat(40);
        let mut voices = 0;
        while streams.dropped().video == 0 {
            streams.send(now, id, &batch, 1_000).expect("it is open");
            streams.send(now, id, &packet(9, 100), 100).expect("it is open");
            voices += 1;
        }
        reader.set_read_timeout(Some(std::time::Duration::from_millis(500))).expect("can be set");
        let (mut deframer, mut buffer, mut came) = (Deframer::default(), vec![0; 65_536], Vec::new());
        while came.len() < voices {
            let length = reader.read(&mut buffer).expect("more comes");
            deframer.extend(&buffer[..length]);
            while let Some(datagram) = deframer.next_datagram().expect("frames") {
                let ssrc = datagram[11];
                let length = if ssrc == 7 { 1_000 } else { 100 };
                assert_eq!(datagram, packet(ssrc.into(), length));
                if ssrc == 9 {
                    came.push(ssrc);
                }
            }
            streams.write(id);
        }
        assert_eq!(streams.take_recovered(), [5], "a keyframe is wanted");
        assert_eq!(streams.dropped().urgent, 0);
        drop(reader);
        while streams.ended.is_empty() {
            streams.read(id);
        }
        assert_eq!(streams.take_ended(), [(endpoint, 5)]);
        assert_eq!(streams.len(), 0);
    }
}
