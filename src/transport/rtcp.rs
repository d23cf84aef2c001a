//! Reads and writes RTCP packets (RFC 3550 §6, RFC 4585, RFC 5104, RFC 5506) as the facts of [`crate::rtp::rtcp`].

mod feedback;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use rtc_rtcp::goodbye::Goodbye;
use rtc_rtcp::header::{
    COUNT_MAX, FORMAT_FIR, FORMAT_PLI, FORMAT_REMB, FORMAT_TCC, FORMAT_TLN, Header, PacketType, SDES_MAX_OCTET_COUNT,
};
use rtc_rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use rtc_shared::marshal::{Marshal, Unmarshal};

use crate::rtp::rtcp::{Received, Reception, Sent};
use crate::units::NtpTime;

/// Why a compound packet is turned away whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No datagram holds so much, or it holds nothing.
    #[error("a compound packet of {0} octets")]
    Size(usize),
    /// A header is cut short, isn't of version 2, or tells of a length or padding that isn't there.
    #[error("no packet can be read at octet {0}")]
    Header(usize),
    /// The body of one packet contradicts its header.
    #[error("{kind:?} packet: {cause}")]
    Body {
        /// What the packet said it is.
        kind: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

/// The P bit of the first octet.
const PADDING: u8 = 0x20;
/// How many PID/BLP pairs go into one NACK packet.
const MAX_PAIRS: usize = 128;

/// A decrypted compound packet as facts. Packets of other kinds are skipped.
///
/// # Errors
/// [`Malformed`] if any packet of a known kind can't be read.
pub fn read(compound: &[u8]) -> Result<Vec<Received>, Malformed> {
    // Below 64 KiB none of the parsers' own sums of lengths overflow.
    if compound.is_empty() || compound.len() > usize::from(u16::MAX) {
        return Err(Malformed::Size(compound.len()));
    }
    let mut facts = Vec::new();
    let mut offset = 0;
    while offset < compound.len() {
        let (header, packet) = split(&compound[offset..]).ok_or(Malformed::Header(offset))?;
        read_packet(&header, &without_padding(&header, packet).ok_or(Malformed::Header(offset))?, &mut facts)?;
        offset += packet.len();
    }
    Ok(facts)
}

/// The first packet of `rest`, its header included.
fn split(rest: &[u8]) -> Option<(Header, &[u8])> {
    let header = Header::unmarshal(&mut &*rest).ok()?;
    let packet = rest.get(..4 * (usize::from(header.length) + 1))?;
    Some((header, packet))
}

/// The packet without its padding (RFC 3550 §6.4.1), so that no parser takes it for a part of the body.
///
/// Transport-wide feedback is left alone: senders pad it by octets, not by words, and its parser finds its own end.
fn without_padding<'a>(header: &Header, packet: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if !header.padding {
        return Some(Cow::Borrowed(packet));
    }
    let padding = usize::from(*packet.last()?);
    if padding == 0 || padding > packet.len() - 4 {
        return None;
    }
    if !padding.is_multiple_of(4) {
        return Some(Cow::Borrowed(packet));
    }
    let mut bare = packet[..packet.len() - padding].to_vec();
    bare[0] &= !PADDING;
    let words = (bare.len() / 4 - 1) as u16;
    bare[2..4].copy_from_slice(&words.to_be_bytes());
    Some(Cow::Owned(bare))
}

/// Reads one packet with its own parser.
fn parse<P: Unmarshal>(kind: &'static str, packet: &[u8]) -> Result<P, Malformed> {
    P::unmarshal(&mut &*packet).map_err(|error| Malformed::Body { kind, cause: error.to_string() })
}

fn read_packet(header: &Header, packet: &[u8], facts: &mut Vec<Received>) -> Result<(), Malformed> {
    match (header.packet_type, header.count) {
        (PacketType::SenderReport, _) => {
            let report: SenderReport = parse("SR", packet)?;
            facts.push(Received::SenderReport {
                ssrc: report.ssrc,
                ntp: NtpTime(report.ntp_time),
                rtp: report.rtp_time,
            });
            facts.extend(report.reports.iter().map(|block| Received::Reception(reception(block))));
        }
        (PacketType::ReceiverReport, _) => {
            let report: ReceiverReport = parse("RR", packet)?;
            facts.extend(report.reports.iter().map(|block| Received::Reception(reception(block))));
        }
        (PacketType::Goodbye, _) => {
            let bye: Goodbye = parse("BYE", packet)?;
            facts.push(Received::Bye { ssrcs: bye.sources });
        }
        (PacketType::TransportSpecificFeedback, FORMAT_TLN) => {
            let nack: TransportLayerNack = parse("NACK", packet)?;
            let sequence_numbers = nack.nacks.into_iter().flatten().collect();
            facts.push(Received::Nack { ssrc: nack.media_ssrc, sequence_numbers });
        }
        (PacketType::TransportSpecificFeedback, FORMAT_TCC) => {
            facts.push(Received::TransportFeedback(feedback::read(&parse("TWCC", packet)?)?));
        }
        (PacketType::PayloadSpecificFeedback, format) => read_payload_feedback(format, packet, facts)?,
        _ => {}
    }
    Ok(())
}

fn read_payload_feedback(format: u8, packet: &[u8], facts: &mut Vec<Received>) -> Result<(), Malformed> {
    match format {
        FORMAT_PLI => {
            let request: PictureLossIndication = parse("PLI", packet)?;
            facts.push(Received::KeyframeRequest { ssrc: request.media_ssrc });
        }
        FORMAT_FIR => {
            let request: FullIntraRequest = parse("FIR", packet)?;
            facts.extend(request.fir.iter().map(|entry| Received::KeyframeRequest { ssrc: entry.ssrc }));
        }
        // The format is shared by everything that applications made up (RFC 4585 §6.4).
        FORMAT_REMB if packet.get(12..16) == Some(b"REMB") => {
            let estimate: ReceiverEstimatedMaximumBitrate = parse("REMB", packet)?;
            // The parser, which has seen 20 octets, turns a mantissa of zero into eight million.
            let silent = packet[17] & 3 == 0 && packet[18] == 0 && packet[19] == 0;
            facts.push(Received::Remb { bps: if silent { 0 } else { estimate.bitrate as u64 } });
        }
        _ => {}
    }
    Ok(())
}

fn reception(block: &ReceptionReport) -> Reception {
    Reception {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        // 24 bits with a sign.
        cumulative_lost: (block.total_lost << 8) as i32 >> 8,
        highest_sequence: block.last_sequence_number,
        jitter: block.jitter,
        last_sender_report: block.last_sender_report,
        delay_since_sender_report: block.delay,
    }
}

fn report_block(reception: &Reception) -> ReceptionReport {
    ReceptionReport {
        ssrc: reception.ssrc,
        fraction_lost: reception.fraction_lost,
        total_lost: reception.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff,
        last_sequence_number: reception.highest_sequence,
        jitter: reception.jitter,
        last_sender_report: reception.last_sender_report,
        delay: reception.delay_since_sender_report,
    }
}

/// Appends `messages` to `out` as one compound packet (RFC 3550 §6.1): reports first, then the source
/// descriptions with `cname`, then feedback from `sender`, goodbyes last. With `reduced_size` and nothing but
/// feedback to tell, the reports and descriptions are left out (RFC 5506). No messages write nothing.
pub fn write(messages: &[Sent], sender: u32, cname: &str, reduced_size: bool, out: &mut Vec<u8>) {
    if messages.is_empty() {
        return;
    }
    let is_feedback = |message: &Sent| {
        matches!(message, Sent::Nack { .. } | Sent::KeyframeRequest { .. } | Sent::TransportFeedback(_))
    };
    if !(reduced_size && messages.iter().all(is_feedback)) {
        write_reports(messages, sender, cname, out);
    }
    for message in messages {
        match message {
            Sent::Nack { ssrc, sequence_numbers } => write_nack(*ssrc, sequence_numbers, sender, out),
            Sent::KeyframeRequest { ssrc } => {
                append(&PictureLossIndication { sender_ssrc: sender, media_ssrc: *ssrc }, out)
            }
            Sent::TransportFeedback(told) => {
                if let Some(packet) = feedback::packet(told, sender) {
                    append(&packet, out);
                }
            }
            Sent::SenderReport { .. } | Sent::ReceiverReport(_) | Sent::Bye(_) => {}
        }
    }
    for message in messages {
        if let Sent::Bye(ssrcs) = message {
            for sources in ssrcs.chunks(COUNT_MAX) {
                append(&Goodbye { sources: sources.to_vec(), reason: Bytes::new() }, out);
            }
        }
    }
}

/// Sender and receiver reports, and who they are from.
fn write_reports(messages: &[Sent], sender: u32, cname: &str, out: &mut Vec<u8>) {
    let mut described = Vec::new();
    let mut blocks = Vec::new();
    for message in messages {
        match message {
            Sent::SenderReport { ssrc, ntp, rtp, packets, octets } => {
                let report = SenderReport {
                    ssrc: *ssrc,
                    ntp_time: ntp.0,
                    rtp_time: *rtp,
                    packet_count: *packets,
                    octet_count: *octets,
                    ..SenderReport::default()
                };
                append(&report, out);
                if !described.contains(ssrc) {
                    described.push(*ssrc);
                }
            }
            Sent::ReceiverReport(receptions) => blocks.extend(receptions.iter().map(report_block)),
            _ => {}
        }
    }
    for reports in blocks.chunks(COUNT_MAX) {
        append(&ReceiverReport { ssrc: sender, reports: reports.to_vec(), ..ReceiverReport::default() }, out);
    }
    if described.is_empty() && blocks.is_empty() {
        append(&ReceiverReport { ssrc: sender, ..ReceiverReport::default() }, out);
    }
    if (described.is_empty() || !blocks.is_empty()) && !described.contains(&sender) {
        described.push(sender);
    }
    let text = Bytes::copy_from_slice(&cname.as_bytes()[..cname.floor_char_boundary(SDES_MAX_OCTET_COUNT)]);
    let chunk = |ssrc: &u32| SourceDescriptionChunk {
        source: *ssrc,
        items: vec![SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: text.clone() }],
    };
    for ssrcs in described.chunks(COUNT_MAX) {
        append(&SourceDescription { chunks: ssrcs.iter().map(chunk).collect() }, out);
    }
}

fn write_nack(ssrc: u32, sequence_numbers: &[u16], sender: u32, out: &mut Vec<u8>) {
    for nacks in nack_pairs_from_sequence_numbers(sequence_numbers).chunks(MAX_PAIRS) {
        append(&TransportLayerNack { sender_ssrc: sender, media_ssrc: ssrc, nacks: nacks.to_vec() }, out);
    }
}

/// Appends one packet whose counts its caller kept within bounds; one that were out of bounds would be left out.
fn append(packet: &impl Marshal, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + packet.marshal_size(), 0);
    if packet.marshal_to(&mut out[start..]).is_err() {
        debug_assert!(false, "a packet is out of bounds");
        out.truncate(start);
        return;
    }
    // The crate fills up to a word by padding with one to three octets, which RFC 3550 §6.4.1 doesn't know and some
    // receivers turn away. Zeros behind the body without the P bit say the same.
    if out[start] & PADDING != 0 {
        out[start] &= !PADDING;
        if let Some(count) = out.last_mut() {
            *count = 0;
        }
    }
}
