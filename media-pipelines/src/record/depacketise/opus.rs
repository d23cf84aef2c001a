//! How long a packet of Opus sounds (RFC 6716 §3.1).

/// Ticks of sound in a second: Opus counts at 48 kHz whatever its bandwidth.
pub(in crate::record) const RATE: u32 = 48_000;
/// A packet lasts this long at most: 120 ms.
const LONGEST: u32 = 5_760;
/// 20 ms of silence: a full-band CELT frame that decoders fill with nothing.
pub(in crate::record) const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// What [`SILENCE`] lasts.
pub(in crate::record) const SILENCE_TICKS: u64 = 960;

/// Ticks of a packet; `None` of what is no packet of Opus.
pub(in crate::record) fn ticks(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        config @ 12..=15 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    let ticks = frame * count;
    (1..=LONGEST).contains(&ticks).then_some(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octet_tells_how_long_a_packet_lasts() {
        let silk_60_ms = [0x18];
        let hybrid_20_ms = [0x68, 1];
        let two_celt_10_ms = [0xf1, 0, 0];
        let six_celt_20_ms = [0xfb, 6];
        let lasts = [&silk_60_ms[..], &hybrid_20_ms, &two_celt_10_ms, &six_celt_20_ms].map(ticks);
        assert_eq!(lasts, [Some(2_880), Some(960), Some(960), Some(5_760)]);
        assert_eq!(ticks(&SILENCE), Some(SILENCE_TICKS as u32));
    }

    #[test]
    fn what_lasts_too_long_or_not_at_all_is_no_packet() {
        for packet in [&[][..], &[0xfb], &[0xfb, 0], &[0xfb, 7]] {
            assert_eq!(ticks(packet), None, "{packet:02x?}");
        }
    }
}
