//! Benchmarks and load of mingshi.

pub mod allocations;
pub mod lesson;
pub mod load;
pub mod price;
pub mod trace;
