//! mingshi
pub mod adapt;
pub mod id;
pub mod rtp;
pub mod sfu;
pub mod units;
pub mod transport;
pub mod worker;
