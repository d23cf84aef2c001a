//! mingshi
pub mod id;
pub mod rtp;
pub mod units;
pub mod worker;
