//! RTP, its codecs and RTCP: pure, without sockets or clocks.

pub mod codec;
pub mod rtcp;
