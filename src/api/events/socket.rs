//! One page's websocket from welcome to close.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::close;
use super::message::{ClientMessage, Reply, Welcome};
use crate::api::directory::{Closing, Outgoing, Seat, text};
use crate::api::lessons::{LessonChanged, LessonView};
use crate::api::problem::{Kind, Problem};
use crate::api::state::ApiState;
use crate::auth::{Claims, Issued};
use crate::id::LessonId;
use crate::lesson::{Behind, Role, State, Stats};

/// How long one message may take to leave; a page that takes longer is cut off and comes back.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the page is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How often it may be asked in vain.
const UNANSWERED: u32 = 3;
/// How long the other side gets to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Measurements that come sooner after each other are let go. Pages tell every five seconds.
const STATS_INTERVAL: Duration = Duration::from_secs(3);

/// A page that says the same of how far it is behind but for the time is heard this often. Pages tell every five seconds.
const BEHIND_INTERVAL: Duration = Duration::from_secs(3);

/// Messages that every media thread has to hear of: one in this time, and so much of it at once. A page that says more is
/// heard more slowly, so that it can't fill the mailboxes of all.
const MEDIA_EVERY: Duration = Duration::from_millis(100);
const MEDIA_AT_ONCE: Duration = Duration::from_secs(4);

/// Why a websocket is done.
enum Done {
    /// The page went away by itself, or can't be reached.
    Gone,
    /// The server closes, and says why.
    Close(u16, &'static str),
}

/// A websocket.
pub(super) struct Socket {
    websocket: WebSocket,
    measured_at: Option<Instant>,
    behind: Option<(Instant, Option<Behind>)>,
    /// When the media threads may be told of the page's next wish.
    media_at: Instant,
    _open: Open,
}

/// Counts a websocket for as long as it is open, let in or not.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("mingshi_websockets").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("mingshi_websockets").decrement(1.0);
    }
}

impl Socket {
    pub(super) fn new(websocket: WebSocket) -> Self {
        let now = Instant::now();
        let media_at = now.checked_sub(MEDIA_AT_ONCE).unwrap_or(now);
        Self { websocket, measured_at: None, behind: None, media_at, _open: Open::new() }
    }

    /// Close a websocket that was not let in.
    pub(super) async fn refuse(self, problem: &Problem) {
        let code = match problem.kind() {
            Kind::LessonNotFound => close::NO_SUCH_LESSON,
            Kind::Internal => close::INTERNAL,
            _ => close::TOKEN_REFUSED,
        };
        let reason = problem.document().code;
        metrics::counter!("mingshi_lesson_pages_refused_total", "code" => reason).increment(1);
        self.close(code, reason).await;
    }

    /// Let a page watch a lesson until it leaves or is sent away.
    pub(super) async fn serve(mut self, state: ApiState, lesson: LessonId, claims: Claims) {
        let viewer = claims.viewer();
        let (identity, _) = state.identity(&claims).await;
        let mut seat = state.directory.open_page(lesson, identity);
        let done = match self.welcome(&state, lesson, &claims, &mut seat).await {
            Ok(()) => self.talk(&state, lesson, claims, &mut seat).await,
            Err(done) => done,
        };
        let said = match done {
            // Said before the seat is given up: a server that stops waits for the seats, then ends.
            Done::Close(code, reason) => self.say_goodbye(code, reason).await,
            Done::Gone => false,
        };
        state.directory.close_page(lesson, viewer, seat.page);
        if said {
            self.wait_for_answer().await;
        }
    }

    /// The lesson is read after the seat was taken: an end in between is seen here, a later one in the queue.
    async fn welcome(&mut self, state: &ApiState, id: LessonId, claims: &Claims, seat: &mut Seat) -> Result<(), Done> {
        let Ok(lesson) = state.lesson(id).await else {
            return Err(Done::Close(close::INTERNAL, "internal"));
        };
        let view = LessonView::new(&lesson, claims.role);
        if lesson.state == State::Ended {
            self.send(&LessonChanged { lesson: view }).await?;
            return Err(Done::Close(close::LESSON_ENDED, "lesson_ended"));
        }
        let welcome = Welcome {
            participant: claims.sub,
            lesson: view,
            participants: std::mem::take(&mut seat.participants),
            publications: std::mem::take(&mut seat.publications),
            slots: std::mem::take(&mut seat.slots),
            replaced: std::mem::take(&mut seat.replaced),
            server_time: state.clock.now(),
        };
        self.send(&welcome).await
    }

    async fn talk(&mut self, state: &ApiState, lesson: LessonId, mut claims: Claims, seat: &mut Seat) -> Done {
        let mut ping = interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        let mut unanswered = 0;
        let renewal = sleep(until_renewal(&claims, state.clock.earliest()));
        tokio::pin!(renewal);
        loop {
            let step = tokio::select! {
                outgoing = seat.queue.recv() => self.pass_on(outgoing).await,
                frame = self.websocket.recv() => {
                    unanswered = 0;
                    self.hear(state, lesson, &claims, frame).await
                }
                () = &mut renewal => {
                    let renewed = self.renew(state, &mut claims).await;
                    renewal.set(sleep(until_renewal(&claims, state.clock.earliest())));
                    renewed
                }
                _ = ping.tick() => {
                    if unanswered == UNANSWERED {
                        return Done::Close(close::GONE, "silent");
                    }
                    unanswered += 1;
                    self.send_frame(Frame::Ping(Default::default())).await
                }
            };
            if let Err(done) = step {
                return done;
            }
        }
    }

    async fn pass_on(&mut self, outgoing: Option<Outgoing>) -> Result<(), Done> {
        match outgoing {
            Some(Outgoing::Text(text)) => self.send_frame(Frame::Text(text)).await,
            Some(Outgoing::Close(Closing::LessonEnded)) => Err(Done::Close(close::LESSON_ENDED, "lesson_ended")),
            Some(Outgoing::Close(Closing::Restarting)) => Err(Done::Close(close::RESTARTING, "restarting")),
            None => Err(Done::Close(close::TOO_SLOW, "too_slow")),
        }
    }

    async fn hear(
        &mut self,
        state: &ApiState,
        lesson: LessonId,
        claims: &Claims,
        frame: Option<Result<Frame, axum::Error>>,
    ) -> Result<(), Done> {
        let text = match frame {
            Some(Ok(Frame::Text(text))) => text,
            Some(Ok(Frame::Binary(_))) => return self.no_sense("messages are JSON text").await,
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => return Ok(()),
            Some(Ok(Frame::Close(_)) | Err(_)) | None => return Err(Done::Gone),
        };
        match serde_json::from_str::<ClientMessage>(&text) {
            Ok(message) => self.obey(state, lesson, claims, message).await,
            Err(error) => self.no_sense(&error.to_string()).await,
        }
    }

    async fn obey(
        &mut self,
        state: &ApiState,
        lesson: LessonId,
        claims: &Claims,
        message: ClientMessage,
    ) -> Result<(), Done> {
        match message {
            ClientMessage::Ping => self.send(&Reply::Pong { server_time: state.clock.now() }).await,
            ClientMessage::Hand { raised } if claims.role == Role::Classroom => {
                state.directory.raise_hand(lesson, claims.sub, raised);
                Ok(())
            }
            ClientMessage::Hand { .. } => self.no_sense("only classrooms raise hands").await,
            ClientMessage::Behind { behind_ms, mode } if claims.role == Role::Classroom => {
                self.behind(state, lesson, claims, Behind::told(behind_ms, mode));
                Ok(())
            }
            ClientMessage::Behind { .. } => self.no_sense("only classrooms are behind").await,
            ClientMessage::Stats { stats } => self.measured(state, lesson, claims, stats).await,
            ClientMessage::LayerCap { slot, index, max_spatial } => {
                self.wait_for_media().await;
                state.media.cap_layer(lesson, claims.sub, slot.into(), index, max_spatial).await;
                Ok(())
            }
            ClientMessage::Shown { slot, index, width, height } => {
                self.wait_for_media().await;
                let pixels = u32::from(width) * u32::from(height);
                state.media.show(lesson, claims.sub, slot.into(), index, Some(pixels)).await;
                Ok(())
            }
        }
    }

    /// The studio is told of it: what is only a few seconds more of the same, it needn't hear too often.
    fn behind(&mut self, state: &ApiState, lesson: LessonId, claims: &Claims, behind: Option<Behind>) {
        let now = Instant::now();
        let mode = |behind: Option<Behind>| behind.map(|behind| behind.mode);
        let told = self
            .behind
            .is_some_and(|(at, before)| mode(before) == mode(behind) && now.duration_since(at) < BEHIND_INTERVAL);
        if told {
            return;
        }
        self.behind = Some((now, behind));
        state.directory.behind(lesson, claims.sub, behind);
    }

    async fn wait_for_media(&mut self) {
        let now = Instant::now();
        let full = now.checked_sub(MEDIA_AT_ONCE).unwrap_or(now);
        let at = self.media_at.max(full);
        self.media_at = at + MEDIA_EVERY;
        sleep(at.saturating_duration_since(now)).await;
    }

    async fn measured(
        &mut self,
        state: &ApiState,
        lesson: LessonId,
        claims: &Claims,
        stats: Stats,
    ) -> Result<(), Done> {
        let now = Instant::now();
        let refused = |reason| metrics::counter!("mingshi_page_stats_refused_total", "reason" => reason).increment(1);
        if self.measured_at.is_some_and(|at| now.duration_since(at) < STATS_INTERVAL) {
            refused("too_often");
            return Ok(());
        }
        self.measured_at = Some(now);
        match stats.checked() {
            Ok(stats) => {
                state.directory.measured(lesson, claims.sub, stats);
                Ok(())
            }
            Err(error) => {
                refused("too_large");
                self.no_sense(&error.to_string()).await
            }
        }
    }

    async fn no_sense(&mut self, said: &str) -> Result<(), Done> {
        metrics::counter!("mingshi_lesson_page_messages_refused_total").increment(1);
        let problem = Problem::new(Kind::BadJson, said.to_owned(), "消息无法理解");
        self.send(&Reply::Problem { problem: problem.document() }).await
    }

    /// The page gets its next token; an operator whose key was retired gets none and is sent away.
    async fn renew(&mut self, state: &ApiState, claims: &mut Claims) -> Result<(), Done> {
        if claims.role == Role::Operator {
            match state.store.operator_key().await {
                Ok(key) if key.map(|(id, _)| id) == claims.key => {}
                Ok(_) => return Err(Done::Close(close::TOKEN_REFUSED, "token_invalid")),
                Err(_) => return Err(Done::Close(close::INTERNAL, "internal")),
            }
        }
        let Issued { token, claims: renewed, expires_at } = state.tokens.issue(claims.clone(), state.clock.latest());
        *claims = renewed;
        self.send(&Reply::Token { token, expires_at }).await
    }

    async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), Done> {
        match text(message) {
            Some(text) => self.send_frame(Frame::Text(text)).await,
            None => Err(Done::Close(close::INTERNAL, "internal")),
        }
    }

    async fn send_frame(&mut self, frame: Frame) -> Result<(), Done> {
        match timeout(SEND_TIMEOUT, self.websocket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Done::Gone),
            Err(_) => Err(Done::Close(close::TOO_SLOW, "too_slow")),
        }
    }

    /// Say why, and wait a little for the answer, so that the reason isn't lost in a reset connection.
    async fn close(mut self, code: u16, reason: &'static str) {
        if self.say_goodbye(code, reason).await {
            self.wait_for_answer().await;
        }
    }

    /// Whether the reason could be sent.
    async fn say_goodbye(&mut self, code: u16, reason: &'static str) -> bool {
        let frame = Frame::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
        matches!(timeout(CLOSE_TIMEOUT, self.websocket.send(frame)).await, Ok(Ok(())))
    }

    async fn wait_for_answer(mut self) {
        let answered = async {
            while let Some(Ok(_)) = self.websocket.next().await {}
            let _ = SinkExt::close(&mut self.websocket).await;
        };
        let _ = timeout(CLOSE_TIMEOUT, answered).await;
    }
}

/// Never longer than two thirds of the token's life, whatever the clock says: a clock that was set back would
/// otherwise let it expire, once it is set right again.
fn until_renewal(claims: &Claims, now: OffsetDateTime) -> Duration {
    let wait = (claims.renew_at() - now).min(claims.renew_after());
    wait.try_into().unwrap_or(Duration::ZERO)
}
