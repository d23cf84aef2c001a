//! A lesson against a real server process: people who come over HTTP and send and receive media, and a look at what the
//! server's process and its metrics say meanwhile.

pub mod flood;
pub mod measure;
pub mod person;
pub mod server;

#[path = "../../tests/wire/client.rs"]
#[allow(dead_code, reason = "the tests that it was made for use more of it")]
mod client;
