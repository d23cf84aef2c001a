//! What a receiver reports of one incoming stream (RFC 3550 §6.4.1, appendices A.3 and A.8).

use std::time::Instant;

use super::rtcp::Reception;
use crate::units::NtpTime;

/// Statistics of one incoming stream.
#[derive(Debug)]
pub struct Statistics {
    ssrc: u32,
    clock_rate: u32,
    first: u64,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    jitter: f64,
    last: Option<(Instant, u32)>,
    sender_report: Option<(NtpTime, Instant)>,
    octets: u64,
}

impl Statistics {
    /// Of a stream whose first packet has this extended sequence number.
    #[must_use]
    pub fn new(ssrc: u32, clock_rate: u32, first: u64) -> Self {
        Self {
            ssrc,
            clock_rate,
            first,
            highest: first,
            received: 0,
            expected_before: 0,
            received_before: 0,
            jitter: 0.0,
            last: None,
            sender_report: None,
            octets: 0,
        }
    }

    /// Takes note of a packet, not of a retransmission.
    pub fn arrived(&mut self, sequence: u64, timestamp: u32, octets: usize, now: Instant) {
        self.received += 1;
        self.octets += octets as u64;
        self.first = self.first.min(sequence);
        self.highest = self.highest.max(sequence);
        if let Some((then, timestamp_then)) = self.last {
            let elapsed = now.saturating_duration_since(then).as_secs_f64() * f64::from(self.clock_rate);
            let difference = (elapsed - f64::from(timestamp.wrapping_sub(timestamp_then) as i32)).abs();
            // A jump of more than ten seconds is a new time line, not jitter.
            if difference < f64::from(self.clock_rate) * 10.0 {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
        self.last = Some((now, timestamp));
    }

    /// Takes note of a sender report.
    pub const fn sender_report(&mut self, ntp: NtpTime, now: Instant) {
        self.sender_report = Some((ntp, now));
    }

    /// Octets received since the beginning.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// The report block for now; the next block's loss counts from here.
    pub fn report(&mut self, now: Instant) -> Reception {
        let expected = self.highest - self.first + 1;
        let lost = expected as i64 - self.received as i64;
        let expected_now = expected.saturating_sub(self.expected_before);
        let received_now = self.received - self.received_before;
        let lost_now = expected_now.saturating_sub(received_now);
        self.expected_before = expected;
        self.received_before = self.received;
        Reception {
            ssrc: self.ssrc,
            fraction_lost: (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            // The extender's numbers begin one cycle high.
            highest_sequence: (self.highest - (1 << 16)) as u32,
            jitter: self.jitter as u32,
            last_sender_report: self.sender_report.map_or(0, |(ntp, _)| ntp.middle()),
            delay_since_sender_report: self
                .sender_report
                .map_or(0, |(_, at)| (now.saturating_duration_since(at).as_secs_f64() * 65_536.0) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn loss_counts_from_report_to_report() {
        let start = Instant::now();
        let mut statistics = Statistics::new(7, 90_000, 65_536);
        for step in (0..100u64).filter(|step| step % 4 != 0 || *step == 0) {
            statistics.arrived(65_536 + step, step as u32 * 3_000, 1_000, start + Duration::from_micros(step * 33_333));
        }
        let report = statistics.report(start);
        assert_eq!(report.cumulative_lost, 24);
        assert_eq!(report.fraction_lost, (24u32 * 256 / 100) as u8);
        assert_eq!(report.highest_sequence, 99);
        assert!(report.jitter < 10, "even packets have no jitter: {}", report.jitter);
        let again = statistics.report(start);
        assert_eq!(again.fraction_lost, 0);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn uneven_arrival_is_jitter() {
        let start = Instant::now();
        let mut statistics = Statistics::new(7, 90_000, 65_536);
        for step in 0..200u64 {
            let late = if step % 2 == 0 { 10_000 } else { 0 };
            statistics.arrived(
                65_536 + step,
                step as u32 * 1_800,
                1_000,
                start + Duration::from_micros(step * 20_000 + late),
            );
        }
        let jitter = statistics.report(start).jitter;
        assert!((800..1_000).contains(&jitter), "10 ms of 90 kHz are 900 ticks: {jitter}");
    }
}
