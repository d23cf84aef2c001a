//! What is known of a line before anything is measured.

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
