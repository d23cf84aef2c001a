//! One media thread: everything that happens to its peers happens here, one thing after the other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver as Channel;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use crate::id::{ConnectionId, LessonId, PublicationId};
use crate::rtp::rtcp::Sent;
use crate::sfu::Router;
use crate::transport::{Event, Received, rtcp};
use crate::units::{NtpTime, ServerClock};

use super::admission::Host;
use super::clock;
use super::connection::{Connection, Side};
use super::crossing::{Batch, Crossing, Way};
use super::demux::Demux;
use super::egress::Egress;
use super::lines::Lines;
use super::links::Links;
use super::mailbox::{Closed, Report, Request};
use super::meters::Meters;
use super::reporting::Reporter;
use super::socket::{Inbox, Path, WorkerSocket};
use super::stream::Streams;
use super::tap::Tap;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_STREAM: usize = 2;
/// Feedback, replays and lost flights are looked after this often.
const TICK: Duration = Duration::from_millis(10);
/// Every connection is looked after once in so many ticks, in turn.
const TURN: usize = 100;
/// Encodings are measured once in so many ticks.
const MEASURE_EVERY: usize = 10;
/// Batches received before anything else gets its turn.
const RECEIVE_ROUNDS: usize = 16;
/// Peers asked in one tick whether media from an unknown address is theirs: enough for a large school whose router was started
/// again, and a few hundredths of the time where somebody makes such media up.
const TRIALS: usize = 256;
/// Requests served before media gets its turn.
const REQUESTS_AT_ONCE: usize = 64;

/// What a worker is started with.
pub(super) struct Setup {
    pub(super) host: Host,
    pub(super) clock: ServerClock,
    pub(super) socket: WorkerSocket,
    pub(super) poll: Poll,
    pub(super) requests: Channel<Request>,
    pub(super) crossings: Channel<Crossing>,
    /// Ways to all workers, its own included, with what wakes them.
    pub(super) ways: Vec<(Way, Arc<Waker>)>,
    pub(super) reports: tokio::sync::mpsc::Sender<Report>,
    pub(super) max_connections: usize,
    pub(super) max_unfinished: usize,
    pub(super) tap: Option<Tap>,
}

/// One media thread's state.
pub(super) struct Worker {
    pub(super) host: Host,
    pub(super) clock: ServerClock,
    pub(super) now: Instant,
    pub(super) links: Links,
    poll: Poll,
    requests: Channel<Request>,
    crossings: Channel<Crossing>,
    pub(super) ways: Vec<(Way, Arc<Waker>)>,
    reporter: Reporter,
    pub(super) max_connections: usize,
    pub(super) max_unfinished: usize,
    pub(super) router: Router,
    pub(super) connections: Slab<Connection>,
    pub(super) by_id: HashMap<ConnectionId, usize>,
    pub(super) demux: Demux,
    pub(super) egress: Egress,
    /// Keys of the connections at whose pacers something waits.
    pub(super) waiting: BTreeSet<usize>,
    pub(super) lines: Lines,
    /// Which local publication comes over which connection's which m-line.
    pub(super) origins: HashMap<usize, (usize, usize)>,
    /// Other workers that have receivers of a lesson.
    pub(super) interested: HashMap<LessonId, HashSet<usize>>,
    /// Packets on their way to other workers.
    pub(super) leaving: HashMap<PublicationId, Batch>,
    /// Connections that need every tick: publishers, and those whose handshake isn't done.
    pub(super) busy: HashSet<usize>,
    pub(super) meters: Meters,
    /// The way to the journal, where there is one.
    pub(super) tap: Option<Tap>,
    ticks: usize,
    /// How many peers may still be asked in this tick whether media from an unknown address is theirs.
    trials: usize,
    next_tick: Instant,
    pub(super) stopping: bool,
    feedback: Vec<Sent>,
    compound: Vec<u8>,
}

impl Worker {
    /// # Errors
    /// What the system says of the poll.
    pub(super) fn new(setup: Setup) -> io::Result<Self> {
        let now = clock::now();
        let egress = Egress::new(setup.socket.max_segments());
        let tcp = Streams::new(setup.poll.registry().try_clone()?, FIRST_STREAM);
        Ok(Self {
            meters: Meters::new(setup.host.index, now),
            host: setup.host,
            clock: setup.clock,
            now,
            links: Links { udp: setup.socket, tcp },
            poll: setup.poll,
            requests: setup.requests,
            crossings: setup.crossings,
            ways: setup.ways,
            reporter: Reporter::new(setup.reports),
            max_connections: setup.max_connections,
            max_unfinished: setup.max_unfinished,
            router: Router::new(setup.clock),
            connections: Slab::new(),
            by_id: HashMap::new(),
            demux: Demux::default(),
            egress,
            waiting: BTreeSet::new(),
            lines: Lines::default(),
            origins: HashMap::new(),
            interested: HashMap::new(),
            leaving: HashMap::new(),
            busy: HashSet::new(),
            tap: setup.tap,
            ticks: 0,
            trials: TRIALS,
            next_tick: now,
            stopping: false,
            feedback: Vec::new(),
            compound: Vec::new(),
        })
    }

    /// The token with which the thread's waker is registered.
    pub(super) const WAKER: Token = WAKER;

    /// Runs until told to stop.
    ///
    /// # Errors
    /// What the system says when polling fails for good.
    pub(super) fn run(mut self) -> io::Result<()> {
        self.poll.registry().register(self.links.udp.source(), SOCKET, Interest::READABLE)?;
        let mut events = Events::with_capacity(256);
        let mut inbox = Inbox::default();
        let mut more = false;
        while !self.stopping {
            let wait = if more { Duration::ZERO } else { self.next_tick.saturating_duration_since(clock::now()) };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            self.now = clock::now();
            for event in events.iter() {
                self.links.tcp.happened(event);
            }
            self.serve_requests();
            self.serve_crossings();
            more = self.receive(&mut inbox);
            more |= self.receive_from_streams();
            if self.now >= self.next_tick {
                self.next_tick = self.now + TICK;
                self.tick();
            }
            self.forward();
            self.drain_outputs();
            self.send_crossings();
            if let Some(tap) = &mut self.tap {
                let lost = tap.hand_over(self.now);
                self.meters.drop("journal_full", lost);
            }
            self.look_after_streams();
            self.meters.busy += clock::now().saturating_duration_since(self.now);
        }
        if let Some(tap) = self.tap.take() {
            tap.finish();
        }
        Ok(())
    }

    fn serve_requests(&mut self) {
        for _ in 0..REQUESTS_AT_ONCE {
            let Ok(request) = self.requests.try_recv() else { return };
            self.serve(request);
        }
    }

    fn serve_crossings(&mut self) {
        while let Ok(crossing) = self.crossings.try_recv() {
            self.cross(crossing);
        }
    }

    /// Takes what the socket has. Returns whether there may be more.
    fn receive(&mut self, inbox: &mut Inbox) -> bool {
        for _ in 0..RECEIVE_ROUNDS {
            match inbox.receive(&self.links.udp) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => {
                    self.meters.drop("socket_error", 1);
                    return false;
                }
            }
            for (path, datagram) in inbox.datagrams() {
                self.meters.received += 1;
                self.datagram(path, datagram);
            }
        }
        true
    }

    /// One datagram to whom it belongs.
    pub(super) fn datagram(&mut self, path: Path, datagram: &[u8]) {
        let now = self.now;
        let (key, received) = match self.demux.find(path.remote, datagram) {
            Some(key) => {
                let Some(connection) = self.connections.get_mut(key) else { return };
                (key, connection.peer.receive(now, path.remote, datagram))
            }
            None => match self.receive_moved(path, datagram) {
                Some((key, received)) => (key, Ok(received)),
                None => return self.meters.drop("unknown_peer", 1),
            },
        };
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.peer.knows(path.remote) && self.demux.add_endpoint(path.remote, key) {
            let Connection { endpoints, peer, .. } = connection;
            for forgotten in endpoints.extract_if(.., |endpoint| !peer.knows(*endpoint) || *endpoint == path.remote) {
                if forgotten != path.remote {
                    self.demux.remove_endpoint(forgotten, key);
                    forgotten.stream.and_then(|stream| self.links.tcp.close(stream));
                }
            }
            endpoints.push(path.remote);
        }
        if connection.peer.remote() == Some(path.remote) {
            connection.local = path.local;
        }
        if connection.peer.is_moving() {
            self.busy.insert(key);
        }
        self.send_from_peer(key, path.local);
        match received {
            Ok(Received::Nothing) => {}
            Ok(Received::Rtp(packet)) => self.rtp(key, &packet),
            Ok(Received::Rtcp(compound)) => self.rtcp(key, &compound),
            Err(error) => self.meters.refuse(&error),
        }
        self.peer_events(key);
    }

    /// Media of somebody whose router forgot its mapping: it comes from another port of the same address, seconds before a check
    /// does. Whose it is shows in that it is authentic.
    fn receive_moved(&mut self, path: Path, datagram: &[u8]) -> Option<(usize, Received)> {
        if path.remote.stream.is_some() || !matches!(datagram.first(), Some(128..=191)) {
            return None;
        }
        for key in self.demux.at(path.remote.address.ip()) {
            self.trials = self.trials.checked_sub(1)?;
            let peer = self.connections.get_mut(key).map(|connection| &mut connection.peer);
            if let Some(received) = peer.and_then(|peer| peer.receive_moved(self.now, path.remote, datagram)) {
                return Some((key, received));
            }
        }
        None
    }

    /// Sends what a peer's transport has to say.
    pub(super) fn send_from_peer(&mut self, key: usize, local: Option<IpAddr>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        while let Some((remote, message)) = connection.peer.poll_transmit() {
            // A lost answer or flight is asked for again.
            let _ = self.links.send(self.now, &Path { remote, local }, &message, message.len());
        }
    }

    /// Looks after time.
    fn tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        self.trials = TRIALS;
        let turn = self.ticks % TURN;
        let due = self.connections.iter().map(|(key, _)| key).filter(|key| key % TURN == turn);
        let keys: HashSet<usize> = due.chain(self.busy.iter().copied()).collect();
        for key in keys {
            self.look_after(key);
        }
        self.router.tick(self.now);
        self.look_after_lines();
        self.reporter.catch_up();
        if self.ticks.is_multiple_of(MEASURE_EVERY) {
            self.router.measure(self.now);
        }
        if turn == 0 {
            self.meters.waiting = [self.requests.len(), self.crossings.len()];
            self.meters.publish_streams(self.links.tcp.len(), self.links.tcp.dropped());
            self.meters.publish_entries(&self.entries());
            self.publish_lines();
            self.meters.publish(self.connections.len(), self.egress.counts(), self.now);
        }
    }

    /// What grows with those who are here, and shrinks when they leave. A slot is what a subscription is of.
    fn entries(&self) -> [(&'static str, usize); 13] {
        let (kept, (fragments, endpoints)) = (self.router.kept(), self.demux.len());
        [
            ("connections", self.by_id.len()),
            ("busy_connections", self.busy.len()),
            ("fragments", fragments),
            ("endpoints", endpoints),
            ("publications", kept.publications),
            ("subscribers", kept.subscribers),
            ("subscriptions", kept.slots),
            ("lessons", kept.lessons),
            ("origins", self.origins.len()),
            ("lessons_of_other_workers", self.interested.len()),
            ("batches", self.leaving.len()),
            ("lines", self.lines.groups.keys().count()),
            ("paced_connections", self.waiting.len()),
        ]
    }

    /// One connection's timers, feedback and reports.
    fn look_after(&mut self, key: usize) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.peer.poll_timeout().is_some_and(|at| at <= now) {
            let local = connection.local;
            connection.peer.handle_timeout(now);
            self.send_from_peer(key, local);
            self.peer_events(key);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        let clock = self.clock;
        let mut feedback = std::mem::take(&mut self.feedback);
        feedback.clear();
        match &mut connection.side {
            Side::Publisher(ingress) => {
                for block in ingress.feedback(now, &mut feedback).into_iter().flatten() {
                    connection.line.reception(&block, 90_000, clock.ntp(now));
                }
                let (octets, packets) = ingress.take_carried();
                connection.line.carried(octets, packets);
                for message in &feedback {
                    if let Sent::Nack { sequence_numbers, .. } = message {
                        connection.line.asked_again(sequence_numbers.len());
                    }
                }
            }
            Side::Subscriber { key: Some(subscriber), .. } => {
                for report in self.router.reports(*subscriber) {
                    feedback.push(Sent::SenderReport {
                        ssrc: report.ssrc,
                        ntp: NtpTime::from_unix_nanos(report.unix_nanos),
                        rtp: report.timestamp,
                        packets: report.packets,
                        octets: report.octets,
                    });
                }
            }
            Side::Subscriber { key: None, .. } => {}
        }
        let up = matches!(connection.side, Side::Publisher(_));
        if matches!(connection.side, Side::Subscriber { key: Some(_), .. }) && !connection.peer.is_moving() {
            self.busy.remove(&key);
        }
        if let Some(mut line) = connection.line.report(up, now) {
            let (lesson, participant, connection) = (connection.lesson, connection.participant, connection.id);
            self.add_link_group(key, &mut line);
            self.report(Report::Line { lesson, participant, connection, line });
        }
        self.send_rtcp(key, &feedback);
        self.feedback = feedback;
    }

    /// Sends RTCP to one peer, if it is connected.
    pub(super) fn send_rtcp(&mut self, key: usize, messages: &[Sent]) {
        let Some(connection) = self.connections.get_mut(key).filter(|_| !messages.is_empty()) else { return };
        let Some(path) = connection.path() else { return };
        self.compound.clear();
        let cname = connection.id.to_string();
        rtcp::write(messages, connection.feedback_ssrc, &cname, connection.reduced_size, &mut self.compound);
        let sealed = connection.peer.sealer().and_then(|sealer| sealer.seal_rtcp(&mut self.compound));
        if sealed.is_some() && self.links.send(self.now, &path, &self.compound, self.compound.len()).is_err() {
            self.meters.drop("kernel_full", 1);
        }
    }

    /// Tells the rest of the server, as soon as it listens.
    pub(super) fn report(&mut self, report: Report) {
        if !self.reporter.tell(report) {
            self.meters.drop("report", 1);
        }
    }

    /// What became of a peer.
    fn peer_events(&mut self, key: usize) {
        while let Some(event) = self.connections.get_mut(key).and_then(|connection| connection.peer.poll_event()) {
            match event {
                Event::Connected => self.up(key),
                Event::NeverConnected => self.close(key, Closed::NeverConnected),
                Event::Expired => self.close(key, Closed::Expired),
                Event::Closed => self.close(key, Closed::Dtls),
            }
        }
    }
}
