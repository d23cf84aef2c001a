//! What is still kept as the disk fills up.

/// How much is kept; each keeps less than the one before. Voice and slides are kept longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Everything.
    #[default]
    Ample,
    /// Of cameras only the lower encoding.
    NoCameraTop,
    /// No camera.
    NoCamera,
    /// No camera, and of the slides only the lower encoding.
    NoSlidesTop,
    /// Nothing.
    None,
}

/// From when on less is kept, in octets of free disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Below this the camera's higher encoding is let go.
    pub warn: u64,
    /// Below this nothing is kept.
    pub stop: u64,
}

/// How much is kept with so many octets of free disk, where `before` was kept. More is kept again only where there is clearly
/// more room, so that a disk which hovers at a mark doesn't cut recordings to pieces.
#[must_use]
pub fn room(free: u64, limits: Limits, before: Room) -> Room {
    let span = limits.warn.saturating_sub(limits.stop);
    let steps = [
        (Room::None, limits.stop),
        (Room::NoSlidesTop, limits.stop + span / 3),
        (Room::NoCamera, limits.stop + span / 3 * 2),
        (Room::NoCameraTop, limits.warn),
    ];
    let at = |free: u64| steps.iter().find(|(_, below)| free < *below).map_or(Room::Ample, |(room, _)| *room);
    let now = at(free);
    let margin = span / 10 + limits.stop / 10;
    if now < before { at(free.saturating_sub(margin)).min(before) } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const LIMITS: Limits = Limits { warn: 10 * GIB, stop: 2 * GIB };

    #[test]
    fn less_is_kept_as_the_disk_fills_up_and_more_as_it_empties() {
        let mut kept = Room::Ample;
        let seen = [50, 9, 6, 3, 1].map(|free| {
            kept = room(free * GIB, LIMITS, kept);
            kept
        });
        assert_eq!(seen, [Room::Ample, Room::NoCameraTop, Room::NoCamera, Room::NoSlidesTop, Room::None]);
        let seen = [4, 6, 9, 50].map(|free| {
            kept = room(free * GIB, LIMITS, kept);
            kept
        });
        assert_eq!(seen, [Room::NoSlidesTop, Room::NoCamera, Room::NoCameraTop, Room::Ample]);
    }

    #[test]
    fn a_disk_that_hovers_at_a_mark_changes_nothing() {
        let below = room(10 * GIB - 1, LIMITS, Room::Ample);
        assert_eq!(below, Room::NoCameraTop);
        assert_eq!(room(10 * GIB + 1, LIMITS, below), Room::NoCameraTop);
        assert_eq!(room(12 * GIB, LIMITS, below), Room::Ample);
    }

    #[test]
    fn without_marks_everything_is_kept_to_the_end() {
        assert_eq!(room(0, Limits { warn: 0, stop: 0 }, Room::Ample), Room::Ample);
        assert_eq!(room(5, Limits { warn: 0, stop: 0 }, Room::None), Room::Ample);
        let only_stop = Limits { warn: GIB, stop: 2 * GIB };
        assert_eq!(room(GIB, only_stop, Room::Ample), Room::None);
    }
}
