//! The one pure function that decides which encoding each slot of a line gets.

use super::ladder::Ladder;

/// What one slot of one receiver wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand<'a> {
    /// What there is to choose from.
    pub ladder: &'a Ladder,
    /// The highest place from the bottom that the receiver asked for; `None` = any.
    pub cap: Option<u8>,
}

/// Why a slot gets what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The best that flows.
    Best,
    /// The receiver asked for no more.
    Capped,
    /// Better ones exist, but the publisher doesn't send them at present.
    NotSent,
    /// Nothing flows.
    Silent,
    /// The page shows it small, or not at all.
    Small,
    /// The line carries no more.
    NoRoom,
    /// The line may carry more, but lessons may use no more of it.
    Tier,
    /// This classroom's own last metre carries no more, though its line does.
    Own,
    /// There is room for more, which has yet to prove that it lasts.
    Waiting,
}

impl Reason {
    /// Its name in reports and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Capped => "capped",
            Self::NotSent => "not_sent",
            Self::Silent => "silent",
            Self::Small => "small",
            Self::NoRoom => "no_room",
            Self::Tier => "tier",
            Self::Own => "own",
            Self::Waiting => "waiting",
        }
    }
}

/// What one slot gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    /// The encoding, in the publisher's order; `None` = nothing can be sent.
    pub layer: Option<u8>,
    /// Why this one.
    pub reason: Reason,
}

/// Decides for all slots of a line at once, in the order of `demands`.
pub fn allocate<'a>(demands: impl IntoIterator<Item = Demand<'a>>) -> impl Iterator<Item = Allocation> {
    demands.into_iter().map(|demand| {
        let rungs = demand.ladder.rungs();
        let wanted = demand.cap.map_or(rungs.len(), |cap| (usize::from(cap) + 1).min(rungs.len()));
        let layer = rungs[..wanted].iter().rev().find(|rung| rung.flows).map(|rung| rung.layer);
        let best = rungs.iter().rev().find(|rung| rung.flows).map(|rung| rung.layer);
        let reason = match (layer, best) {
            (_, None) => Reason::Silent,
            (layer, best) if layer != best => Reason::Capped,
            (layer, _) if layer == rungs.last().map(|rung| rung.layer) => Reason::Best,
            _ => Reason::NotSent,
        };
        Allocation { layer, reason }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::Rung;
    use crate::units::Bitrate;

    fn one(flowing: [bool; 3], cap: Option<u8>) -> Allocation {
        let rungs =
            flowing.iter().zip(0u8..).map(|(&flows, layer)| Rung { layer, pixels: 0, bitrate: Bitrate::ZERO, flows });
        let ladder = Ladder::new(rungs.collect());
        allocate([Demand { ladder: &ladder, cap }]).next().expect("one demand, one allocation")
    }

    #[test]
    fn the_best_that_flows_within_the_cap() {
        assert_eq!(one([true; 3], None), Allocation { layer: Some(2), reason: Reason::Best });
        assert_eq!(one([true; 3], Some(1)), Allocation { layer: Some(1), reason: Reason::Capped });
        assert_eq!(one([true; 3], Some(9)), Allocation { layer: Some(2), reason: Reason::Best });
        assert_eq!(one([true, true, false], None), Allocation { layer: Some(1), reason: Reason::NotSent });
        assert_eq!(one([false, false, true], Some(0)), Allocation { layer: None, reason: Reason::Capped });
        assert_eq!(one([false; 3], None), Allocation { layer: None, reason: Reason::Silent });
    }
}
