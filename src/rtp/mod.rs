//! RTP, its codecs and RTCP: pure, without sockets or clocks.

pub mod av1;
pub mod codec;
pub mod h264;
pub mod nack;
pub mod packet;
pub mod packet_cache;
pub mod reception;
pub mod red;
pub mod rewrite;
pub mod rtcp;
pub mod sequence;
pub mod timeline;
pub mod twcc;
pub mod vp8;
