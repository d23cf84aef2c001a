//! Transport-wide feedback between its packet and its facts (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use rtc_rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc,
    SymbolTypeTcc, TYPE_TCC_DELTA_SCALE_FACTOR, TransportLayerCc,
};

use super::Malformed;
use crate::rtp::rtcp::TransportFeedback;

/// How many packets one feedback tells of: beyond half of the sequence numbers, before and after can't be told apart.
const MAX_STATUSES: usize = 0x8000;
/// The longest run of a run-length chunk, 13 bits.
const MAX_RUN: usize = 0x1fff;
/// The statuses of a one-bit vector chunk.
const ONE_BIT: usize = 14;
/// The statuses of a two-bit vector chunk.
const TWO_BIT: usize = 7;

/// The facts of a packet.
pub(super) fn read(packet: &TransportLayerCc) -> Result<TransportFeedback, Malformed> {
    let malformed = |cause: &str| Malformed::Body { kind: "TWCC", cause: cause.to_owned() };
    let count = usize::from(packet.packet_status_count);
    if count > MAX_STATUSES {
        return Err(malformed("more packets than half of the sequence numbers"));
    }
    let mut symbols = Vec::with_capacity(count);
    for chunk in &packet.packet_chunks {
        let left = count - symbols.len();
        match chunk {
            PacketStatusChunk::RunLengthChunk(run) => {
                symbols.extend(std::iter::repeat_n(run.packet_status_symbol, usize::from(run.run_length).min(left)));
            }
            PacketStatusChunk::StatusVectorChunk(vector) => symbols.extend(vector.symbol_list.iter().take(left)),
        }
    }
    let mut received = packet.recv_deltas.iter();
    let mut deltas = Vec::with_capacity(count);
    for symbol in symbols {
        deltas.push(match symbol {
            SymbolTypeTcc::PacketNotReceived => None,
            SymbolTypeTcc::PacketReceivedWithoutDelta => return Err(malformed("a reserved packet status")),
            // The parser takes the last octet of a packet for a small delta where a large one is cut short.
            symbol => match received.next() {
                Some(delta) if delta.type_tcc_packet == symbol => {
                    i16::try_from(delta.delta / TYPE_TCC_DELTA_SCALE_FACTOR).ok()
                }
                _ => return Err(malformed("fewer deltas than packets received")),
            },
        });
    }
    Ok(TransportFeedback {
        ssrc: packet.media_ssrc,
        base: packet.base_sequence_number,
        count: packet.fb_pkt_count,
        reference_time: packet.reference_time,
        deltas,
    })
}

/// The packet that tells of `feedback`. `None` where nothing was received: nobody learns from it, and some receivers turn
/// it away. Numbers beyond the 32,768th are left out.
pub(super) fn packet(feedback: &TransportFeedback, sender: u32) -> Option<TransportLayerCc> {
    let told = &feedback.deltas[..feedback.deltas.len().min(MAX_STATUSES)];
    let recv_deltas: Vec<RecvDelta> = told
        .iter()
        .flatten()
        .map(|delta| RecvDelta {
            type_tcc_packet: symbol(Some(*delta)),
            delta: i64::from(*delta) * TYPE_TCC_DELTA_SCALE_FACTOR,
        })
        .collect();
    if recv_deltas.is_empty() {
        return None;
    }
    let symbols: Vec<SymbolTypeTcc> = told.iter().map(|delta| symbol(*delta)).collect();
    Some(TransportLayerCc {
        sender_ssrc: sender,
        media_ssrc: feedback.ssrc,
        base_sequence_number: feedback.base,
        packet_status_count: told.len() as u16,
        reference_time: feedback.reference_time & 0xff_ffff,
        fb_pkt_count: feedback.count,
        packet_chunks: chunks(&symbols),
        recv_deltas,
    })
}

fn symbol(delta: Option<i16>) -> SymbolTypeTcc {
    match delta {
        None => SymbolTypeTcc::PacketNotReceived,
        Some(0..=255) => SymbolTypeTcc::PacketReceivedSmallDelta,
        Some(_) => SymbolTypeTcc::PacketReceivedLargeDelta,
    }
}

/// The chunks that tell of `symbols`, each the kind that tells of the most to come.
fn chunks(mut symbols: &[SymbolTypeTcc]) -> Vec<PacketStatusChunk> {
    let mut chunks = Vec::new();
    while let Some(first) = symbols.first() {
        let run = symbols.iter().take(MAX_RUN).take_while(|symbol| *symbol == first).count();
        let one_bit = &symbols[..symbols.len().min(ONE_BIT)];
        let two_bit = &symbols[..symbols.len().min(TWO_BIT)];
        // One bit can't tell of a large delta, and a vector that isn't full goes to the end only.
        let one_bit_able = !one_bit.contains(&SymbolTypeTcc::PacketReceivedLargeDelta);
        let (chunk, told) = if run >= if one_bit_able { one_bit.len() } else { two_bit.len() } {
            (run_length(*first, run), run)
        } else if one_bit_able {
            (vector(SymbolSizeTypeTcc::OneBit, one_bit), one_bit.len())
        } else {
            (vector(SymbolSizeTypeTcc::TwoBit, two_bit), two_bit.len())
        };
        chunks.push(chunk);
        symbols = &symbols[told..];
    }
    chunks
}

fn run_length(symbol: SymbolTypeTcc, run: usize) -> PacketStatusChunk {
    PacketStatusChunk::RunLengthChunk(RunLengthChunk {
        type_tcc: StatusChunkTypeTcc::RunLengthChunk,
        packet_status_symbol: symbol,
        run_length: run as u16,
    })
}

fn vector(symbol_size: SymbolSizeTypeTcc, symbols: &[SymbolTypeTcc]) -> PacketStatusChunk {
    PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
        type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
        symbol_size,
        symbol_list: symbols.to_vec(),
    })
}
