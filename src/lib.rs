//! mingshi
pub mod api;
pub mod auth;
pub mod id;
pub mod lesson;
pub mod rtp;
pub mod store;
pub mod units;
pub mod worker;
