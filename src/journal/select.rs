//! Which encodings of a picture are kept.

use crate::units::Bitrate;

use super::space::Room;

/// The lower rendition of a recording is made of an encoding that takes so much at most.
const LOW: Bitrate = Bitrate::from_bps(500_000);
/// What is kept as the lower one may waver up to this.
const LOW_AT_MOST: Bitrate = Bitrate::from_bps(600_000);
/// Another encoding is the best one from this much more on.
const BETTER: f64 = 1.2;

/// How an encoding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layer {
    /// What it takes.
    pub(super) rate: Bitrate,
    /// Whether anything came of it lately.
    pub(super) flows: bool,
}

/// What kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Picture {
    /// The slides.
    Slides,
    /// A camera, or whatever else a source shows.
    Camera,
}

/// Which encodings are kept, by their numbers; both may be the same one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// The best that flows.
    pub(super) best: Option<usize>,
    /// The best of those that take 500 kbit/s at most.
    pub(super) low: Option<usize>,
}

impl Choice {
    /// Whether this encoding is kept.
    pub(super) fn keeps(self, layer: usize) -> bool {
        self.best == Some(layer) || self.low == Some(layer)
    }
}

/// What is kept of a picture in so much room. What was kept before stays where it is about as good.
#[must_use]
pub(super) fn choose(layers: &[Layer], before: Choice, picture: Picture, room: Room) -> Choice {
    let flows = |&layer: &usize| layers.get(layer).is_some_and(|layer| layer.flows);
    let rate = |layer: usize| layers[layer].rate;
    let best_of = |most: Bitrate| {
        let fitting = (0..layers.len()).filter(flows).filter(|&layer| rate(layer) <= most);
        fitting.max_by_key(|&layer| rate(layer))
    };
    let top = best_of(Bitrate::from_bps(u64::MAX));
    let stays = before.best.filter(flows).filter(|&kept| top.is_none_or(|top| rate(top) <= rate(kept).scaled(BETTER)));
    let best = stays.or(top);
    let low = before.low.filter(flows).filter(|&kept| rate(kept) <= LOW_AT_MOST).or_else(|| best_of(LOW));
    let whole = Choice { best, low };
    // Where there is but one encoding it is the lower one too.
    let lower = Choice { best: None, low: low.or(best) };
    match (room, picture) {
        (Room::Ample, _) | (Room::NoCameraTop | Room::NoCamera, Picture::Slides) => whole,
        (Room::NoCameraTop, Picture::Camera) | (Room::NoSlidesTop, Picture::Slides) => lower,
        (Room::NoCamera | Room::NoSlidesTop, Picture::Camera) | (Room::None, _) => Choice::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers<const N: usize>(kbps: [u64; N]) -> [Layer; N] {
        kbps.map(|kbps| Layer { rate: Bitrate::from_bps(kbps * 1_000), flows: kbps > 0 })
    }

    fn chosen<const N: usize>(kbps: [u64; N], before: Choice) -> (Option<usize>, Option<usize>) {
        let choice = choose(&layers(kbps), before, Picture::Camera, Room::Ample);
        (choice.best, choice.low)
    }

    #[test]
    fn the_best_encoding_and_the_best_small_one_are_kept() {
        let none = Choice::default();
        assert_eq!(chosen([150, 450, 1_700], none), (Some(2), Some(1)));
        assert_eq!(chosen([1_700, 450, 150], none), (Some(0), Some(1)), "whatever their order");
        assert_eq!(chosen([150, 700, 0], none), (Some(1), Some(0)), "of what flows");
        assert_eq!(chosen([1_700], none), (Some(0), None), "one alone is the best");
        assert_eq!(chosen([300], none), (Some(0), Some(0)));
        assert_eq!(chosen([0, 0], none), (None, None));
        assert_eq!(chosen([], none), (None, None));
    }

    #[test]
    fn what_wavers_is_not_given_up() {
        let before = Choice { best: Some(2), low: Some(1) };
        assert_eq!(chosen([150, 580, 1_000], before), (Some(2), Some(1)));
        assert_eq!(chosen([150, 650, 1_000], before), (Some(2), Some(0)));
        assert_eq!(chosen([150, 1_100, 1_000], before), (Some(2), Some(0)));
        assert_eq!(chosen([150, 1_300, 1_000], before).0, Some(1));
        assert_eq!(chosen([150, 400, 0], before), (Some(1), Some(1)), "what has stopped is");
    }

    #[test]
    fn with_less_room_the_camera_goes_first_and_the_slides_last() {
        let all = layers([150, 450, 1_700]);
        let kept = |picture, room| {
            let choice = choose(&all, Choice::default(), picture, room);
            (0..3).filter(|&layer| choice.keeps(layer)).collect::<Vec<_>>()
        };
        let by_room = [Room::Ample, Room::NoCameraTop, Room::NoCamera, Room::NoSlidesTop, Room::None];
        assert_eq!(by_room.map(|room| kept(Picture::Camera, room)), [vec![1, 2], vec![1], vec![], vec![], vec![]]);
        assert_eq!(
            by_room.map(|room| kept(Picture::Slides, room)),
            [vec![1, 2], vec![1, 2], vec![1, 2], vec![1], vec![]]
        );
        let one = choose(&layers([1_700]), Choice::default(), Picture::Slides, Room::NoSlidesTop);
        assert!(one.keeps(0), "slides with one encoding keep it to the end");
    }
}
