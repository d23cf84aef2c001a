//! Publishing a lesson over WHIP, and doing so again whenever the connection or the server goes.

pub mod codecs;
pub mod connection;
pub mod header_extensions;
pub mod interceptor;
pub mod packetise;
pub mod retry;
pub mod sender_report;
pub mod whip;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::watch;

use crate::clock::{Clock, instant};
use crate::demo::Demo;
use crate::demo::ladder::VideoCodec;
use connection::{Connection, ConnectionError};
use retry::Retry;
use whip::{Whip, WhipError};

/// How long ICE and DTLS may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lesson tokens live 15 minutes; a renewed one is always at hand for the next connection.
const TOKEN_RENEWAL: Duration = Duration::from_secs(300);

/// Why a publication ended.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Signalling failed.
    #[error(transparent)]
    Whip(#[from] WhipError),
    /// Media failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Publishes a demonstration lesson.
#[derive(Debug)]
pub struct Publisher {
    whip: Whip,
    codec: VideoCodec,
    clock: Clock,
}

impl Publisher {
    /// A publisher to `whip`.
    #[must_use]
    pub const fn new(whip: Whip, codec: VideoCodec, clock: Clock) -> Self {
        Self { whip, codec, clock }
    }

    /// Publish until `stop` becomes true; whatever happens to the server, try again.
    pub async fn run(&self, demo: &Demo, stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.publish_forever(demo, stop) => {}
            () = self.renew_forever() => {}
        }
    }

    async fn publish_forever(&self, demo: &Demo, mut stop: watch::Receiver<bool>) {
        let mut retry = Retry::default();
        let mut told = String::new();
        while !*stop.borrow() {
            let Err(error) = self.publish_once(demo, &mut retry, &mut stop).await else { return };
            let pause = retry.pause(instant());
            // A server that stays away for an hour is worth one line, not four thousand.
            let reason = error.to_string();
            let was_on_air = matches!(error, PublishError::Connection(ConnectionError::Lost));
            if reason == told && !was_on_air {
                tracing::debug!(reason, ?pause, "still not on air");
            } else {
                tracing::warn!(reason, "not on air, trying again until it works");
                told = reason;
            }
            let _ = tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await;
        }
    }

    /// One connection, from offer to end. Being told to stop is the one end that isn't an error.
    async fn publish_once(
        &self,
        demo: &Demo,
        retry: &mut Retry,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), PublishError> {
        let mut connection =
            Connection::new(demo.encoders(), self.codec, self.clock, self.local_address().await).await?;
        let offer = connection.offer().await?;
        tracing::trace!(offer, "offer");
        let published = self.whip.publish(offer).await;
        let session = match published {
            Ok(session) => session,
            Err(error) => {
                connection.close().await;
                return Err(error.into());
            }
        };
        tracing::trace!(answer = session.answer, "answer");
        let outcome = match connection.start(session.answer.clone(), PATIENCE).await {
            Ok(()) => {
                retry.connected(instant());
                tracing::info!(resource = %session.resource, "on air");
                tokio::select! {
                    () = connection.lost() => Err(ConnectionError::Lost.into()),
                    // A closed channel means that nobody is left who could want more.
                    _ = stop.wait_for(|stop| *stop) => Ok(()),
                }
            }
            Err(error) => Err(error.into()),
        };
        // In this order the server hears that the publication is over before it notices that the connection is.
        if let Err(error) = self.whip.end(&session).await {
            tracing::debug!(%error, "the server has no publication to end");
        }
        connection.close().await;
        outcome
    }

    async fn renew_forever(&self) {
        loop {
            tokio::time::sleep(TOKEN_RENEWAL).await;
            if let Err(error) = self.whip.renew_token().await {
                tracing::warn!(%error, "the token was not renewed, going on with the old one");
            }
        }
    }

    /// The address from which this machine reaches the server.
    async fn local_address(&self) -> IpAddr {
        let (host, port) = self.whip.server();
        let server = lookup_host((host, port)).await.ok().and_then(|mut addresses| addresses.next());
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Some(server) = server else { return loopback };
        let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
        let Ok(socket) = UdpSocket::bind(any).await else { return loopback };
        match socket.connect(server).await.and_then(|()| socket.local_addr()) {
            Ok(local) => local.ip(),
            Err(_) => loopback,
        }
    }
}
