//! mingshi
pub mod id;
pub mod units;
pub mod worker;
