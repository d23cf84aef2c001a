//! The one file that knows every part: assemble, start, stop in order.

mod authority;
mod first_bytes;
mod listen;
mod lock;
mod media;
mod places;
mod supervisor;
mod tls;
mod validity;
mod writing;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use listen::Pages;
use places::Places;

pub use authority::{AuthorityError, local_addresses};
pub use lock::{DataFolder, Holder, LockError};
pub use media::{MediaSide, tcp_candidates, udp_candidates};
pub use tls::{Certificates, TlsError, certificate_files};
pub use validity::Validity;

use crate::api::{self, ApiState, Clock, Directory, Parts};
use crate::auth::{OperatorKey, Tickets, Tokens};
use crate::config::Config;
use crate::recording::{self, Recordings, StorageError};
use crate::journal::Journal;
use crate::lesson::Chronicle;
use crate::store::{self, Store};
use crate::telemetry;
use crate::worker;

/// How often certificates are looked after.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(30);
/// How often the metrics recorder tidies up, and the database is asked for a sign of life.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long pages get to hear that the server restarts. They come back to the next process; a long goodbye is silence.
const PAGES_LEAVE: Duration = Duration::from_secs(1);
/// How often a server that drains looks whether the last lesson has ended.
const DRAIN_POLL: Duration = Duration::from_millis(200);

/// The name under which the secret of the tokens is kept.
pub const TOKEN_SECRET: &str = "token";
/// And that of the tickets.
const TICKET_SECRET: &str = "ticket";

/// Why the server can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] LockError),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Where recordings are to go.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] telemetry::MetricsError),
    /// An address is taken, or not this machine's.
    #[error("{option}: can't listen on {address}: {fact}")]
    Listen {
        /// The option that names it.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        fact: String,
    },
    /// The media workers.
    #[error("media.udp_port{advice}", advice = another_udp_port(.0))]
    Media(#[from] worker::pool::StartError),
    /// The journal of what is received.
    #[error(
        "recordings can't be written: {0}; make room, or switch recording off (recording.enabled = false) 录像无法写入：请清理磁盘，或关闭录像"
    )]
    Journal(std::io::Error),
    /// Signals can't be waited for.
    #[error("signals can't be received: {0}")]
    Signals(std::io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where it is reached over HTTP.
    pub http: Option<SocketAddr>,
    /// Where it is reached over HTTPS.
    pub https: Option<SocketAddr>,
    /// Made just now, at the first start: nobody can read it later.
    pub first_key: Option<OperatorKey>,
    /// What the handlers share.
    pub state: ApiState,
    /// What writes down what is received, where lessons are recorded.
    pub journal: Option<Journal>,
    data: DataFolder,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Start a server as configured.
///
/// # Errors
/// [`Error`] says in words what is in the way.
pub async fn start(config: &Config) -> Result<Running, Error> {
    let data = DataFolder::take(&config.server.data)?;
    let media = media::start(config)?;
    start_with(config, data, media, clock()).await
}

/// The machine's clocks.
#[must_use]
pub fn clock() -> Clock {
    let time_of_day = || {
        OffsetDateTime::from_unix_timestamp_nanos(worker::clock::unix_nanos().into())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    Clock::new(time_of_day, worker::clock::now)
}

/// Start a server in a data folder that was taken, with a media side and a clock that are given.
///
/// # Errors
/// [`Error`] says in words what is in the way.
pub async fn start_with(config: &Config, data: DataFolder, media: MediaSide, clock: Clock) -> Result<Running, Error> {
    // Ports first: a second server must not touch what the first one uses.
    let http = bind("server.http", config.server.http).await?;
    let https = bind("server.https", config.server.https).await?;
    let tcp = bind("media.tcp_port", config.media.tcp_listening()).await?;
    let now = clock.now();
    let store = Store::open(data.path()).await?;
    let first_key = first_key(&store, &clock).await?;
    let secret = store.secret(TOKEN_SECRET, now).await?;
    let tickets = Tickets::new(&store.secret(TICKET_SECRET, now).await?);
    let metrics = telemetry::install_metrics()?;
    let certificates = match https {
        Some(_) => Some(Certificates::load(&config.tls, data.path(), now)?),
        None => None,
    };
    let MediaSide { media, reports, journal, program } = media;
    let chronicle = journal.clone().map(|journal| Arc::new(journal) as Arc<dyn Chronicle>);
    let directory = Directory::with_chronicle(clock.clone(), chronicle);
    if let Some(journal) = &journal {
        writing::take_up(journal, &store, &directory).await?;
    }
    let recordings = recordings(config, &store, &clock, program)?;
    for (lesson, classrooms) in store.stages().await? {
        let participants = directory.restore_stage(lesson, classrooms);
        media.set_stage(lesson, participants).await;
    }
    let streams = media.clone();
    let state = ApiState::new(Parts {
        store,
        tokens: Tokens::new(&secret, config.auth.lifetimes),
        media,
        directory: directory.clone(),
        clock: clock.clone(),
        trusted_proxies: config.server.trusted_proxies.clone(),
        join_attempts_per_minute: config.auth.join_attempts_per_minute,
        requests_per_address: config.auth.requests_per_address_per_minute,
        requests_per_participant: config.auth.requests_per_participant_per_minute,
        public_url: config.server.public_url.clone(),
        turn: config.turn.clone(),
        metrics: Some(metrics.clone()),
        tickets,
        recordings: recordings.clone(),
        lines: config.media.clone(),
        tiers: config.media.tiers.known().iter().map(|tier| tier.name.clone()).collect(),
        series: config.metrics,
        ca_certificate: certificates.as_ref().and_then(|certificates| certificates.ca_certificate()),
    });
    let (stop, stopping) = watch::channel(false);
    let connections = Arc::new(Semaphore::new(config.server.max_connections));
    let shared = listen::Shared {
        app: api::app(state.clone()),
        media: streams,
        newcomers: Places::each(first_bytes::NEWCOMERS),
        connections,
        places: Places::each(config.server.max_connections_per_address),
        proxies: config.server.trusted_proxies.clone().into(),
        stopping,
    };
    let addresses = [&http, &https].map(|listener| listener.as_ref().and_then(|listener| listener.local_addr().ok()));
    let mut listeners = Vec::new();
    if let Some(listener) = http {
        listeners.push(tokio::spawn(listen::accept(listener, Pages::Plain, shared.clone())));
    }
    if let (Some(listener), Some(certificates)) = (https, &certificates) {
        let tls = TlsAcceptor::from(Arc::new(certificates.server_config()?));
        listeners.push(tokio::spawn(listen::accept(listener, Pages::Tls(tls), shared.clone())));
    }
    if let Some(listener) = tcp {
        listeners.push(tokio::spawn(listen::accept(listener, Pages::None, shared)));
    }
    let mut tasks = vec![
        tokio::spawn(directory.run(reports)),
        tokio::spawn(upkeep(metrics, state.clone())),
        tokio::spawn(state.clone().look_after_database()),
    ];
    tasks.push(tokio::spawn(supervisor::keep_watch(state.media.clone())));
    tasks.push(tokio::spawn(async move { recordings.run().await }));
    data.announce(&bound(&addresses), now);
    supervisor::ready();
    tasks.extend(certificates.map(|certificates| tokio::spawn(look_after(certificates, clock))));
    let [http, https] = addresses;
    tracing::info!(?http, ?https, data = %data.path().display(), "server started");
    Ok(Running { http, https, first_key, state, journal, data, stop, listeners, tasks })
}

/// SIGTERM and SIGINT, which both ask a server to stop.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Have them reported here, instead of ending the process, from now on.
    ///
    /// # Errors
    /// [`Error::Signals`].
    pub fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Wait for the next of either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Running {
    /// Let nobody new in, and wait until no studio is on air any more, at most so long.
    pub async fn drain(&self, patience: Duration) {
        supervisor::stopping(patience);
        self.state.drain();
        let over = async {
            while self.state.directory.lessons_on_air() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if !patience.is_zero() {
            let lessons = self.state.directory.lessons_on_air();
            tracing::info!(lessons, seconds = patience.as_secs(), "draining: nobody new is let in");
            let _ = tokio::time::timeout(patience, over).await;
        }
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.path().to_owned()
    }

    /// Stop: accept nothing more, send pages away with the word that they may come back, let requests finish,
    /// save what is unsaved, end media, close the database, give the data folder back.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.state.drain();
        self.state.directory.restart();
        let _ = self.stop.send(true);
        let left = async {
            while self.state.directory.pages() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(PAGES_LEAVE, left).await;
        for listener in self.listeners {
            if let Err(error) = listener.await {
                tracing::error!(%error, "a listener had failed");
            }
        }
        // Whatever may take time comes before this: from here to the next process's start nobody hears anything.
        self.state.save_all().await;
        self.state.media.stop().await;
        // What the last of the media threads handed over is written before the process ends.
        if let Some(journal) = &self.journal {
            journal.stop().await;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        self.state.store.close().await;
        drop(self.data);
        tracing::info!("stopped");
    }
}

fn recordings(
    config: &Config,
    store: &Store,
    clock: &Clock,
    program: Option<PathBuf>,
) -> Result<Recordings, StorageError> {
    let (data, settings, store) = (config.server.data.clone(), config.recording.clone(), store.clone());
    let clock = clock.clone();
    let (now, limits) = (Arc::new(move || clock.now()), recording::Limits::default());
    Recordings::new(recording::Parts { data, settings, store, now, program, limits })
}

/// Where a server that listens on these is reached, in words.
fn bound([http, https]: &[Option<SocketAddr>; 2]) -> Vec<String> {
    let http = http.map(|address| format!("http://{address}"));
    http.into_iter().chain(https.map(|address| format!("https://{address}"))).collect()
}

async fn bind(option: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, Error> {
    let Some(address) = address else {
        return Ok(None);
    };
    let explain = |error: std::io::Error| {
        let fact = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                // Those below 1024 need a permission.
                let port = address.port().wrapping_add(1).max(1024);
                let other = SocketAddr::new(address.ip(), port);
                // Media over TCP is set by the number alone.
                let value = if option == "media.tcp_port" { port.to_string() } else { other.to_string() };
                format!("another program uses this port. {}", another_port(option, &value))
            }
            std::io::ErrorKind::AddrNotAvailable => "this machine doesn't have this address".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a permission (CAP_NET_BIND_SERVICE)".to_owned()
            }
            _ => error.to_string(),
        };
        Error::Listen { option, address, fact }
    };
    listen::bind(address).await.map(Some).map_err(explain)
}

/// What to do about a port that is taken, for whoever started the server.
fn another_port(option: &str, value: &str) -> String {
    let variable = option.to_uppercase().replace('.', "_");
    format!(
        "端口已被其他程序占用：请先结束那个程序，或换一个端口。 End that program, or choose another port, such as: \
         MINGSHI_{variable}={value}"
    )
}

fn another_udp_port(error: &worker::pool::StartError) -> String {
    match error {
        worker::pool::StartError::Bind { port, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            // Past the ports of as many media threads as there may be.
            let other = port.checked_add(1000).unwrap_or(20000);
            format!(": {}", another_port("media.udp_port", &other.to_string()))
        }
        _ => String::new(),
    }
}

/// The operator key, if there was none yet.
async fn first_key(store: &Store, clock: &Clock) -> Result<Option<OperatorKey>, store::Error> {
    if store.operator_key().await?.is_some() {
        return Ok(None);
    }
    let key = OperatorKey::random();
    store.replace_operator_key(key.hash(), clock.now()).await?;
    Ok(Some(key))
}

async fn upkeep(metrics: metrics_exporter_prometheus::PrometheusHandle, state: ApiState) {
    let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
        state.forget_the_patient();
        let began = state.clock.instant();
        match state.store.ping().await {
            Ok(()) => {
                let took = state.clock.instant().saturating_duration_since(began);
                metrics::histogram!("mingshi_database_duration_seconds").record(took.as_secs_f64());
            }
            Err(error) => tracing::warn!(%error, "the database doesn't answer"),
        }
    }
}

/// Take up new certificate files, at once on SIGHUP; renew our own in time and when addresses change.
async fn look_after(certificates: Arc<Certificates>, clock: Clock) {
    let mut hangup = signal(SignalKind::hangup()).ok();
    let mut tick = tokio::time::interval(CERTIFICATE_INTERVAL);
    loop {
        let hung_up = async {
            match hangup.as_mut() {
                Some(signals) => signals.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tick.tick() => {}
            _ = hung_up => {}
        }
        let (certificates, now) = (certificates.clone(), clock.now());
        // Files are read, and a key is made now and then: not on a thread that serves.
        let refreshed = tokio::task::spawn_blocking(move || {
            let refreshed = certificates.refresh(now);
            let expires_at = certificates.validity().map(|validity| validity.not_after.unix_timestamp());
            metrics::gauge!("mingshi_tls_certificate_expiry_seconds").set(expires_at.unwrap_or_default() as f64);
            refreshed
        });
        match refreshed.await {
            Ok(Ok(true)) => tracing::info!("a new certificate is in use"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the certificate can't be renewed; the old one stays in use"),
            Err(error) => tracing::error!(%error, "looking after certificates failed"),
        }
    }
}
