//! The publisher's place in the `rtc` crate's chain of interceptors: it completes outgoing packets, adds sender reports
//! and turns keyframe requests into keyframes.
//!
//! The crate's own interceptors for header extensions and sender reports aren't used: they don't number
//! retransmissions, and they take the moment a packet is sent for the moment its content was captured.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rtc::interceptor::{Attribute, AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;

use super::header_extensions::HeaderExtensions;
use super::sender_report::SenderReports;
use crate::demo::outlet::Outlet;

/// The last station before the wire.
pub struct Departure {
    extensions: HeaderExtensions,
    reports: SenderReports,
    /// Who makes the keyframes of an SSRC.
    outlets: HashMap<u32, Arc<Outlet>>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Departure {
    /// For one connection.
    #[must_use]
    pub const fn new(extensions: HeaderExtensions, reports: SenderReports, outlets: HashMap<u32, Arc<Outlet>>) -> Self {
        Self { extensions, reports, outlets, inbound: VecDeque::new(), outbound: VecDeque::new() }
    }
}

impl std::fmt::Debug for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Departure").field("reports", &self.reports).finish_non_exhaustive()
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Departure {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &message.message.packet {
            for ssrc in packets.iter().flat_map(|packet| keyframe_requests(packet.as_ref())) {
                if let Some(outlet) = self.outlets.get(&ssrc) {
                    tracing::debug!(ssrc, "keyframe requested");
                    outlet.request_keyframe();
                }
            }
        }
        self.inbound.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        let again = message.message.has(&Attribute::Retransmission);
        if let Packet::Rtp(packet) = &mut message.message.packet {
            self.extensions.stamp(packet);
            if !again {
                self.reports.count(packet, message.now);
            }
        }
        self.outbound.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        for compound in self.reports.due(now) {
            self.outbound.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(compound)),
            });
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.reports.next()
    }
}

impl Interceptor for Departure {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.extensions.bind(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.extensions.unbind(info);
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

/// The SSRCs for which a packet asks a keyframe: PLI (RFC 4585 §6.3.1) or FIR (RFC 5104 §4.3.1).
fn keyframe_requests(packet: &dyn rtc::rtcp::Packet) -> Vec<u32> {
    let packet = packet.as_any();
    if let Some(loss) = packet.downcast_ref::<PictureLossIndication>() {
        vec![loss.media_ssrc]
    } else if let Some(request) = packet.downcast_ref::<FullIntraRequest>() {
        request.fir.iter().map(|entry| entry.ssrc).collect()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, UnixTime, instant};
    use rtc::rtcp::payload_feedbacks::full_intra_request::FirEntry;

    const CAMERA_HIGH: u32 = 3;

    fn departure() -> (Departure, Arc<Outlet>) {
        let outlet = Arc::new(Outlet::default());
        let reports = SenderReports::new(Clock::new(instant(), UnixTime::from_nanos(0)));
        let outlets = HashMap::from([(CAMERA_HIGH, Arc::clone(&outlet))]);
        (Departure::new(HeaderExtensions::new(HashMap::new()), reports, outlets), outlet)
    }

    fn receive(departure: &mut Departure, packet: Box<dyn rtc::rtcp::Packet>) {
        let message = AttributedPacket::new(Packet::Rtcp(vec![packet]));
        let tagged = TaggedPacket { now: instant(), transport: TransportContext::default(), message };
        departure.handle_read(tagged).expect("reading can't fail");
    }

    #[test]
    fn a_picture_loss_indication_and_a_full_intra_request_make_that_layer_s_next_frame_a_keyframe() {
        let (mut departure, outlet) = departure();
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: CAMERA_HIGH };
        receive(&mut departure, Box::new(pli));
        let now = instant();
        assert!(outlet.keyframe_due(now));
        let fir =
            FullIntraRequest { fir: vec![FirEntry { ssrc: CAMERA_HIGH, sequence_number: 1 }], ..Default::default() };
        receive(&mut departure, Box::new(fir));
        assert!(outlet.keyframe_due(now + std::time::Duration::from_secs(1)));
    }

    #[test]
    fn a_request_for_another_ssrc_disturbs_nobody() {
        let (mut departure, outlet) = departure();
        receive(&mut departure, Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: 99 }));
        assert!(!outlet.keyframe_due(instant()));
    }
}
