//! Sender reports (RFC 3550 §6.4.1) that all read one clock.
//!
//! RTP timestamps count from the Unix epoch, plus a random offset for each stream. So a report needs no memory of when
//! which packet was sent, encoders may take as long as they like, and equal capture times of voice, camera and slides
//! always map to equal NTP times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtcp;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use rtc::rtp::Packet;

use crate::clock::{Clock, UnixTime};

/// Time between two reports of a stream.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first report comes sooner: receivers can't synchronise before it.
const FIRST: Duration = Duration::from_millis(100);

/// Maps capture times to a stream's RTP timestamps.
#[derive(Debug, Clone, Copy)]
pub struct Timestamps {
    /// Ticks per second.
    pub rate: u32,
    /// Timestamp of the Unix epoch.
    pub offset: u32,
}

impl Timestamps {
    /// The RTP timestamp of what was captured at `time`.
    #[must_use]
    pub const fn at(self, time: UnixTime) -> u32 {
        (time.nearest_tick(self.rate) as u32).wrapping_add(self.offset)
    }
}

/// One stream's report: what is counted and what is told.
#[derive(Debug)]
struct Stream {
    timestamps: Timestamps,
    cname: &'static str,
    packets: u32,
    octets: u32,
}

/// The reports of one connection.
#[derive(Debug)]
pub struct SenderReports {
    clock: Clock,
    streams: BTreeMap<u32, Stream>,
    next: Option<Instant>,
}

impl SenderReports {
    /// Reports by `clock`, none yet.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock, streams: BTreeMap::new(), next: None }
    }

    /// Report on an SSRC too.
    pub fn add(&mut self, ssrc: u32, timestamps: Timestamps, cname: &'static str) {
        self.streams.insert(ssrc, Stream { timestamps, cname, packets: 0, octets: 0 });
    }

    /// A packet leaves for the first time at `now`.
    pub fn count(&mut self, packet: &Packet, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&packet.header.ssrc) {
            stream.packets = stream.packets.wrapping_add(1);
            stream.octets = stream.octets.wrapping_add(packet.payload.len() as u32);
            self.next.get_or_insert(now + FIRST);
        }
    }

    /// When [`Self::due`] has something to say next.
    #[must_use]
    pub const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The compound packets to be sent at `now`: one for each stream that has sent, if their time has come.
    pub fn due(&mut self, now: Instant) -> Vec<Vec<Box<dyn rtcp::Packet>>> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        self.next = Some(now + INTERVAL);
        let time = self.clock.unix(now);
        let sending = self.streams.iter().filter(|(_, stream)| stream.packets > 0);
        sending.map(|(ssrc, stream)| stream.report(*ssrc, time)).collect()
    }
}

impl Stream {
    fn report(&self, ssrc: u32, time: UnixTime) -> Vec<Box<dyn rtcp::Packet>> {
        let report = SenderReport {
            ssrc,
            ntp_time: time.ntp(),
            rtp_time: self.timestamps.at(time),
            packet_count: self.packets,
            octet_count: self.octets,
            ..SenderReport::default()
        };
        let name =
            SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: Bytes::from_static(self.cname.as_bytes()) };
        let description =
            SourceDescription { chunks: vec![SourceDescriptionChunk { source: ssrc, items: vec![name] }] };
        vec![Box::new(report), Box::new(description)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    const VOICE: u32 = 1;
    const CAMERA: u32 = 2;

    fn reports(start: Instant) -> SenderReports {
        let mut reports = SenderReports::new(Clock::new(start, UnixTime::from_nanos(1_795_512_345_000_000_000)));
        reports.add(VOICE, Timestamps { rate: 48_000, offset: 7 }, "lesson");
        reports.add(CAMERA, Timestamps { rate: 90_000, offset: u32::MAX - 5 }, "lesson");
        reports
    }

    fn packet(ssrc: u32, length: usize) -> Packet {
        let mut packet = Packet { payload: vec![0; length].into(), ..Packet::default() };
        packet.header.ssrc = ssrc;
        packet
    }

    fn sender_report(compound: &[Box<dyn rtcp::Packet>]) -> SenderReport {
        compound[0].as_any().downcast_ref::<SenderReport>().cloned().expect("a compound begins with the report")
    }

    #[test]
    fn voice_and_camera_captured_together_map_to_the_same_ntp_time() {
        let start = instant();
        let mut reports = reports(start);
        reports.count(&packet(VOICE, 80), start);
        reports.count(&packet(CAMERA, 1_000), start);
        let due = reports.due(start + Duration::from_millis(250));
        let [voice, camera] = [&due[0], &due[1]].map(|compound| sender_report(compound));
        assert_eq!(voice.ntp_time, camera.ntp_time);
        let captured = UnixTime::from_nanos(1_795_512_345_250_000_000);
        assert_eq!(voice.rtp_time, Timestamps { rate: 48_000, offset: 7 }.at(captured));
        assert_eq!(camera.rtp_time, Timestamps { rate: 90_000, offset: u32::MAX - 5 }.at(captured));
        assert_eq!((camera.packet_count, camera.octet_count), (1, 1_000));
    }

    #[test]
    fn nothing_is_reported_before_something_is_sent_and_then_once_a_second() {
        let start = instant();
        let mut reports = reports(start);
        assert!(reports.due(start + Duration::from_secs(9)).is_empty());
        reports.count(&packet(VOICE, 80), start);
        assert!(reports.due(start + Duration::from_millis(99)).is_empty());
        assert_eq!(reports.due(start + Duration::from_millis(100)).len(), 1);
        assert!(reports.due(start + Duration::from_millis(1_099)).is_empty());
        assert_eq!(reports.due(start + Duration::from_millis(1_100)).len(), 1);
    }
}
