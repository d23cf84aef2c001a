//! The media threads on free ports of loopback, and what they report.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mingshi::adapt::{LineTier, Tier, Tiers};
use mingshi::id::{ConnectionId, LessonId, ParticipantId, PublicationId, SourceName};
use mingshi::units::Bitrate;
use mingshi::worker::mailbox::{Closed, Connect, End, LineNominal, Purpose, Report, Workers};
use mingshi::worker::{clock, pool};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What should be so within moments may take as long as this on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);
pub(crate) const WORKERS: usize = 2;
/// Connections of one address on one thread that have not come up.
pub(crate) const UNFINISHED: usize = 64;

pub(crate) struct Server {
    pub(crate) workers: Workers,
    reports: Arc<Mutex<Vec<Report>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with_room_for(1_000)
    }

    /// Each thread takes so many connections.
    pub(crate) fn with_room_for(connections: usize) -> Self {
        Self::with(connections, 4_096, Duration::ZERO)
    }

    /// The rest of the server takes only so many reports at a time, and one in each `pace`.
    pub(crate) fn with(connections: usize, waiting: usize, pace: Duration) -> Self {
        Self::at(LOOPBACK, connections, waiting, pace)
    }

    /// As [`with`](Self::with), at this address.
    pub(crate) fn at(address: IpAddr, connections: usize, waiting: usize, pace: Duration) -> Self {
        let (sender, receiver) = tokio::sync::mpsc::channel(waiting);
        let workers = pool::start(&settings(address, connections), &sender).expect("loopback has free ports");
        Self::of(workers, receiver, pace)
    }

    /// These media threads, whose reports are taken one in each `pace`.
    pub(crate) fn of(workers: Workers, mut receiver: tokio::sync::mpsc::Receiver<Report>, pace: Duration) -> Self {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&reports);
        tokio::spawn(async move {
            while let Some(report) = receiver.recv().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                if !pace.is_zero() {
                    tokio::time::sleep(pace).await;
                }
            }
        });
        Self { workers, reports }
    }

    /// Everything that was reported so far.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for what `find` finds in the reports.
    pub(crate) async fn reported<T>(&self, what: &str, find: impl Fn(&[Report]) -> Option<T>) -> T {
        within(PATIENCE, what, || find(&self.reports())).await
    }

    /// Waits for the end of a connection, and tells why.
    pub(crate) async fn down(&self, connection: ConnectionId) -> Closed {
        self.reported("the connection's end", |reports| why_down(reports, connection)).await
    }

    pub(crate) fn is_down(&self, connection: ConnectionId) -> bool {
        why_down(&self.reports(), connection).is_some()
    }

    /// Publications of a participant that began and have not ended.
    pub(crate) fn publications(&self, of: ParticipantId) -> Vec<PublicationId> {
        let mut live = Vec::new();
        for report in self.reports() {
            match report {
                Report::Publication { publication, .. }
                    if publication.participant == of && !live.contains(&publication.id) =>
                {
                    live.push(publication.id);
                }
                Report::PublicationEnded { publication, .. } => live.retain(|&one| one != publication),
                _ => {}
            }
        }
        live
    }
}

/// Media threads on free ports of this address.
pub(crate) fn settings(address: IpAddr, connections: usize) -> pool::Settings {
    pool::Settings {
        workers: WORKERS,
        udp_port: 0,
        bind: Some(address),
        public_addresses: vec![address],
        tcp_candidates: Vec::new(),
        tiers: wide(),
        max_connections_per_worker: connections,
        max_unfinished_per_address: UNFINISHED,
    }
}

pub(crate) fn why_down(reports: &[Report], of: ConnectionId) -> Option<Closed> {
    reports.iter().find_map(|report| match report {
        Report::Down { connection, why, .. } if *connection == of => Some(*why),
        _ => None,
    })
}

/// Waits until `find` finds something.
pub(crate) async fn within<T>(patience: Duration, what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = clock::now() + patience;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(clock::now() < deadline, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until `so` holds.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    within(PATIENCE, what, || so().then_some(())).await;
}

/// A school that lives on this worker.
pub(crate) fn school_on(worker: usize) -> String {
    let lives_there = |school: &String| {
        let mut hasher = DefaultHasher::new();
        school.hash(&mut hasher);
        hasher.finish() % WORKERS as u64 == worker as u64
    };
    (0..).map(|number| format!("school-{number}")).find(lives_there).expect("there are endless ones")
}

/// A request of somebody new, whose offer is still to come.
pub(crate) fn request(lesson: LessonId, end: End, worker: usize, purpose: Purpose) -> Connect {
    Connect {
        lesson,
        participant: ParticipantId::random(),
        end,
        school: Some(school_on(worker)),
        nominal: LineNominal::default(),
        address: LOOPBACK,
        purpose,
        offer: String::new(),
    }
}

pub(crate) fn source(name: &str) -> SourceName {
    name.parse().expect("a source name")
}

/// Lines on which nothing has to be cut.
fn wide() -> Tiers {
    let line = LineTier { start: Bitrate::from_bps(1_000_000_000), ..LineTier::default() };
    let playout = (Duration::ZERO, Duration::from_secs(10));
    Tiers::new(Vec::new(), Tier { name: "wide".into(), line, redundancy: 2, playout })
}
