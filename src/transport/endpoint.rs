//! Where a peer's datagrams come from and go to.

use std::fmt;
use std::net::SocketAddr;

/// A TCP stream, numbered by whoever accepted it; no number is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The peer's end of a way to it: an address over UDP, or one TCP stream (RFC 6544).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The peer's address; an IPv4 one is never in its mapped form.
    pub address: SocketAddr,
    /// The stream; `None` is UDP.
    pub stream: Option<StreamId>,
}

impl Endpoint {
    /// A TCP stream from this address.
    #[must_use]
    pub const fn tcp(address: SocketAddr, stream: StreamId) -> Self {
        Self { address, stream: Some(stream) }
    }
}

/// Over UDP.
impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }
}

/// Over UDP.
impl From<([u8; 4], u16)> for Endpoint {
    fn from(address: ([u8; 4], u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.stream.is_some() { "tcp" } else { "udp" }, self.address)
    }
}
