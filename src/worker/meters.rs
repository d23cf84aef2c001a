//! What a worker counts. Counted in plain fields on the media path, and published once a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};

use crate::transport::peer::Error;

use super::egress::Sent;
use super::stream::Dropped;

/// Counts of one worker.
#[derive(Debug)]
pub(super) struct Meters {
    worker: String,
    /// Datagrams received.
    pub(super) received: u64,
    /// Packets sent again on request.
    pub(super) retransmitted: u64,
    /// Keyframes asked for.
    pub(super) keyframes: u64,
    /// Time spent in turns, not waiting.
    pub(super) busy: Duration,
    /// Requests and messages of other workers that wait.
    pub(super) waiting: [usize; 2],
    since: Instant,
    dropped: HashMap<&'static str, u64>,
    published: Sent,
    published_streams: Dropped,
}

impl Meters {
    /// Of this worker, from `now` on.
    #[must_use]
    pub(super) fn new(worker: usize, now: Instant) -> Self {
        Self {
            worker: worker.to_string(),
            received: 0,
            retransmitted: 0,
            keyframes: 0,
            busy: Duration::ZERO,
            waiting: [0; 2],
            since: now,
            dropped: HashMap::new(),
            published: Sent::default(),
            published_streams: Dropped::default(),
        }
    }

    /// Something was dropped, and why.
    pub(super) fn drop(&mut self, why: &'static str, count: u64) {
        if count == 0 {
            return;
        }
        *self.dropped.entry(why).or_default() += count;
    }

    /// A datagram was not used.
    pub(super) fn refuse(&mut self, error: &Error) {
        let why = match error {
            Error::UnknownProtocol => "unknown_protocol",
            Error::Unauthenticated => "stun_unauthenticated",
            Error::Replayed => "stun_replayed",
            Error::Unchecked => "unchecked_address",
            Error::NoKeys => "media_before_keys",
            Error::Srtp(_) => "srtp",
            Error::Dtls(_) => "dtls",
        };
        self.drop(why, 1);
    }

    /// Hands the counts of TCP streams over to the next publication.
    pub(super) fn publish_streams(&mut self, streams: usize, dropped: Dropped) {
        gauge!("mingshi_tcp_streams", "worker" => self.worker.clone()).set(streams as f64);
        let before = std::mem::replace(&mut self.published_streams, dropped);
        self.drop("tcp_slow_video", dropped.video - before.video);
        self.drop("tcp_slow", dropped.urgent - before.urgent);
    }

    /// Tells how much is kept of what comes and goes, by what it is.
    pub(super) fn publish_entries(&self, entries: &[(&'static str, usize)]) {
        for &(of, kept) in entries {
            gauge!("mingshi_worker_entries", "worker" => self.worker.clone(), "of" => of).set(kept as f64);
        }
    }

    /// Hands the counts over to the metrics recorder.
    pub(super) fn publish(&mut self, connections: usize, sent: Sent, now: Instant) {
        gauge!("mingshi_connections", "worker" => self.worker.clone()).set(connections as f64);
        counter!("mingshi_datagrams_received_total", "worker" => self.worker.clone())
            .increment(std::mem::take(&mut self.received));
        counter!("mingshi_retransmissions_total", "worker" => self.worker.clone())
            .increment(std::mem::take(&mut self.retransmitted));
        counter!("mingshi_keyframe_requests_total", "worker" => self.worker.clone())
            .increment(std::mem::take(&mut self.keyframes));
        let span = now.saturating_duration_since(std::mem::replace(&mut self.since, now)).as_secs_f64();
        let busy = std::mem::take(&mut self.busy).as_secs_f64();
        gauge!("mingshi_worker_busy_ratio", "worker" => self.worker.clone()).set((busy / span.max(0.001)).min(1.0));
        for (queue, waiting) in ["requests", "crossings"].into_iter().zip(self.waiting) {
            gauge!("mingshi_worker_waiting", "worker" => self.worker.clone(), "queue" => queue).set(waiting as f64);
        }
        let before = std::mem::replace(&mut self.published, sent);
        for (name, now, then) in [
            ("mingshi_send_calls_total", sent.sends, before.sends),
            ("mingshi_datagrams_sent_total", sent.datagrams, before.datagrams),
            ("mingshi_sent_bytes_total", sent.octets, before.octets),
            ("mingshi_padding_bytes_total", sent.padding, before.padding),
        ] {
            counter!(name, "worker" => self.worker.clone()).increment(now - then);
        }
        self.dropped
            .entry("kernel_full")
            .and_modify(|count| *count += sent.dropped - before.dropped)
            .or_insert(sent.dropped - before.dropped);
        for (why, count) in self.dropped.drain() {
            counter!("mingshi_dropped_total", "worker" => self.worker.clone(), "reason" => why).increment(count);
        }
    }
}
