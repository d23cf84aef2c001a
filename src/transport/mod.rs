//! The only importers of the rtc-* crates.
