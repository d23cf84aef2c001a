//! Sequence numbers that don't wrap: the 16 bits on the wire extended by a roll-over count (RFC 3711 §3.3.1).

/// Extends the 16-bit numbers of one stream to 64 bits by staying nearest to the highest seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extender {
    highest: Option<u64>,
}

/// Where extended numbers begin: high enough that a packet older than the first has a number too.
const ORIGIN: u64 = 1 << 16;

impl Extender {
    /// The extended number of `sequence`, without taking note of it.
    #[must_use]
    pub fn peek(&self, sequence: u16) -> u64 {
        let Some(highest) = self.highest else { return ORIGIN + u64::from(sequence) };
        let step = sequence.wrapping_sub(highest as u16) as i16;
        highest.saturating_add_signed(i64::from(step))
    }

    /// The extended number of `sequence`, which becomes the highest if it is.
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let extended = self.peek(sequence);
        self.highest = Some(self.highest.map_or(extended, |highest| highest.max(extended)));
        extended
    }

    /// The highest number so far.
    #[must_use]
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Whether `later` comes after `earlier` on a 32-bit time line that wraps.
#[must_use]
pub const fn is_later(later: u32, earlier: u32) -> bool {
    (later.wrapping_sub(earlier) as i32) > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_go_on_over_the_wrap_and_back() {
        let mut extender = Extender::default();
        let first = extender.extend(65_534);
        assert_eq!(extender.extend(1), first + 3);
        assert_eq!(extender.extend(65_535), first + 1);
        assert_eq!(extender.highest(), Some(first + 3));
    }

    #[test]
    fn a_packet_before_the_first_has_a_number_too() {
        let mut extender = Extender::default();
        let first = extender.extend(0);
        assert_eq!(extender.extend(65_535), first - 1);
    }

    proptest! {
        #[test]
        fn steps_below_half_the_circle_are_kept(start: u16, steps in proptest::collection::vec(-30_000i64..30_000, 1..50)) {
            let mut extender = Extender::default();
            let origin = extender.extend(start);
            let mut highest = origin;
            for step in steps {
                let Some(wanted) = highest.checked_add_signed(step) else { continue };
                prop_assume!(wanted >= ORIGIN / 2);
                prop_assert_eq!(extender.extend(wanted as u16), wanted);
                highest = highest.max(wanted);
            }
        }
    }
}
