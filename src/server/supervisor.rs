//! What the service manager is told (sd_notify(3)): that the server is ready, alive, stopping. Where nobody listens, as in a
//! terminal, nothing is said.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::api::Media;

/// How long stopping may take after the drain: pages leave, requests end, media and database close.
const STOPPING: Duration = Duration::from_secs(30);

/// Everything listens and serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The server stops, and may wait so long for lessons to end before it does.
pub(super) fn stopping(drain: Duration) {
    let longest = u32::try_from((drain + STOPPING).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(longest)]);
}

/// Give signs of life for as long as this is polled and all media threads answer. It asks twice within the time after which
/// the service manager would take the server for stuck, and restart it.
pub(super) async fn keep_watch(media: Arc<dyn Media>) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut tick = tokio::time::interval(patience / 2);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if media.answers().await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(
                "a media thread doesn't answer; the service manager is told nothing, and will restart the server"
            );
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager can't be told how the server is");
    }
}
