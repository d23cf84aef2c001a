//! What is known of a line before anything is measured.

use std::time::Duration;

use crate::units::Bitrate;

/// A line by what was sold or written down for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineTier {
    /// What the line carries in name; `None` = nobody knows.
    pub nominal: Option<Bitrate>,
    /// The part of `nominal` that lessons may use, 0 to 1.
    pub share: f32,
    /// What is spent at first, until something is measured.
    pub start: Bitrate,
    /// What one member isn't cut below for the sake of traffic that isn't ours: voice and the lowest slides.
    pub floor: Bitrate,
}

impl LineTier {
    /// What lessons may use at most; `None` = whatever is measured.
    #[must_use]
    pub fn most(&self) -> Option<Bitrate> {
        self.nominal.map(|nominal| nominal.scaled(f64::from(self.share)))
    }
}

impl Default for LineTier {
    /// A line that nobody knows anything of: a modest start, and voice with the lowest slides as floor.
    fn default() -> Self {
        Self { nominal: None, share: 0.85, start: Bitrate::from_bps(1_200_000), floor: Bitrate::from_bps(380_000) }
    }
}

/// How lessons are brought over lines of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    /// What people call such a line.
    pub name: String,
    /// What lessons may use of it.
    pub line: LineTier,
    /// How many earlier voice packets each voice packet carries (RFC 2198), where the receiver can read that.
    pub redundancy: u8,
    /// How long receivers may hold media back to play it evenly: at least, and at most.
    pub playout: (Duration, Duration),
}

/// All kinds of lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiers {
    known: Vec<Tier>,
    unknown: Tier,
}

impl Tiers {
    /// Of lines whose nominal rates are `known`, and of those of which nobody knows it.
    #[must_use]
    pub fn new(mut known: Vec<Tier>, unknown: Tier) -> Self {
        known.sort_by_key(|tier| tier.line.nominal);
        Self { known, unknown }
    }

    /// How lessons are brought over a line of this nominal rate: like over the widest kind that is no wider, or the
    /// narrowest there is; its own rate holds for what they may use.
    #[must_use]
    pub fn of(&self, nominal: Option<Bitrate>) -> Tier {
        let Some(nominal) = nominal else { return self.unknown.clone() };
        let no_wider = self.known.iter().rev().find(|tier| tier.line.nominal <= Some(nominal));
        let mut tier = no_wider.or(self.known.first()).unwrap_or(&self.unknown).clone();
        tier.line.nominal = Some(nominal);
        tier
    }

    /// The kind that people call this.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Tier> {
        self.known.iter().find(|tier| tier.name == name)
    }

    /// Those whose nominal rate is known, narrowest first.
    #[must_use]
    pub fn known(&self) -> &[Tier] {
        &self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(mbps: u64) -> Tier {
        let nominal = Some(Bitrate::from_bps(mbps * 1_000_000)).filter(|_| mbps > 0);
        Tier {
            name: format!("{mbps}M"),
            line: LineTier { nominal, ..LineTier::default() },
            redundancy: 1,
            playout: (Duration::ZERO, Duration::from_millis(300)),
        }
    }

    #[test]
    fn a_line_is_treated_like_the_widest_kind_that_is_no_wider() {
        let tiers = Tiers::new(vec![tier(10), tier(4)], tier(0));
        let named = |mbps: Option<u64>| tiers.of(mbps.map(|mbps| Bitrate::from_bps(mbps * 1_000_000)));
        assert_eq!(named(Some(4)).name, "4M");
        assert_eq!(named(Some(9)).name, "4M");
        assert_eq!(named(Some(9)).line.nominal, Some(Bitrate::from_bps(9_000_000)));
        assert_eq!(named(Some(200)).name, "10M");
        assert_eq!(named(Some(2)).name, "4M", "the narrowest there is");
        assert_eq!(named(None), tier(0));
    }
}
