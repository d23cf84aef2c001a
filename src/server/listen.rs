//! Accepting HTTP, HTTPS and media over TCP: bounded in number, patient only so far, ended in order.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::first_bytes::{self, Wanted};
use super::places::{Place, Places};
use crate::api::{Media, Peer};
use crate::auth::Network;

/// A client that doesn't finish its TLS handshake or its headers in this time is let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a stop, requests under way get this long.
const GRACE: Duration = Duration::from_secs(1);
/// When the process is out of file descriptors, others have to close some first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_HEADERS: usize = 64;
const MAX_STREAMS: u32 = 64;

/// What a port is for besides media over TCP, which every one takes.
#[derive(Clone)]
pub(super) enum Pages {
    /// Nothing.
    None,
    /// HTTP.
    Plain,
    /// HTTPS.
    Tls(TlsAcceptor),
}

/// What all listeners share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) app: Router,
    pub(super) media: Arc<dyn Media>,
    /// Streams that have connected and not said yet whose they are.
    pub(super) newcomers: Arc<Places>,
    pub(super) connections: Arc<Semaphore>,
    /// Of them, those of one client. Whoever comes through a proxy has the proxy's address: to that there is no bound.
    pub(super) places: Arc<Places>,
    pub(super) proxies: Arc<[Network]>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Accept connections until told to stop, then see those under way to their end.
pub(super) async fn accept(listener: TcpListener, pages: Pages, shared: Shared) {
    let mut stopping = shared.stopping.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = told_to_stop(&mut stopping) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => admit(stream, address, pages.clone(), &shared, &mut connections),
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}

fn admit(stream: TcpStream, address: SocketAddr, pages: Pages, shared: &Shared, connections: &mut JoinSet<()>) {
    let Some(open) = Open::new(address, shared) else {
        metrics::counter!("mingshi_http_connections_refused_total").increment(1);
        return;
    };
    let _ = stream.set_nodelay(true);
    let shared = shared.clone();
    connections.spawn(async move {
        let _open = open;
        let mut stopping = shared.stopping.clone();
        let wanted = tokio::select! {
            wanted = tokio::time::timeout(PATIENCE, first_bytes::look(&stream)) => wanted,
            () = told_to_stop(&mut stopping) => return,
        };
        match wanted {
            Ok(Ok(Wanted::Pages)) => {}
            Ok(Ok(Wanted::Media)) => {
                return first_bytes::hand_over(stream, address, &shared.media, &shared.newcomers).await;
            }
            Ok(Err(_)) | Err(_) => return,
        }
        let peer = Peer { address, tls: matches!(pages, Pages::Tls(_)) };
        let outcome = match pages {
            Pages::None => return,
            Pages::Plain => serve(stream, peer, shared).await,
            Pages::Tls(tls) => match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                Ok(Ok(stream)) => serve(stream, peer, shared).await,
                Ok(Err(error)) => {
                    metrics::counter!("mingshi_tls_handshakes_failed_total").increment(1);
                    tracing::debug!(%address, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    metrics::counter!("mingshi_tls_handshakes_failed_total").increment(1);
                    return;
                }
            },
        };
        if let Err(error) = outcome {
            tracing::debug!(%address, error, "connection ended early");
        }
    });
}

/// One of the places for connections, and one of the client's, for as long as the connection is open.
struct Open {
    _of_all: OwnedSemaphorePermit,
    _of_client: Option<Place>,
}

impl Open {
    fn new(address: SocketAddr, shared: &Shared) -> Option<Self> {
        let ip = address.ip().to_canonical();
        let of_client = match shared.proxies.iter().any(|proxy| proxy.contains(ip)) {
            true => None,
            false => Some(shared.places.enter(ip)?),
        };
        let of_all = shared.connections.clone().try_acquire_owned().ok()?;
        metrics::gauge!("mingshi_http_connections").increment(1.0);
        Some(Self { _of_all: of_all, _of_client: of_client })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("mingshi_http_connections").decrement(1.0);
    }
}

async fn serve<S>(stream: S, peer: Peer, shared: Shared) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Shared { app, mut stopping, .. } = shared;
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        app.clone().oneshot(request.map(Body::new))
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(PATIENCE);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = told_to_stop(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    outcome.map_err(|error| error.to_string())
}

/// The guard that waiting yields must not be kept while others wait.
async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Listen on an address; `[::]` takes IPv4 too, and a machine without IPv6 has only that.
pub(super) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) && !has_ipv6() => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}
