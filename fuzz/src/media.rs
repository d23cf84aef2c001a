//! What is in an opened packet.

use std::time::Duration;

use mingshi::rtp::codec::Codec;
use mingshi::rtp::nack::Missing;
use mingshi::rtp::packet::Packet;
use mingshi::rtp::packet_cache::{Incoming, PacketCache};
use mingshi::rtp::rtcp::{Received, Sent};
use mingshi::rtp::twcc::Arrivals;
use mingshi::rtp::{self, vp8 as vp8_payload};
use mingshi::transport::rtcp as compound;
use mingshi::worker::clock;

/// Header, extensions of both kinds, and the payload as every codec reads it.
pub(crate) fn rtp_packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else { return };
    assert!(packet.payload.len() + 12 <= data.len(), "a payload out of nowhere");
    for id in 0..=u8::MAX {
        assert!(packet.extension(id).is_none_or(|value| value.len() <= 255), "an extension out of nowhere");
    }
    for reader in [red, vp8, h264, av1] {
        reader(packet.payload);
    }
}

/// The primary encoding is in the payload.
pub(crate) fn red(data: &[u8]) {
    if let Some(offset) = rtp::red::primary_offset(data) {
        assert!(offset <= data.len(), "a primary encoding out of nowhere");
    }
    let said_again: usize = rtp::red::blocks(data).map(|block| block.payload().len()).sum();
    assert!(said_again <= data.len(), "redundancy out of nowhere");
}

/// Numbers that were read can be written over, and are read again as written.
pub(crate) fn vp8(data: &[u8]) {
    let glance = vp8_payload::glance(data);
    let mut payload = data.to_vec();
    let next = vp8_payload::Numbers {
        picture: glance
            .numbers
            .picture
            .map(|(picture, wide)| (picture.wrapping_add(3) & if wide { 0x7fff } else { 0x7f }, wide)),
        base_layer: glance.numbers.base_layer.map(|number| number.wrapping_add(5)),
    };
    vp8_payload::renumber(&mut payload, glance.numbers, next);
    let again = vp8_payload::glance(&payload);
    assert_eq!(again.numbers, next);
    assert_eq!((again.keyframe_start, again.size), (glance.keyframe_start, glance.size));
}

/// No size without a keyframe's parameter set; nothing panics.
pub(crate) fn h264(data: &[u8]) {
    let _ = rtp::h264::glance(data);
}

/// No size but where a sequence begins; nothing panics.
pub(crate) fn av1(data: &[u8]) {
    let begins = rtp::av1::begins_keyframe(data);
    assert!(begins || rtp::av1::size(data).is_none());
}

/// What is read of a compound is bounded by its length.
pub(crate) fn rtcp(data: &[u8]) {
    let Ok(messages) = compound::read(data) else { return };
    let unfolded: usize = messages
        .iter()
        .map(|message| match message {
            Received::Nack { sequence_numbers, .. } => sequence_numbers.len(),
            _ => 1,
        })
        .sum();
    // 17 numbers for four octets of a NACK; 65,535 arrivals for a run of two are told as one message.
    assert!(unfolded <= 17 * data.len(), "{unfolded} messages of {} octets", data.len());
}

/// Arrivals in any order: what is asked for is missing, and never more than a message holds.
pub(crate) fn nack(data: &[u8]) {
    let (mut missing, mut now, mut sequence) = (Missing::default(), clock::now(), 100_000u64);
    for step in data.chunks_exact(2) {
        sequence = sequence.saturating_add_signed(i64::from(i16::from_be_bytes([step[0], step[1]]) % 2_000));
        missing.arrived(sequence, now);
        now += Duration::from_millis(u64::from(step[1]));
        let mut due = Vec::new();
        missing.due(now, Duration::from_millis(60), &mut due);
        assert!(!due.contains(&(sequence as u16)), "what came is asked for");
        let mut out = Vec::new();
        compound::write(&[Sent::Nack { ssrc: 1, sequence_numbers: due }], 2, "c", true, &mut out);
        rtcp(&out);
    }
}

/// Transport-wide numbers in any order become feedback that is read again.
pub(crate) fn twcc(data: &[u8]) {
    let mut now = clock::now();
    let mut arrivals = Arrivals::new(now);
    for step in data.chunks_exact(3) {
        now += Duration::from_micros(u64::from(step[2]) * 700);
        arrivals.arrived(1, u16::from_be_bytes([step[0], step[1]]), now);
        if let Some(feedback) = arrivals.feedback(now) {
            let mut out = Vec::new();
            compound::write(&[Sent::TransportFeedback(feedback)], 2, "c", true, &mut out);
            assert!(compound::read(&out).is_ok(), "we write what we can't read");
        }
    }
}

/// Packets of any number and length: what was taken last is there, and no number is taken twice.
pub(crate) fn packet_cache(data: &[u8]) {
    let (mut cache, mut batch) = (PacketCache::new(64, 8_192), Vec::new());
    let mut sequence = 1_000u64;
    let payload = [7; 2_000];
    for step in data.chunks_exact(4) {
        sequence = sequence.saturating_add_signed(i64::from(step[0] as i8)).max(1);
        let length = usize::from(u16::from_be_bytes([step[1], step[2]])) % payload.len();
        let numbers = vp8_payload::glance(&payload[..length]).numbers;
        let packet = Incoming {
            sequence,
            timestamp: u32::from(step[3]),
            codec: Some(Codec::Vp8),
            numbers,
            payload: &payload[..length],
            ..Incoming::default()
        };
        if cache.insert(&packet).is_ok() {
            assert!(cache.insert(&packet).is_err(), "a number was taken twice");
            let entry = *cache.get(sequence).expect("it was taken just now");
            assert_eq!(cache.payload(&entry), &payload[..length]);
            batch.push(sequence);
            if step[3] % 4 != 0 {
                continue;
            }
            // A packet is evened out once, with the batch that it came in.
            cache.even_out(&std::mem::take(&mut batch));
            let entry = cache.get(sequence).expect("evening out drops nothing");
            assert_eq!(&cache.payload(entry)[..length], &payload[..length]);
            assert_eq!(cache.template(entry).len(), entry.template_len());
        }
    }
}
