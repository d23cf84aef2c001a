//! One peer's connection, without sockets and clocks: datagrams and the time in, datagrams and events out.
//!
//! The modules here are the only importers of the `rtc-*` crates.

mod allowance;
pub mod dtls;
pub mod endpoint;
pub mod framing;
pub mod ice;
pub mod identity;
pub mod peer;
pub mod rtcp;
pub mod sdp;
pub mod srtp;

pub use endpoint::{Endpoint, StreamId};
pub use ice::Credentials;
pub use identity::Identity;
pub use peer::{Event, Peer, Received};
