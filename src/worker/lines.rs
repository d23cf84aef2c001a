//! The worker's part of its subscribers' lines: what receivers tell of them goes in, and what is ordered is done.

use std::time::Duration;

use metrics::gauge;

use crate::adapt::Acknowledged;
use crate::rtp::rtcp::{Reception, TransportFeedback};
use crate::sfu::{LineKey, LinkGroups, Order};
use crate::units::Bitrate;

use super::connection::Connection;
use super::mailbox::LineReport;
use super::sending::Downlink;
use super::worker::Worker;

/// The lines, and room to work in.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) groups: LinkGroups,
    acknowledged: Vec<Acknowledged>,
}

impl Worker {
    /// A subscriber is about to be given to the router.
    pub(super) fn open_line(&mut self, key: usize, line: LineKey) {
        let Some(connection) = self.connections.get(key) else { return };
        self.lines.groups.open(line, &connection.tier, &mut self.router, self.now);
    }

    /// A subscriber's connection is up: it shares its line from now on.
    pub(super) fn join_line(&mut self, key: usize) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (Some(line), Some(subscriber)) = (connection.line_key(), connection.subscriber()) else { return };
        connection.downlink = Some(Box::new(Downlink::new(now)));
        self.lines.groups.join(line, (key, subscriber), &mut self.router, now);
        self.obey_lines();
    }

    /// A subscriber's connection is gone.
    pub(super) fn leave_line(&mut self, key: usize, line: LineKey) {
        self.lines.groups.leave(line, key, &mut self.router, self.now);
        self.obey_lines();
    }

    /// A receiver told what arrived.
    pub(super) fn transport_feedback(&mut self, key: usize, feedback: &TransportFeedback) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(line) = connection.line_key() else { return };
        let Some(downlink) = &mut connection.downlink else { return };
        let TransportFeedback { base, reference_time, deltas, .. } = feedback;
        let Lines { groups, acknowledged } = &mut self.lines;
        acknowledged.clear();
        downlink.history.feedback(*base, *reference_time, deltas, now, acknowledged);
        groups.feedback(line, key, acknowledged, &mut self.router, now);
        self.obey_lines();
    }

    /// A receiver reported in the older way.
    pub(super) fn reception_on_line(&mut self, key: usize, block: &Reception) {
        let (now, round_trip) = (self.now, block.round_trip(self.clock.ntp(self.now)));
        if let Some(line) = self.connections.get(key).and_then(Connection::line_key) {
            self.lines.groups.reception(line, key, f32::from(block.fraction_lost) / 256.0, round_trip, now);
        }
    }

    /// A receiver said what it can take.
    pub(super) fn remb_on_line(&mut self, key: usize, bps: u64) {
        let now = self.now;
        if let Some(line) = self.connections.get(key).and_then(Connection::line_key) {
            self.lines.groups.remb(line, key, Bitrate::from_bps(bps), now);
        }
    }

    /// Looks after the lines' time. To be called with every tick.
    pub(super) fn look_after_lines(&mut self) {
        self.lines.groups.tick(&mut self.router, self.now);
        self.obey_lines();
    }

    fn obey_lines(&mut self) {
        while let Some(order) = self.lines.groups.poll_order() {
            match order {
                Order::Pace { connection, rate } => {
                    let connection = self.connections.get_mut(connection);
                    if let Some(downlink) = connection.and_then(|connection| connection.downlink.as_deref_mut()) {
                        downlink.pacer.set_rate(rate, self.now);
                    }
                }
                Order::Pad { probe, elapsed } => self.send_probe(&probe, elapsed),
            }
        }
    }

    /// Adds to what is reported of a subscriber's connection what is known of the line that it shares.
    pub(super) fn add_link_group(&self, key: usize, report: &mut LineReport) {
        let Some(connection) = self.connections.get(key) else { return };
        let state = connection.line_key().and_then(|line| self.lines.groups.state(line, &self.router, self.now));
        if let Some(state) = state {
            (report.estimate, report.budget) = (Some(state.line.estimate.bps()), Some(state.budget.bps()));
            report.tier = Some(connection.tier.name.as_str().into());
        }
    }

    /// Publishes what is known of the lines, summed over this worker: single lines are told of with their lessons.
    pub(super) fn publish_lines(&self) {
        let worker = self.host.index.to_string();
        let states = self.lines.groups.keys().filter_map(|key| self.lines.groups.state(key, &self.router, self.now));
        let (mut rates, mut overused, mut queued) = ([0; 3], 0, Duration::ZERO);
        for state in states {
            let of_line = [state.line.estimate, state.budget, state.allocated];
            rates.iter_mut().zip(of_line).for_each(|(sum, rate)| *sum += rate.bps());
            overused += usize::from(state.line.overused);
            queued = queued.max(state.line.queue);
        }
        for (of, bps) in ["estimate", "budget", "allocated"].into_iter().zip(rates) {
            gauge!("mingshi_lines_bits_per_second", "worker" => worker.clone(), "of" => of).set(bps as f64);
        }
        gauge!("mingshi_lines_overused", "worker" => worker.clone()).set(overused as f64);
        gauge!("mingshi_lines_longest_queue_seconds", "worker" => worker).set(queued.as_secs_f64());
    }
}
