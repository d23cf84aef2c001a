//! mingshi
pub mod adapt;
pub mod api;
pub mod auth;
pub mod cli;
pub mod config;
pub mod id;
pub mod journal;
pub mod lesson;
pub mod recording;
pub mod rtp;
pub mod server;
pub mod sfu;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod units;
pub mod worker;
