use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::rtp::rtcp::TransportFeedback;

const SENDER: u32 = 0x1122_3344;

fn written(messages: &[Sent], reduced_size: bool) -> Vec<u8> {
    let mut out = Vec::new();
    write(messages, SENDER, "teacher@lesson", reduced_size, &mut out);
    out
}

/// The packet types of a compound, in order.
fn kinds(compound: &[u8]) -> Vec<u8> {
    let (mut kinds, mut rest) = (Vec::new(), compound);
    while !rest.is_empty() {
        kinds.push(rest[1]);
        rest = &rest[4 * (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1)..];
    }
    kinds
}

fn sender_report(ssrc: u32) -> Sent {
    Sent::SenderReport { ssrc, ntp: NtpTime(0xe000_0000_8000_0000), rtp: 90_000, packets: 7, octets: 7_000 }
}

#[test]
fn a_full_compound_begins_with_reports_and_describes_every_stream() {
    let compound = written(
        &[
            Sent::Bye(vec![9]),
            Sent::KeyframeRequest { ssrc: 5 },
            sender_report(1),
            sender_report(2),
            Sent::ReceiverReport(vec![Reception::default()]),
        ],
        true,
    );
    assert_eq!(kinds(&compound), [200, 200, 201, 202, 206, 203]);
    for ssrc in [1, 2, SENDER] {
        let mut chunk = ssrc.to_be_bytes().to_vec();
        chunk.extend([1, 14]);
        chunk.extend(b"teacher@lesson");
        assert!(compound.windows(chunk.len()).any(|window| window == chunk), "{ssrc} is not described");
    }
}

#[test]
fn feedback_goes_alone_only_where_reduced_size_was_agreed_on() {
    let feedback = [Sent::KeyframeRequest { ssrc: 5 }];
    assert_eq!(kinds(&written(&feedback, true)), [206]);
    assert_eq!(kinds(&written(&feedback, false)), [201, 202, 206]);
    assert_eq!(kinds(&written(&[Sent::Bye(vec![1])], true)), [201, 202, 203]);
    assert!(written(&[], false).is_empty());
}

#[test]
fn what_was_written_is_read_back() {
    let block = Reception {
        ssrc: 3,
        fraction_lost: 12,
        cumulative_lost: -5,
        highest_sequence: 0x0001_ffff,
        jitter: 44,
        last_sender_report: 0xdead_beef,
        delay_since_sender_report: 0x1_0000,
    };
    let compound = written(
        &[
            sender_report(1),
            Sent::ReceiverReport(vec![block]),
            Sent::KeyframeRequest { ssrc: 5 },
            Sent::Bye(vec![1, 2]),
        ],
        false,
    );
    assert_eq!(
        read(&compound).expect("it is ours"),
        [
            Received::SenderReport { ssrc: 1, ntp: NtpTime(0xe000_0000_8000_0000), rtp: 90_000 },
            Received::Reception(block),
            Received::KeyframeRequest { ssrc: 5 },
            Received::Bye { ssrcs: vec![1, 2] },
        ]
    );
}

#[test]
fn more_than_a_packet_holds_goes_into_several() {
    let blocks: Vec<Reception> = (0..40).map(|ssrc| Reception { ssrc, ..Reception::default() }).collect();
    let compound = written(&[Sent::ReceiverReport(blocks.clone()), Sent::Bye((0..40).collect())], false);
    assert_eq!(kinds(&compound), [201, 201, 202, 203, 203]);
    let read = read(&compound).expect("it is ours");
    assert_eq!(read[..40], blocks.into_iter().map(Received::Reception).collect::<Vec<_>>());
}

#[test]
fn a_long_cname_is_cut() {
    let mut out = Vec::new();
    write(&[Sent::KeyframeRequest { ssrc: 1 }], SENDER, &"师".repeat(100), false, &mut out);
    assert_eq!(kinds(&out), [201, 202, 206]);
}

#[test]
fn nothing_written_claims_padding_that_is_no_word() {
    let feedback = TransportFeedback { deltas: vec![Some(1)], ..TransportFeedback::default() };
    for message in [Sent::TransportFeedback(feedback), Sent::Bye(vec![1])] {
        let compound = written(&[message], true);
        assert_eq!(compound.len() % 4, 0);
        assert_eq!(compound[0] & PADDING, 0);
    }
}

#[test]
fn padding_is_no_part_of_a_packet() {
    let nack = Sent::Nack { ssrc: 5, sequence_numbers: vec![7] };
    let mut compound = written(&[nack], true);
    compound[0] |= PADDING;
    compound[3] += 1;
    compound.extend([0, 0, 0, 4]);
    assert_eq!(read(&compound).expect("padding is allowed"), [Received::Nack { ssrc: 5, sequence_numbers: vec![7] }]);
    *compound.last_mut().expect("there is padding") = 200;
    assert_eq!(read(&compound), Err(Malformed::Header(0)));
}

#[test]
fn what_nobody_knows_is_skipped() {
    // An application-defined packet, an extended report with a block of type 200, application feedback that isn't REMB.
    let compound = [
        [0x80, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e'].as_slice(),
        &[0x80, 207, 0, 3, 0, 0, 0, 1, 200, 0, 0, 1, 9, 9, 9, 9],
        &[0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, b'B', b'E', b'M', b'R'],
        &[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 6],
    ]
    .concat();
    assert_eq!(read(&compound).expect("each is well formed"), [Received::KeyframeRequest { ssrc: 6 }]);
}

#[test]
fn a_full_intra_request_asks_for_each_of_its_streams() {
    let request = [0x84, 206, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0];
    assert_eq!(
        read(&request).expect("it is one"),
        [Received::KeyframeRequest { ssrc: 8 }, Received::KeyframeRequest { ssrc: 9 }]
    );
}

#[test]
fn remb_is_a_rate() {
    let remb = |exponent: u8, mantissa: u32| {
        let [_, high, middle, low] = mantissa.to_be_bytes();
        let mut packet = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
        packet.extend(b"REMB");
        packet.extend([1, exponent << 2 | high, middle, low, 0, 0, 0, 5]);
        read(&packet).expect("it is one")
    };
    assert_eq!(remb(3, 0x3_ffff), [Received::Remb { bps: 0x3_ffff << 3 }]);
    assert_eq!(remb(9, 0), [Received::Remb { bps: 0 }]);
    assert_eq!(remb(63, 0x3_ffff), [Received::Remb { bps: u64::MAX }]);
}

#[test]
fn lengths_that_lie_are_malformed() {
    assert_eq!(read(&[]), Err(Malformed::Size(0)));
    assert_eq!(read(&vec![0; 70_000]), Err(Malformed::Size(70_000)));
    assert_eq!(read(&[0x81, 206, 0, 9, 0, 0, 0, 1]), Err(Malformed::Header(0)));
    assert_eq!(read(&[0x01, 206, 0, 0]), Err(Malformed::Header(0)));
    assert!(matches!(read(&[0x9f, 200, 0, 0]), Err(Malformed::Body { kind: "SR", .. })));
}

#[test]
fn a_large_delta_cut_short_is_malformed() {
    let mut told = TransportFeedback { deltas: vec![Some(0); 5], ..TransportFeedback::default() };
    told.deltas.push(Some(-1));
    let compound = written(&[Sent::TransportFeedback(told)], true);
    assert_eq!(compound.len(), 20 + 2 + 7 + 3);
    // The same statuses with one delta fewer: four octets off the end.
    let mut cut = compound[..compound.len() - 4].to_vec();
    cut[3] -= 1;
    assert!(matches!(read(&cut), Err(Malformed::Body { kind: "TWCC", .. })));
}

#[test]
fn each_kind_of_chunk_is_used_where_it_is_shortest() {
    let size = |deltas: Vec<Option<i16>>| {
        written(&[Sent::TransportFeedback(TransportFeedback { deltas, ..TransportFeedback::default() })], true).len()
    };
    // 5,000 in order: one run; every other of 28: two one-bit vectors; six with a late one in the midst: one two-bit vector.
    assert_eq!(size(vec![Some(4); 5_000]), 20 + 2 + 5_000 + 2);
    assert_eq!(size([Some(4), None].repeat(14)), 20 + 4 + 14 + 2);
    assert_eq!(size(vec![Some(4), Some(4), Some(4), Some(-4), Some(4), None]), 20 + 2 + 6 + 4 - 4);
}

#[test]
fn seventeen_losses_in_a_row_share_an_entry() {
    let nack =
        |count: u16| written(&[Sent::Nack { ssrc: 5, sequence_numbers: (100..100 + count).collect() }], true).len();
    assert_eq!(nack(17), 12 + 4);
    assert_eq!(nack(18), 12 + 8);
}

#[test]
fn feedback_of_nothing_is_not_written() {
    let nothing = TransportFeedback { deltas: vec![None; 30], ..TransportFeedback::default() };
    assert!(written(&[Sent::TransportFeedback(nothing)], true).is_empty());
}

fn delta() -> impl Strategy<Value = Option<i16>> {
    prop_oneof![4 => Just(Some(4)), 2 => Just(None), 1 => (0..=255_i16).prop_map(Some), 1 => any::<i16>().prop_map(Some)]
}

/// Deltas as a line makes them: stretches that are alike, and stretches that are not.
fn deltas() -> impl Strategy<Value = Vec<Option<i16>>> {
    let stretch = prop_oneof![vec(delta(), 0..20), (delta(), 0..600_usize).prop_map(|(delta, run)| vec![delta; run])];
    vec(stretch, 1..8).prop_map(|stretches| stretches.concat())
}

proptest! {
    #[test]
    fn transport_feedback_comes_back(
        ssrc: u32, base: u16, count: u8, reference_time in 0..0x100_0000_u32, deltas in deltas(),
    ) {
        prop_assume!(deltas.iter().any(Option::is_some));
        let told = TransportFeedback { ssrc, base, count, reference_time, deltas };
        let compound = written(&[Sent::TransportFeedback(told.clone())], true);
        prop_assert_eq!(read(&compound), Ok(vec![Received::TransportFeedback(told)]));
    }

    #[test]
    fn nacks_come_back(start: u16, gaps in vec(1..40_u16, 1..600)) {
        let missing: Vec<u16> = gaps.iter().scan(start, |number, gap| { *number = number.wrapping_add(*gap); Some(*number) }).collect();
        let compound = written(&[Sent::Nack { ssrc: 5, sequence_numbers: missing.clone() }], true);
        let mut read_back = Vec::new();
        for fact in read(&compound).expect("it is ours") {
            let Received::Nack { ssrc: 5, sequence_numbers } = fact else { panic!("{fact:?}") };
            read_back.extend(sequence_numbers);
        }
        prop_assert_eq!(read_back, missing);
    }

    #[test]
    fn random_octets_never_panic(octets in vec(any::<u8>(), 0..300)) {
        let _ = read(&octets);
    }

    #[test]
    fn headers_before_random_octets_never_panic(count in 0..32_u8, kind in 200..208_u8, padding: bool, mut body in vec(any::<u8>(), 0..200)) {
        body.truncate(body.len() / 4 * 4);
        let mut packet = vec![0x80 | u8::from(padding) << 5 | count, kind];
        packet.extend(((body.len() / 4) as u16).to_be_bytes());
        packet.extend(body);
        let _ = read(&packet);
    }

    #[test]
    fn mutated_compounds_never_panic(deltas in deltas(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), cut: prop::sample::Index) {
        let told = TransportFeedback { deltas, ..TransportFeedback::default() };
        let mut compound = written(
            &[sender_report(1), Sent::ReceiverReport(vec![Reception::default(); 3]), Sent::Nack { ssrc: 1, sequence_numbers: (0..99).collect() },
              Sent::TransportFeedback(told), Sent::Bye(vec![1])],
            false,
        );
        for (place, octet) in flips {
            let place = place.index(compound.len());
            compound[place] = octet;
        }
        let _ = read(&compound);
        let _ = read(&compound[..cut.index(compound.len())]);
    }
}
