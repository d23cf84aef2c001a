//! The recorder.

pub mod folder;
pub mod timeline;
