//! mingshi
pub mod adapt;
pub mod api;
pub mod auth;
pub mod id;
pub mod lesson;
pub mod rtp;
pub mod sfu;
pub mod store;
pub mod transport;
pub mod units;
pub mod worker;
