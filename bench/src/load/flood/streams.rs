//! TCP connections that are opened and lead to nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mingshi::worker::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{HOSTILE, Tally, count, wait_until};

/// Between two octets of a slow one.
const DRIP: Duration = Duration::from_millis(500);
/// Connections that are opened before others get a turn.
const AT_ONCE: usize = 100;

/// Opens so many, says what they begin with, and holds them until `end`; those that drip say an octet more now and then.
pub(super) async fn hold(
    to: SocketAddr,
    connections: usize,
    beginning: &[u8],
    drips: bool,
    end: Instant,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::new();
    let mut held = Vec::new();
    for number in 0..connections {
        match open(to, beginning).await {
            Ok(stream) => held.push(stream),
            Err(_) => count(&mut tally, "not opened", 1),
        }
        if number % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        if clock::now() >= end {
            break;
        }
    }
    count(&mut tally, "opened", held.len() as u64);
    while drips && clock::now() + DRIP < end {
        wait_until(clock::now() + DRIP).await;
        for stream in &mut held {
            // One that the server has closed is counted at the end.
            let _ = stream.write_all(b"a").await;
        }
    }
    wait_until(end).await;
    let mut open = 0;
    for stream in &mut held {
        let read = tokio::time::timeout(Duration::from_micros(50), stream.read(&mut [0; 64])).await;
        open += u64::from(read.is_err());
    }
    count(&mut tally, "still open at the end", open);
    Ok(tally)
}

async fn open(to: SocketAddr, beginning: &[u8]) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((HOSTILE, 0).into())?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(beginning).await?;
    Ok(stream)
}
