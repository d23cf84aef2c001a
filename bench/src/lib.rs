//! Benchmarks and load of mingshi.
