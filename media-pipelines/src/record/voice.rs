//! The track of sound: packets one after the other, and silence where there are none, so that sound never shifts.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::depacketise::opus::{self, RATE, SILENCE, SILENCE_TICKS};
use super::rendition::{FileChange, Rendition};

/// The track's name.
pub(super) const NAME: &str = "voice";
/// Silence is put into holes up to this length, in ticks: twelve hours. A longer one is left in the time line.
const FILL_AT_MOST: u64 = 12 * 3_600 * RATE as u64;
/// So many ticks without a packet are a gap. Packets of a voice that pauses come every 400 ms.
const GAP: u64 = 3 * RATE as u64;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Voice {
    pub(super) rendition: Rendition,
    /// Where the latest packet ends.
    heard: u64,
}

impl Voice {
    pub(super) fn new() -> Self {
        Self { rendition: Rendition::voice("audio", format!("{NAME}/audio")), heard: 0 }
    }

    /// Take a packet whose sound begins at tick `time`. Returns the time since the latest packet where that is a gap.
    pub(super) fn packet(&mut self, time: i64, data: Bytes, out: &mut Vec<FileChange>) -> Option<(u64, u64)> {
        let duration = u64::from(opus::ticks(&data)?);
        let Ok(time) = u64::try_from(time) else { return None };
        // The sender's clock is slow against ours, or this was taken for lost.
        if time + SILENCE_TICKS <= self.rendition.end() {
            return None;
        }
        self.fill(time, out);
        let gap = (time >= self.heard + GAP).then_some((self.heard, time));
        self.rendition.append(data, duration, out);
        self.heard = self.rendition.end();
        gap
    }

    /// Nothing before tick `time` will come any more.
    pub(super) fn advance(&mut self, time: u64, out: &mut Vec<FileChange>) {
        self.fill(time, out);
        self.rendition.advance(time, out);
    }

    /// The gap that lasts up to tick `time`.
    pub(super) fn gap_at(&self, time: u64) -> Option<(u64, u64)> {
        (time >= self.heard + GAP).then_some((self.heard, time))
    }

    fn fill(&mut self, time: u64, out: &mut Vec<FileChange>) {
        let end = self.rendition.end();
        if time > end + FILL_AT_MOST {
            self.rendition.skip(time, out);
        }
        while self.rendition.end() + SILENCE_TICKS <= time {
            self.rendition.append(Bytes::from_static(&SILENCE), SILENCE_TICKS, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &[u8] = &[0x78, 1, 2];

    fn voice_of(packets: impl Iterator<Item = i64>) -> (Voice, Vec<FileChange>) {
        let (mut voice, mut out) = (Voice::new(), Vec::new());
        packets.for_each(|time| {
            voice.packet(time, Bytes::from_static(PACKET), &mut out);
        });
        (voice, out)
    }

    #[test]
    fn a_pause_is_filled_with_silence_to_the_frame() {
        let (voice, _) = voice_of([0, 960, 19_200].into_iter());
        assert_eq!(voice.rendition.end(), 20_160);
    }

    #[test]
    fn ninety_minutes_of_a_slow_or_fast_clock_stay_within_a_frame() {
        for ppm in [-100, 100] {
            let mut worst = 0;
            let (mut voice, mut out) = (Voice::new(), Vec::new());
            for packet in 0..90 * 60 * 50_i64 {
                let time = packet * 960 + packet * 960 * ppm / 1_000_000;
                voice.packet(time, Bytes::from_static(PACKET), &mut out);
                worst = worst.max((voice.rendition.end() as i64 - 960 - time).abs());
                out.clear();
            }
            assert!(worst <= 960, "{ppm} ppm: {worst} ticks");
        }
    }

    #[test]
    fn a_long_pause_is_a_gap_and_a_short_one_is_none() {
        let (mut voice, mut out) = voice_of([0].into_iter());
        assert_eq!(voice.packet(20_000, Bytes::from_static(PACKET), &mut out), None);
        assert_eq!(voice.packet(480_960, Bytes::from_static(PACKET), &mut out), Some((20_160, 480_960)));
        assert_eq!(voice.packet(1_000, Bytes::from_static(PACKET), &mut out), None, "too late");
    }
}
