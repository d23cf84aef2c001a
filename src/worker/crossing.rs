//! What workers tell each other. A publication crosses to another worker once, however many receive it there.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::id::{ConnectionId, LessonId, PublicationId, SourceName};
use crate::rtp::codec::Codec;
use crate::sfu::PublicationSpec;

/// Messages that may wait for a worker. Media is dropped (and counted) from half of it on, so that the rest always has room.
const CAPACITY: usize = 8_192;

/// A packet on its way, its payload in the batch's bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct CrossingPacket {
    /// Encoding.
    pub(super) layer: u8,
    /// Codec.
    pub(super) codec: Codec,
    /// Extended sequence number.
    pub(super) sequence: u64,
    /// Media time.
    pub(super) timestamp: u32,
    /// Marker.
    pub(super) marker: bool,
    /// Octets of payload.
    pub(super) length: u16,
}

/// Packets of one publication that came together.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    /// The packets.
    pub(super) packets: Vec<CrossingPacket>,
    /// Their payloads one after the other.
    pub(super) payloads: Vec<u8>,
}

/// One message.
#[derive(Debug, Clone)]
pub(super) enum Crossing {
    /// The sending worker has receivers of this lesson, or has none any more.
    Interest {
        /// The lesson.
        lesson: LessonId,
        /// Which worker.
        worker: usize,
        /// Whether it has.
        wanted: bool,
    },
    /// A publication came up on another worker.
    Published(Box<PublicationSpec>),
    /// It is over.
    Unpublished(PublicationId),
    /// A studio's source has a new publisher: others who send it are to stop.
    Replaces {
        /// The lesson.
        lesson: LessonId,
        /// The source.
        source: SourceName,
        /// Over which connection it comes now.
        connection: ConnectionId,
        /// Since when.
        since: Instant,
    },
    /// Packets of a publication.
    Media(PublicationId, Batch),
    /// A sender report's anchor of one encoding.
    Anchor {
        /// The publication.
        publication: PublicationId,
        /// Encoding.
        layer: u8,
        /// Media time.
        timestamp: u32,
        /// The same instant on the server's clock, nanoseconds.
        unix_nanos: i64,
    },
    /// An encoding's stream began anew.
    Restarted(PublicationId, u8),
    /// Receivers of the sending worker need a keyframe.
    WantKeyframe(PublicationId, u8),
}

/// The way to one worker.
#[derive(Debug, Clone)]
pub(super) struct Way {
    sender: Sender<Crossing>,
}

/// Makes a way and its end.
#[must_use]
pub(super) fn way() -> (Way, Receiver<Crossing>) {
    let (sender, receiver) = bounded(CAPACITY);
    (Way { sender }, receiver)
}

impl Way {
    /// Sends one message. Returns whether it was taken.
    #[must_use]
    pub(super) fn send(&self, message: Crossing) -> bool {
        if matches!(message, Crossing::Media(..)) && self.sender.len() > CAPACITY / 2 {
            return false;
        }
        match self.sender.try_send(message) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}
