//! The recorder.

pub mod files;
pub mod folder;
pub mod timeline;
