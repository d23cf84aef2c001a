//! When another slide is shown, told from the encoded sizes of pictures and from a look at every keyframe.
//!
//! A keyframe that shows something else than the one before says that the slide has changed between them; the picture
//! with the most octets among those between says when. So one picture in some seconds is all that is decoded.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::checkpoint::octets;
use super::depacketise::Format;
use super::timeline::SlideChange;

/// Columns and rows of the small grey picture that is compared.
pub(super) const GREY: (usize, usize) = (32, 18);
/// Brightness by which a spot must change to count, and how many spots must.
const SPOT: u8 = 24;
const SPOTS: usize = 6;
/// Pictures between two looks that are remembered: a minute of them at 15 a second.
const SIZES_AT_MOST: usize = 900;
/// Slides of one lesson.
const SLIDES_AT_MOST: usize = 2_000;

/// A keyframe to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// Ticks of the slides' track.
    pub(super) time: u64,
    pub(super) format: Format,
    pub(super) data: Bytes,
}

/// What a look has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) time: u64,
    /// [`GREY`] of them.
    pub(super) grey: Bytes,
    /// The picture as a JPEG file.
    pub(super) jpeg: Bytes,
}

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct SlideWatch {
    /// The latest keyframe that was looked at.
    #[serde(with = "octets")]
    grey: Bytes,
    /// Times and lengths of the pictures since.
    sizes: Vec<(u64, usize)>,
    pub(super) changes: Vec<SlideChange>,
}

impl SlideWatch {
    /// A picture was put into the slides' track.
    pub(super) fn picture(&mut self, time: u64, octets: usize) {
        if self.sizes.len() == SIZES_AT_MOST {
            // The smallest one is the least likely to be the change.
            if let Some(least) = self.sizes.iter().enumerate().min_by_key(|(_, size)| size.1).map(|(at, _)| at) {
                self.sizes.remove(least);
            }
        }
        self.sizes.push((time, octets));
    }

    /// A keyframe was looked at. If it shows another slide, its picture belongs into the file that is returned.
    pub(super) fn seen(&mut self, seen: &Seen, ticks_per_ms: u64) -> Option<String> {
        let is_new = self.grey.len() != seen.grey.len() || differ(&self.grey, &seen.grey);
        let between = self.sizes.iter().filter(|(time, _)| *time <= seen.time);
        let at = if self.grey.is_empty() {
            between.map(|(time, _)| *time).min()
        } else {
            // The keyframe itself is large whatever it shows.
            let deltas = between.filter(|(time, _)| *time != seen.time);
            deltas.max_by_key(|(time, octets)| (*octets, std::cmp::Reverse(*time))).map(|(time, _)| *time)
        };
        self.sizes.retain(|(time, _)| *time > seen.time);
        if !is_new || self.changes.len() == SLIDES_AT_MOST {
            return None;
        }
        self.grey = seen.grey.clone();
        let picture = format!("slides/{:06}.jpg", self.changes.len() + 1);
        let at_ms = at.unwrap_or(seen.time) / ticks_per_ms.max(1);
        self.changes.push(SlideChange { at_ms, picture: Some(picture.clone()) });
        Some(picture)
    }
}

fn differ(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).filter(|(one, other)| one.abs_diff(**other) > SPOT).count() >= SPOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(time: u64, brightness: u8) -> Seen {
        let grey = Bytes::from(vec![brightness; GREY.0 * GREY.1]);
        Seen { time: time * 90, grey, jpeg: Bytes::new() }
    }

    #[test]
    fn a_change_is_dated_by_the_largest_picture_before_the_keyframe_that_shows_it() {
        let mut watch = SlideWatch::default();
        for (time, octets) in [(0, 50_000), (200, 900), (4_000, 700), (4_200, 22_000), (4_400, 5_000), (10_000, 60_000)]
        {
            watch.picture(time * 90, octets);
        }
        assert_eq!(watch.seen(&seen(0, 10), 90).as_deref(), Some("slides/000001.jpg"));
        assert_eq!(watch.seen(&seen(10_000, 200), 90).as_deref(), Some("slides/000002.jpg"));
        watch.picture(20_000 * 90, 60_000);
        assert_eq!(watch.seen(&seen(20_000, 210), 90), None, "a little brighter is the same slide");
        let times: Vec<_> = watch.changes.iter().map(|change| change.at_ms).collect();
        assert_eq!(times, [0, 4_200]);
    }

    #[test]
    fn what_is_remembered_between_looks_is_bounded_and_keeps_the_large_pictures() {
        let mut watch = SlideWatch::default();
        watch.seen(&seen(0, 10), 90);
        for index in 1..5_000_u64 {
            watch.picture(index * 6_000, if index == 77 { 30_000 } else { 500 });
        }
        assert_eq!(watch.sizes.len(), SIZES_AT_MOST);
        watch.seen(&Seen { time: 5_000 * 6_000, ..seen(0, 200) }, 90);
        assert_eq!(watch.changes[1].at_ms, 77 * 6_000 / 90);
    }
}
