//! The journal of a lesson: what the server received, packet by packet, and what happened, in the order in which it came.
//!
//! The server appends ([`Writer`]); the process that makes recordings follows ([`Tail`]), live or long afterwards. The
//! format is made for being cut off at any octet: every record carries its length and checksum, so a reader takes all that
//! is whole, says where something is not, and goes on behind it. docs/journal.md describes it octet by octet.
//!
//! Nothing here asks for the time; all instants are nanoseconds since 1970 on the server's clock.

mod frame;
mod record;
mod repair;
mod segment;
mod tail;
mod writer;

pub use frame::MAX_PAYLOAD;
pub use record::{
    Anchor, Closed, Codec, End, Event, Keeps, Kind, Lost, LostWhy, Opened, Packet, PacketHead, Record, Restarted,
    Source, SourceEnded, What,
};
pub use repair::{Repaired, is_closed, repair};
pub use segment::{SEGMENT_OCTETS, VERSION};
pub use tail::{Next, Position, Tail};
pub use writer::{Unsynced, Writer};

/// Why a journal can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused; what it said.
    #[error("the journal can't be reached: {0}")]
    Io(#[from] std::io::Error),
    /// A record is larger than [`MAX_PAYLOAD`]; it was not written.
    #[error("a record of {0} octets is too long for the journal")]
    TooLong(usize),
    /// A record can't be put into JSON; it was not written.
    #[error("a record can't be written: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// A segment is of a later make of this program.
    #[error(
        "segment {segment} is of version {version} of the journal's format, and this program reads up to {VERSION}"
    )]
    Version {
        /// The segment's number.
        segment: u32,
        /// The version that its header names.
        version: u16,
    },
}

/// What reading and writing the journal come to.
pub type Result<T> = std::result::Result<T, Error>;
