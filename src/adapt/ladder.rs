//! The encodings of one publication in the order in which they get better.

use crate::units::Bitrate;

/// One encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Its number in the publisher's order of restriction ids.
    pub layer: u8,
    /// Pixels of a picture, 0 while unknown.
    pub pixels: u32,
    /// Measured rate of its payloads.
    pub bitrate: Bitrate,
    /// What it takes of a line, packets' headers included, steadied: see [`Steady`](super::steady::Steady). Zero until
    /// it was measured.
    pub wire: Bitrate,
    /// The most that it took in a second of late: what has to fit before it is let in.
    pub peak: Bitrate,
    /// Whether it flows at present; a publisher on a thin uplink stops its upper encodings.
    pub flows: bool,
}

/// The encodings of one publication, worst first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder {
    rungs: Vec<Rung>,
}

impl Ladder {
    /// Ordered by picture size where both sizes are known and differ, else by the publisher's order: encodings of one
    /// size differ in frame rate, and their momentary rates would make the order waver.
    #[must_use]
    pub fn new(mut rungs: Vec<Rung>) -> Self {
        rungs.sort_by_key(|rung| rung.layer);
        if rungs.iter().all(|rung| rung.pixels > 0) {
            rungs.sort_by_key(|rung| rung.pixels);
        }
        Self { rungs }
    }

    /// Worst first.
    #[must_use]
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// Which place from the bottom `layer` has.
    #[must_use]
    pub fn rank(&self, layer: u8) -> Option<u8> {
        self.rungs.iter().position(|rung| rung.layer == layer).map(|rank| rank as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(layer: u8, pixels: u32) -> Rung {
        Rung { layer, pixels, bitrate: Bitrate::ZERO, wire: Bitrate::ZERO, peak: Bitrate::ZERO, flows: true }
    }

    #[test]
    fn sizes_decide_when_all_are_known() {
        let order = |rungs: Vec<Rung>| Ladder::new(rungs).rungs().iter().map(|rung| rung.layer).collect::<Vec<_>>();
        assert_eq!(order(vec![rung(0, 900), rung(1, 400), rung(2, 100)]), [2, 1, 0]);
        assert_eq!(order(vec![rung(2, 0), rung(1, 400), rung(0, 900)]), [0, 1, 2]);
        assert_eq!(order(vec![rung(1, 400), rung(0, 400)]), [0, 1]);
    }
}
