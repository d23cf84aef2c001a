//! A line between publisher and answerer that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;

/// Carries datagrams both ways until it is cut.
#[derive(Clone)]
pub(crate) struct Line {
    cut: Arc<AtomicBool>,
    /// Where the publisher sends to.
    pub(crate) port: u16,
}

impl Line {
    pub(crate) async fn to(answerer: SocketAddr) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let far = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        far.connect(answerer).await.expect("loopback");
        let line = Self { cut: Arc::default(), port: near.local_addr().expect("bound").port() };
        let cut = Arc::clone(&line.cut);
        tokio::spawn(async move {
            let (mut outward, mut inward) = ([0; 2_048], [0; 2_048]);
            let mut publisher = None;
            while !cut.load(Ordering::Relaxed) {
                // A datagram that can't be delivered is a lost one, as on any line.
                tokio::select! {
                    Ok((length, from)) = near.recv_from(&mut outward) => {
                        publisher = Some(from);
                        let _ = far.send(&outward[..length]).await;
                    }
                    Ok(length) = far.recv(&mut inward) => if let Some(publisher) = publisher {
                        let _ = near.send_to(&inward[..length], publisher).await;
                    },
                    else => {}
                }
            }
            // The port stays open, so that the publisher hears silence, not a refusal.
            std::future::pending::<()>().await;
            drop(near);
        });
        line
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}
