//! Where the frames of one encoder leave to whoever publishes them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::keyframe_gate::KeyframeGate;
use crate::clock::UnixTime;

/// Frames that may wait for the publisher: two seconds of video, half a second of voice.
const CAPACITY: usize = 30;

/// One encoded picture or voice packet.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When its content was captured.
    pub captured: UnixTime,
    /// H.264 access unit in Annex B, VP8 frame or Opus packet.
    pub data: Bytes,
    /// Whether a decoder can start with it.
    pub keyframe: bool,
}

/// One encoder's frames, for at most one publisher at a time. Frames nobody takes are dropped.
#[derive(Debug, Default)]
pub struct Outlet {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    publisher: Option<mpsc::Sender<Frame>>,
    /// Set while what follows can't be decoded: at the start, and after a frame was dropped.
    awaiting_keyframe: bool,
    gate: KeyframeGate,
}

impl Outlet {
    /// Take the frames from now on, beginning with a keyframe. Whoever took them before gets no more.
    pub fn attach(&self) -> mpsc::Receiver<Frame> {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let mut state = self.lock();
        state.publisher = Some(sender);
        state.awaiting_keyframe = true;
        state.gate.request();
        receiver
    }

    /// Make a keyframe soon.
    pub fn request_keyframe(&self) {
        self.lock().gate.request();
    }

    /// Whether the frame to be encoded at `now` must be a keyframe.
    #[must_use]
    pub fn keyframe_due(&self, now: Instant) -> bool {
        self.lock().gate.pass(now)
    }

    /// Hand a frame to the publisher. One that is too slow loses frames up to a keyframe, never parts of a picture.
    pub fn put(&self, frame: Frame) {
        let mut state = self.lock();
        if state.awaiting_keyframe && !frame.keyframe {
            return;
        }
        let Some(publisher) = &state.publisher else { return };
        match publisher.try_send(frame) {
            Ok(()) => state.awaiting_keyframe = false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                state.awaiting_keyframe = true;
                state.gate.request();
            }
            Err(mpsc::error::TrySendError::Closed(_)) => state.publisher = None,
        }
    }

    /// The state is whole between any two statements, so a panic elsewhere doesn't spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    fn frame(number: u64, keyframe: bool) -> Frame {
        Frame { captured: UnixTime::from_nanos(number), data: Bytes::from_static(b"frame"), keyframe }
    }

    #[test]
    fn a_publisher_that_comes_late_begins_with_a_keyframe_it_asked_for() {
        let outlet = Outlet::default();
        outlet.put(frame(0, true));
        assert!(!outlet.keyframe_due(instant()));
        let mut frames = outlet.attach();
        assert!(outlet.keyframe_due(instant()));
        outlet.put(frame(1, false));
        outlet.put(frame(2, true));
        assert_eq!(frames.try_recv().map(|f| f.captured), Ok(UnixTime::from_nanos(2)));
    }

    #[test]
    fn a_slow_publisher_loses_frames_up_to_the_next_keyframe() {
        let outlet = Outlet::default();
        let mut frames = outlet.attach();
        outlet.put(frame(0, true));
        for number in 1..=CAPACITY as u64 {
            outlet.put(frame(number, false));
        }
        while frames.try_recv().is_ok() {}
        outlet.put(frame(100, false));
        assert!(frames.try_recv().is_err(), "nothing that needs a lost frame");
        outlet.put(frame(101, true));
        assert_eq!(frames.try_recv().map(|f| f.captured), Ok(UnixTime::from_nanos(101)));
    }
}
