//! The recording of a lesson, after the journal has kept what the worker received.

pub mod files;
