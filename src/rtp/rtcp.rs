//! RTCP as the forwarding path understands it: facts without wire format. `transport::rtcp` reads and writes the packets.

use std::time::Duration;

use crate::units::NtpTime;

/// One thing a peer told us.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// A sender report (RFC 3550 §6.4.1): its media time `rtp` is `ntp` on the sender's clock.
    SenderReport {
        /// The sender's stream.
        ssrc: u32,
        /// On the sender's clock.
        ntp: NtpTime,
        /// The same instant in the stream's media time.
        rtp: u32,
    },
    /// One report block about a stream of ours.
    Reception(Reception),
    /// Generic NACK (RFC 4585 §6.2.1), its bitmasks unfolded.
    Nack {
        /// The stream that misses packets.
        ssrc: u32,
        /// Their sequence numbers, at most 17 per entry of the packet.
        sequence_numbers: Vec<u16>,
    },
    /// PLI or FIR (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
    KeyframeRequest {
        /// The stream that wants a keyframe.
        ssrc: u32,
    },
    /// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportFeedback(TransportFeedback),
    /// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03), bits per second.
    Remb {
        /// The rate.
        bps: u64,
    },
    /// Goodbye (RFC 3550 §6.6).
    Bye {
        /// The streams that end.
        ssrcs: Vec<u32>,
    },
}

/// A report block (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reception {
    /// The stream reported on.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost since the beginning; duplicates make it negative.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with its cycles.
    pub highest_sequence: u32,
    /// Interarrival jitter in media clock ticks.
    pub jitter: u32,
    /// Middle bits of the last sender report's NTP time, 0 = none.
    pub last_sender_report: u32,
    /// Time since that report, in 1/65536 s.
    pub delay_since_sender_report: u32,
}

/// Arrival of a run of transport-wide sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransportFeedback {
    /// One of the streams whose packets are told of. libwebrtc ignores feedback that names none of its own.
    pub ssrc: u32,
    /// First transport-wide sequence number.
    pub base: u16,
    /// Counter of feedback packets.
    pub count: u8,
    /// Arrival of the first packets' time line, in multiples of 64 ms (24 bits).
    pub reference_time: u32,
    /// For each number from `base` on: `None` = not received, else its arrival after the one received before it
    /// (the first: after the reference time), in units of 250 µs.
    pub deltas: Vec<Option<i16>>,
}

/// One thing we tell a peer.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// A sender report of one stream of ours, with its source description CNAME.
    SenderReport {
        /// Our stream.
        ssrc: u32,
        /// Server clock.
        ntp: NtpTime,
        /// The same instant in the stream's media time.
        rtp: u32,
        /// Packets sent so far.
        packets: u32,
        /// Payload octets sent so far.
        octets: u32,
    },
    /// A receiver report with these blocks (at most 31).
    ReceiverReport(Vec<Reception>),
    /// Generic NACK.
    Nack {
        /// The stream that we miss packets of.
        ssrc: u32,
        /// Their sequence numbers in ascending order.
        sequence_numbers: Vec<u16>,
    },
    /// Picture loss indication.
    KeyframeRequest {
        /// The stream that we want a keyframe of.
        ssrc: u32,
    },
    /// Transport-wide feedback.
    TransportFeedback(TransportFeedback),
    /// Goodbye.
    Bye(Vec<u32>),
}

impl Reception {
    /// The round trip that this block tells of (RFC 3550 §6.4.1), if it answers a sender report, as seen at `now`.
    #[must_use]
    pub fn round_trip(&self, now: NtpTime) -> Option<Duration> {
        if self.last_sender_report == 0 {
            return None;
        }
        let elapsed = now.middle().wrapping_sub(self.last_sender_report);
        let away = elapsed.checked_sub(self.delay_since_sender_report)?;
        // A block that tells of more than a minute answers a report of another life.
        (away < 60 << 16).then(|| Duration::from_nanos((u64::from(away) * 1_000_000_000) >> 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_is_what_was_not_spent_at_the_peer() {
        let sent = NtpTime::from_unix_nanos(1_000_000_000_000);
        let back = NtpTime::from_unix_nanos(1_000_000_000_000 + 180_000_000);
        let block = Reception {
            last_sender_report: sent.middle(),
            delay_since_sender_report: 65_536 / 10,
            ..Reception::default()
        };
        let round_trip = block.round_trip(back).expect("the block answers a report");
        assert!((79..=81).contains(&round_trip.as_millis()), "{round_trip:?}");
        assert_eq!(Reception::default().round_trip(back), None);
    }
}
