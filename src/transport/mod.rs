//! The only importers of the rtc-* crates.
pub mod sdp;
