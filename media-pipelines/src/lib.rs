//! `mingshi-media`: every part of mingshi that touches GStreamer, in a process of its own that may crash alone.
//!
//! The data path of the demonstration lesson:
//!
//! ```text
//! demo::shoot → demo::pipeline → demo::outlet → publish::packetise → publish::connection → socket
//! (pictures,     (encoders)      (frames)        (RTP packets)        (ICE, DTLS, SRTP)
//!  samples)
//! ```

pub mod check;
pub mod cli;
pub mod clock;
pub mod demo;
pub mod publish;
pub mod record;
