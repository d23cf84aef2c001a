//! What the API needs of the media workers, so that it can be tested without them.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use std::net::{SocketAddr, TcpStream};

use crate::id::{ConnectionId, LessonId, ParticipantId};
use crate::worker::mailbox::{Connect, Connected, Patch, Patched, Refused, SlotKind, Workers};

/// The media side of the server; see [`Workers`] for what each call does.
pub trait Media: Send + Sync {
    /// Accept an offer.
    fn connect(&self, request: Connect) -> BoxFuture<'_, Result<Connected, Refused>>;
    /// Change a connection's ICE session.
    fn patch(
        &self,
        lesson: LessonId,
        connection: ConnectionId,
        patch: Patch,
    ) -> BoxFuture<'_, Result<Patched, Refused>>;
    /// End one connection of `participant` (of anybody, if `None`).
    fn disconnect(
        &self,
        lesson: LessonId,
        participant: Option<ParticipantId>,
        connection: ConnectionId,
    ) -> BoxFuture<'_, Result<(), Refused>>;
    /// End every connection of a lesson.
    fn end_lesson(&self, lesson: LessonId) -> BoxFuture<'_, ()>;
    /// Say who is on stage.
    fn set_stage(&self, lesson: LessonId, participants: Vec<ParticipantId>) -> BoxFuture<'_, ()>;
    /// Cap a slot of all of `participant`'s connections to a spatial layer.
    fn cap_layer(
        &self,
        lesson: LessonId,
        participant: ParticipantId,
        slot: SlotKind,
        index: u8,
        cap: Option<u8>,
    ) -> BoxFuture<'_, ()>;
    /// Say how large a page of `participant`'s shows a slot, in pixels of its screen; `Some(0)` = not at all.
    fn show(
        &self,
        lesson: LessonId,
        participant: ParticipantId,
        slot: SlotKind,
        index: u8,
        pixels: Option<u32>,
    ) -> BoxFuture<'_, ()>;
    /// Hand over a TCP stream whose first datagram is a STUN request.
    ///
    /// # Errors
    /// [`Refused`]: it is nobody's, or nobody could be told.
    fn adopt(&self, stream: TcpStream, remote: SocketAddr, first: Vec<u8>) -> Result<(), Refused>;
    /// Whether every media thread answers.
    fn answers(&self) -> BoxFuture<'_, bool>;
    /// End all connections and stop.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

impl Media for Workers {
    fn connect(&self, request: Connect) -> BoxFuture<'_, Result<Connected, Refused>> {
        Workers::connect(self, request).boxed()
    }

    fn patch(
        &self,
        lesson: LessonId,
        connection: ConnectionId,
        patch: Patch,
    ) -> BoxFuture<'_, Result<Patched, Refused>> {
        Workers::patch(self, lesson, connection, patch).boxed()
    }

    fn disconnect(
        &self,
        lesson: LessonId,
        participant: Option<ParticipantId>,
        connection: ConnectionId,
    ) -> BoxFuture<'_, Result<(), Refused>> {
        Workers::disconnect(self, lesson, participant, connection).boxed()
    }

    fn end_lesson(&self, lesson: LessonId) -> BoxFuture<'_, ()> {
        Workers::end_lesson(self, lesson).boxed()
    }

    fn set_stage(&self, lesson: LessonId, participants: Vec<ParticipantId>) -> BoxFuture<'_, ()> {
        Workers::set_stage(self, lesson, participants).boxed()
    }

    fn cap_layer(
        &self,
        lesson: LessonId,
        participant: ParticipantId,
        slot: SlotKind,
        index: u8,
        cap: Option<u8>,
    ) -> BoxFuture<'_, ()> {
        Workers::cap_layer(self, lesson, participant, slot, index, cap).boxed()
    }

    fn show(
        &self,
        lesson: LessonId,
        participant: ParticipantId,
        slot: SlotKind,
        index: u8,
        pixels: Option<u32>,
    ) -> BoxFuture<'_, ()> {
        Workers::show(self, lesson, participant, slot, index, pixels).boxed()
    }

    fn adopt(&self, stream: TcpStream, remote: SocketAddr, first: Vec<u8>) -> Result<(), Refused> {
        Workers::adopt(self, stream, remote, first)
    }

    fn answers(&self) -> BoxFuture<'_, bool> {
        Workers::answers(self).boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Workers::stop(self).boxed()
    }
}
