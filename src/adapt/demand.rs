//! What one slot wants: which encodings of what there is, and what each of them takes of a line.

use super::ladder::{Ladder, Rung};
use super::reason::Reason;
use crate::units::Bitrate;

/// What a slot shows or sounds; the order in which a line that is too narrow gives them up is the reverse of [`Step`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    /// A voice. Never cut.
    Voice,
    /// The slides: sharp rather than smooth.
    Slides,
    /// The teacher's camera.
    Camera,
    /// Somebody else on stage.
    Stage,
}

/// The steps that a line climbs, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// All voices.
    Voice,
    /// The slides at all.
    SlidesLow,
    /// The camera at all.
    CameraLow,
    /// The camera's encodings between the lowest and the best.
    CameraMiddle,
    /// The slides' better encodings: smoother ones.
    SlidesHigh,
    /// The camera's best encoding.
    CameraTop,
    /// The others on stage.
    Stage,
}

/// What one slot of one receiver wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand<'a> {
    /// Whose it is. All that one member gets comes over its own last metre.
    pub member: usize,
    /// What the slot shows or sounds.
    pub content: Content,
    /// Names the publication: demands for the same one are met alike.
    pub publication: usize,
    /// What there is to choose from.
    pub ladder: &'a Ladder,
    /// The highest place from the bottom that the receiver asked for; `None` = any.
    pub cap: Option<u8>,
    /// With how many pixels the page shows it; `None` = nobody knows.
    pub shown: Option<u32>,
    /// The encoding that was decided before.
    pub has: Option<u8>,
    /// Why it was; `None` if nothing was decided yet.
    pub because: Option<Reason>,
}

/// A picture of slides that is shown with less than this part of its pixels can't be read anyhow.
const SLIDES_READABLE: u32 = 6;
/// A picture that is shown a little larger than it is, still is good enough: five pixels for three.
const ENLARGED: (u64, u64) = (3, 5);

impl<'a> Demand<'a> {
    /// The encodings that it may get, worst first, and why no better ones.
    pub(super) fn wanted(&self) -> (Vec<&'a Rung>, Reason) {
        let rungs = self.ladder.rungs();
        let flowing = |rungs: &'a [Rung]| rungs.iter().filter(|rung| rung.flows).collect::<Vec<_>>();
        let all = flowing(rungs);
        if all.is_empty() {
            return (all, Reason::Silent);
        }
        let capped = self.cap.map_or(rungs.len(), |cap| (usize::from(cap) + 1).min(rungs.len()));
        let within = flowing(&rungs[..capped]);
        let large = self.large_enough(&within);
        if large < within.len() {
            return (within[..large].to_vec(), Reason::Small);
        }
        let reason = if within.len() < all.len() {
            Reason::Capped
        } else if within.len() < rungs.len() && !rungs.last().is_some_and(|rung| rung.flows) {
            Reason::NotSent
        } else {
            Reason::Best
        };
        (within, reason)
    }

    /// How many of these encodings, worst first, serve what the page shows.
    fn large_enough(&self, rungs: &[&Rung]) -> usize {
        let all = rungs.len();
        match (self.content, self.shown) {
            (Content::Voice, _) | (_, None) => all,
            // Whoever opens the slides again sees at once what is on them.
            (Content::Slides, Some(shown)) => {
                let readable = rungs.last().is_none_or(|best| shown > 0 && shown >= best.pixels / SLIDES_READABLE);
                if readable { all } else { all.min(1) }
            }
            (_, Some(0)) => 0,
            (_, Some(shown)) => {
                let enough = |rung: &&Rung| {
                    rung.pixels > 0 && u64::from(rung.pixels) * ENLARGED.1 >= u64::from(shown) * ENLARGED.0
                };
                rungs.iter().position(enough).map_or(all, |at| at + 1)
            }
        }
    }

    /// The step with which it gets this encoding; `first` = the worst that there is for it.
    pub(super) fn step(&self, rung: &Rung, first: bool) -> Step {
        let best = self.ladder.rungs().last().is_some_and(|best| best.layer == rung.layer);
        match (self.content, first) {
            (Content::Voice, _) => Step::Voice,
            (Content::Slides, true) => Step::SlidesLow,
            (Content::Slides, false) => Step::SlidesHigh,
            (Content::Camera, true) => Step::CameraLow,
            (Content::Camera, false) if best => Step::CameraTop,
            (Content::Camera, false) => Step::CameraMiddle,
            (Content::Stage, _) => Step::Stage,
        }
    }

    /// What an encoding takes of a line that loses nothing.
    #[must_use]
    pub fn rate(&self, layer: u8) -> Bitrate {
        let rung = self.ladder.rungs().iter().find(|rung| rung.layer == layer);
        rung.map_or(Bitrate::ZERO, |rung| self.cost(rung, 0.0, 0))
    }

    /// What an encoding takes of a line that loses `loss` of its packets, which are sent again, and where every voice packet
    /// carries `redundancy` earlier ones.
    pub(super) fn cost(&self, rung: &Rung, loss: f32, redundancy: u8) -> Bitrate {
        if self.content == Content::Voice {
            let wire = if rung.wire == Bitrate::ZERO { VOICE } else { rung.wire };
            return wire + rung.bitrate.scaled(f64::from(redundancy));
        }
        let wire = if rung.wire == Bitrate::ZERO { self.expected(rung) } else { rung.wire };
        wire.scaled(1.0 + f64::from(loss.clamp(0.0, 0.5)))
    }

    /// What an encoding takes at its busiest beyond what it is planned with. Better slides are let in only where a change of
    /// slide fits too: else they would be let in while a slide is read, and thrown out with the next.
    pub(super) fn surge(&self, rung: &Rung, loss: f32) -> Bitrate {
        if self.content != Content::Slides {
            return Bitrate::ZERO;
        }
        let peak = rung.peak.max(self.expected(rung));
        peak.scaled(1.0 + f64::from(loss.clamp(0.0, 0.5))).less(self.cost(rung, loss, 0))
    }

    /// What an encoding that wasn't measured yet will take, as far as can be told: what studios send.
    fn expected(&self, rung: &Rung) -> Bitrate {
        let place = self.ladder.rank(rung.layer).unwrap_or(0);
        let kbps = match (self.content, self.ladder.rungs().len(), place, rung.pixels) {
            (Content::Slides, 1, ..) => 600,
            (Content::Slides, _, 0, _) => 330,
            (Content::Slides, ..) => 1_600,
            (_, 2.., 0, 0) | (_, _, _, 1..80_000) => 165,
            (_, 2.., 1, 0) | (_, _, _, 80_000..300_000) => 430,
            (_, _, _, 0..1_000_000) => 1_300,
            _ => 3_700,
        };
        Bitrate::from_bps(kbps * 1_000)
    }
}

/// A voice that wasn't measured yet: 40 kbit/s in fifty packets a second.
const VOICE: Bitrate = Bitrate::from_bps(66_000);

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(layer: u8, pixels: u32, flows: bool) -> Rung {
        Rung { layer, pixels, bitrate: Bitrate::ZERO, wire: Bitrate::ZERO, peak: Bitrate::ZERO, flows }
    }

    fn demand(ladder: &Ladder, content: Content, cap: Option<u8>, shown: Option<u32>) -> Demand<'_> {
        Demand { member: 0, content, publication: 0, ladder, cap, shown, has: None, because: None }
    }

    fn wanted(flowing: [bool; 3], content: Content, cap: Option<u8>, shown: Option<u32>) -> (Vec<u8>, Reason) {
        let sizes = [320 * 180, 640 * 360, 1_280 * 720];
        let rungs = (0..3).map(|layer| rung(layer, sizes[usize::from(layer)], flowing[usize::from(layer)]));
        let ladder = Ladder::new(rungs.collect());
        let (rungs, reason) = demand(&ladder, content, cap, shown).wanted();
        (rungs.iter().map(|rung| rung.layer).collect(), reason)
    }

    #[test]
    fn what_flows_within_the_cap_is_wanted() {
        let camera = |flowing, cap| wanted(flowing, Content::Camera, cap, None);
        assert_eq!(camera([true; 3], None), (vec![0, 1, 2], Reason::Best));
        assert_eq!(camera([true; 3], Some(1)), (vec![0, 1], Reason::Capped));
        assert_eq!(camera([true; 3], Some(9)), (vec![0, 1, 2], Reason::Best));
        assert_eq!(camera([true, true, false], None), (vec![0, 1], Reason::NotSent));
        assert_eq!(camera([true, false, true], None), (vec![0, 2], Reason::Best));
        assert_eq!(camera([false, false, true], Some(0)), (vec![], Reason::Capped));
        assert_eq!(camera([false; 3], None), (vec![], Reason::Silent));
    }

    #[test]
    fn what_is_shown_small_wants_less() {
        let shown = |content, pixels| wanted([true; 3], content, None, Some(pixels));
        assert_eq!(shown(Content::Camera, 1_920 * 1_080), (vec![0, 1, 2], Reason::Best));
        assert_eq!(shown(Content::Camera, 800 * 450), (vec![0, 1], Reason::Small));
        assert_eq!(shown(Content::Stage, 320 * 180), (vec![0], Reason::Small));
        assert_eq!(shown(Content::Camera, 0), (vec![], Reason::Small));
        assert_eq!(shown(Content::Slides, 0), (vec![0], Reason::Small), "they are there when they are opened");
        assert_eq!(shown(Content::Slides, 320 * 180), (vec![0], Reason::Small));
        assert_eq!(shown(Content::Slides, 960 * 540), (vec![0, 1, 2], Reason::Best));
        assert_eq!(shown(Content::Voice, 0), (vec![0, 1, 2], Reason::Best));
    }
}
