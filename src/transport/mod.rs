//! The only importers of the rtc-* crates.
pub mod rtcp;
pub mod sdp;
