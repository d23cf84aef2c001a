//! A track of pictures: which layer each of its renditions takes.
//!
//! `high` takes the best layer that has pictures, `low` the best at or below [`LOW_AT_MOST`]; both change at keyframes. A
//! layer that only one rendition can have is in `high`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::access_unit::AccessUnit;
use super::depacketise::Format;
use super::rendition::{FileChange, Rendition, Timed};

/// What `low` may have, in bits per second.
const LOW_AT_MOST: u64 = 500_000;
/// Before a layer's rate is known, its size tells: no more pixels than 640 × 360.
const LOW_PIXELS: u64 = 640 * 360;
/// A layer without a picture for so many nanoseconds is gone.
const GONE: i64 = 1_500_000_000;
/// What a rate is measured over, in nanoseconds.
const RATE_WINDOW: i64 = 2_000_000_000;
/// A layer of the same size is better when it has this much more: three halves.
const BETTER: (u64, u64) = (3, 2);

/// Names a layer of a source within a lesson.
pub(super) type LayerKey = u32;

/// Which of a track's renditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// The best there is.
    High,
    /// For weak lines.
    Low,
}

impl Level {
    pub(super) const BOTH: [Self; 2] = [Self::High, Self::Low];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pictures {
    layers: BTreeMap<LayerKey, Layer>,
    /// Layers of which nothing will come any more before long.
    leaving: BTreeSet<LayerKey>,
    high: Chosen,
    low: Chosen,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Chosen {
    layer: Option<LayerKey>,
    rendition: Rendition,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Layer {
    pixels: u64,
    latest: i64,
    /// Bits per second in the last whole window, once there was one.
    rate: Option<u64>,
    window: i64,
    octets: u64,
}

impl Pictures {
    pub(super) fn new(track: &str) -> Self {
        let chosen = |level: Level| Chosen {
            layer: None,
            rendition: Rendition::pictures(level.name(), format!("{track}/{}", level.name())),
        };
        Self { layers: BTreeMap::new(), leaving: BTreeSet::new(), high: chosen(Level::High), low: chosen(Level::Low) }
    }

    /// Take note of a picture, and say which rendition takes it.
    pub(super) fn choose(&mut self, key: LayerKey, unit: &AccessUnit) -> Option<Level> {
        self.measure(key, unit);
        let now = unit.arrival;
        if let Some(format) = &unit.format {
            let (width, height) = format.size();
            if let Some(layer) = self.layers.get_mut(&key) {
                layer.pixels = u64::from(width) * u64::from(height);
            }
            self.consider(key, now);
        }
        let takes = |chosen: &Chosen| chosen.layer == Some(key);
        if takes(&self.high) { Some(Level::High) } else { takes(&self.low).then_some(Level::Low) }
    }

    /// Put a picture at tick `time` of a rendition. Returns the hole before it, in ticks.
    pub(super) fn put(
        &mut self,
        level: Level,
        time: u64,
        data: bytes::Bytes,
        format: Option<Format>,
        out: &mut Vec<FileChange>,
    ) -> Option<(u64, u64)> {
        let rendition = &mut self.chosen(level).rendition;
        let before = rendition.has_samples().then(|| rendition.media_end());
        rendition.push(Timed { time, is_keyframe: format.is_some(), format, data }, out);
        before.filter(|before| *before < time).map(|before| (before, time))
    }

    /// Of a source, whose layers `key` names, these alone are kept on: the others are left at the next keyframe.
    pub(super) fn keeps(&mut self, key: impl Fn(u8) -> LayerKey, layers: &[u8]) {
        for layer in 0..=u8::MAX {
            if layers.contains(&layer) {
                self.leaving.remove(&key(layer));
            } else if self.layers.contains_key(&key(layer)) {
                self.leaving.insert(key(layer));
            }
        }
    }

    /// A source's layer is gone for good.
    pub(super) fn forget(&mut self, key: LayerKey) {
        self.layers.remove(&key);
        self.leaving.remove(&key);
        for level in Level::BOTH {
            self.chosen(level).layer.take_if(|layer| *layer == key);
        }
    }

    /// Nothing before tick `time` will come any more.
    pub(super) fn advance(&mut self, time: u64, out: &mut Vec<FileChange>) {
        self.high.rendition.advance(time, out);
        self.low.rendition.advance(time, out);
    }

    pub(super) fn rendition(&mut self, level: Level) -> &mut Rendition {
        &mut self.chosen(level).rendition
    }

    /// The renditions that have something, the best first.
    pub(super) fn renditions(&self) -> impl Iterator<Item = &Rendition> {
        [&self.high.rendition, &self.low.rendition].into_iter().filter(|rendition| rendition.has_samples())
    }

    const fn chosen(&mut self, level: Level) -> &mut Chosen {
        match level {
            Level::High => &mut self.high,
            Level::Low => &mut self.low,
        }
    }

    fn measure(&mut self, key: LayerKey, unit: &AccessUnit) {
        let new = Layer { pixels: 0, latest: unit.arrival, rate: None, window: unit.arrival, octets: 0 };
        let layer = self.layers.entry(key).or_insert(new);
        let passed = unit.arrival - layer.window;
        if passed >= RATE_WINDOW {
            let bits = u128::from(layer.octets) * 8 * 1_000_000_000 / passed.unsigned_abs().max(1) as u128;
            layer.rate = Some(u64::try_from(bits).unwrap_or(u64::MAX));
            (layer.window, layer.octets) = (unit.arrival, 0);
        }
        layer.octets += unit.data.len() as u64;
        layer.latest = layer.latest.max(unit.arrival);
    }

    /// A keyframe of this layer is there: renditions that it suits better than what they have change to it.
    fn consider(&mut self, key: LayerKey, now: i64) {
        let (layers, leaving) = (&self.layers, &self.leaving);
        let Some(candidate) = layers.get(&key).filter(|_| !leaving.contains(&key)) else { return };
        let flowing = |layer: Option<LayerKey>| {
            let stays = layer.filter(|layer| !leaving.contains(layer));
            stays.and_then(|layer| layers.get(&layer)).filter(|layer| layer.latest + GONE > now)
        };
        if self.high.layer != Some(key) && flowing(self.high.layer).is_none_or(|known| candidate.is_better_than(known))
        {
            self.high.layer = Some(key);
            self.low.layer.take_if(|layer| *layer == key);
        }
        let known = flowing(self.low.layer);
        let suits_low =
            candidate.is_low() && known.is_none_or(|known| !known.is_low() || candidate.is_better_than(known));
        if self.high.layer != Some(key) && self.low.layer != Some(key) && suits_low {
            self.low.layer = Some(key);
        }
    }
}

impl Layer {
    fn is_better_than(&self, other: &Self) -> bool {
        if self.pixels != other.pixels {
            return self.pixels > other.pixels;
        }
        match (self.rate, other.rate) {
            (Some(one), Some(other)) => one * BETTER.1 > other * BETTER.0,
            _ => false,
        }
    }

    fn is_low(&self) -> bool {
        self.rate.map_or(self.pixels <= LOW_PIXELS, |rate| rate <= LOW_AT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const MS: i64 = 1_000_000;

    fn unit(at_ms: i64, octets: usize, size: Option<(u32, u32)>) -> AccessUnit {
        let format = size.map(|(width, height)| Format::Vp8(width, height));
        let codec = mingshi_journal::Codec::Vp8;
        AccessUnit { codec, timestamp: 0, arrival: at_ms * MS, data: Bytes::from(vec![0; octets]), format }
    }

    const LARGE: Option<(u32, u32)> = Some((1280, 720));
    const SMALL: Option<(u32, u32)> = Some((320, 180));

    #[test]
    fn high_takes_the_best_layer_at_its_keyframe_and_low_the_small_one() {
        let mut pictures = Pictures::new("camera");
        assert_eq!(pictures.choose(1, &unit(0, 2_000, SMALL)), Some(Level::High), "all there is");
        assert_eq!(pictures.choose(2, &unit(50, 9_000, LARGE)), Some(Level::High));
        assert_eq!(pictures.choose(1, &unit(66, 500, None)), None, "it changes at a keyframe only");
        assert_eq!(pictures.choose(1, &unit(5_000, 500, SMALL)), Some(Level::High), "the large one is gone");
        assert_eq!(pictures.choose(2, &unit(5_100, 9_000, LARGE)), Some(Level::High));
        assert_eq!(pictures.choose(1, &unit(5_200, 900, SMALL)), Some(Level::Low));
        assert_eq!(pictures.choose(2, &unit(5_300, 900, None)), Some(Level::High));
    }

    #[test]
    fn one_layer_alone_is_in_high_only_even_when_it_is_small() {
        let mut pictures = Pictures::new("camera");
        for at in (0..20_000).step_by(100) {
            assert_eq!(pictures.choose(1, &unit(at, 500, (at % 4_000 == 0).then_some((320, 180)))), Some(Level::High));
        }
    }

    #[test]
    fn of_two_layers_of_one_size_the_richer_one_is_high_once_their_rates_are_known() {
        let mut pictures = Pictures::new("slides");
        let size = Some((1920, 1080));
        for at in (0..8_000).step_by(100) {
            let key = (at % 4_000 == 0).then_some(()).and(size);
            let poor = pictures.choose(1, &unit(at, 2_000, key));
            let rich = pictures.choose(2, &unit(at, 12_000, key));
            if at >= 4_100 {
                assert_eq!((poor, rich), (None, Some(Level::High)), "{at}");
            }
        }
        assert_eq!(pictures.choose(1, &unit(8_000, 2_000, size)), Some(Level::Low));
    }

    #[test]
    fn a_layer_that_is_not_kept_on_is_left_at_the_next_keyframe() {
        let mut pictures = Pictures::new("slides");
        let size = Some((1920, 1080));
        assert_eq!(pictures.choose(1, &unit(0, 900, size)), Some(Level::High), "the first of two alike");
        pictures.choose(2, &unit(1, 900, size));
        pictures.keeps(|layer| u32::from(layer) + 1, &[1]);
        assert_eq!(pictures.choose(1, &unit(100, 900, None)), Some(Level::High));
        assert_eq!(pictures.choose(2, &unit(200, 900, size)), Some(Level::High), "though the other still flows");
        assert_eq!(pictures.choose(1, &unit(250, 900, size)), None, "and comes to nothing any more");
        pictures.keeps(|layer| u32::from(layer) + 1, &[0, 1]);
        assert_eq!(pictures.choose(1, &unit(300, 900, SMALL)), Some(Level::Low));
    }

    #[test]
    fn the_layers_of_a_studio_that_went_away_make_room() {
        let mut pictures = Pictures::new("camera");
        assert_eq!(pictures.choose(2, &unit(0, 9_000, LARGE)), Some(Level::High));
        pictures.forget(2);
        assert_eq!(pictures.choose(7, &unit(100, 500, SMALL)), Some(Level::High));
    }
}
