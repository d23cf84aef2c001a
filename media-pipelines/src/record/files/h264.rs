//! What an access unit of H.264 says about the ones that follow: the parameter sets inside of it.

use std::ops::RangeInclusive;

use mp4_atom::Avcc;

/// The kinds of units that pictures are made of.
const SLICES: RangeInclusive<u8> = 1..=5;
const SEQUENCE_PARAMETER_SET: u8 = 7;
const PICTURE_PARAMETER_SET: u8 = 8;

/// The parameter sets of one access unit or of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterSets {
    sequence: Vec<Vec<u8>>,
    picture: Vec<Vec<u8>>,
}

impl ParameterSets {
    /// Those of a configuration record.
    #[must_use]
    pub fn of_configuration(avcc: &Avcc) -> Self {
        Self { sequence: avcc.sequence_parameter_sets.clone(), picture: avcc.picture_parameter_sets.clone() }
    }

    /// Those in front of the picture of an access unit whose units have their length in four octets before them. Of the
    /// picture itself nothing need be there; `None` if `front` ends before it.
    #[must_use]
    pub fn in_band(mut front: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        loop {
            let (length, rest) = front.split_first_chunk::<4>()?;
            let kind = rest.first()? & 0x1f;
            if SLICES.contains(&kind) {
                return Some(found);
            }
            let (unit, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            match kind {
                SEQUENCE_PARAMETER_SET => push_new(&mut found.sequence, unit),
                PICTURE_PARAMETER_SET => push_new(&mut found.picture, unit),
                _ => {}
            }
            front = rest;
        }
    }

    /// Whether there is nothing to decode with.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sequence.is_empty() || self.picture.is_empty()
    }

    /// Whether a decoder that has these needs no other to decode what `others` are for.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        others.sequence.iter().all(|set| self.sequence.contains(set))
            && others.picture.iter().all(|set| self.picture.contains(set))
    }

    /// The configuration record with these sets; `None` if they lack what it has to say.
    #[must_use]
    pub fn configuration(&self) -> Option<Avcc> {
        let mut avcc = Avcc::new(self.sequence.first()?, self.picture.first()?).ok()?;
        avcc.sequence_parameter_sets.clone_from(&self.sequence);
        avcc.picture_parameter_sets.clone_from(&self.picture);
        Some(avcc)
    }
}

/// Whether the lengths inside of an access unit add up to its size.
#[must_use]
pub fn is_whole(access_unit: &[u8]) -> bool {
    !access_unit.is_empty() && units(access_unit).all(|unit| unit.is_some_and(|unit| !unit.is_empty()))
}

/// The units of an access unit, `None` in the end if the last one is cut short.
fn units(mut octets: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if octets.is_empty() {
            return None;
        }
        let unit = octets.first_chunk::<4>().and_then(|length| {
            let length = u32::from_be_bytes(*length) as usize;
            octets.get(4..)?.get(..length)
        });
        octets = unit.map_or(&[], |unit| &octets[4 + unit.len()..]);
        Some(unit)
    })
}

fn push_new(sets: &mut Vec<Vec<u8>>, set: &[u8]) {
    if !sets.iter().any(|known| known == set) {
        sets.push(set.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access_unit(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect()
    }

    #[test]
    fn parameter_sets_are_found_in_front_of_a_picture() {
        let first = access_unit(&[&[0x67, 1, 2, 3], &[0x68, 4], &[0x65, 9, 9]]);
        let sets = ParameterSets::in_band(&first).expect("whole");
        assert!(!sets.is_empty() && sets.cover(&sets));
        let other = ParameterSets::in_band(&access_unit(&[&[0x67, 1, 2, 9], &[0x68, 4], &[0x65, 9]])).expect("whole");
        assert!(!sets.cover(&other), "another resolution asks for sets in band");
        assert!(ParameterSets::in_band(&access_unit(&[&[0x65, 9]])).expect("whole").is_empty());
    }

    #[test]
    fn an_access_unit_that_was_cut_is_not_whole() {
        let unit = access_unit(&[&[0x65, 9, 9]]);
        assert!(is_whole(&unit) && !is_whole(&unit[..6]) && !is_whole(&[]));
        let sets = access_unit(&[&[0x67, 1, 2, 3], &[0x68, 4], &[0x65, 9]]);
        assert!(ParameterSets::in_band(&sets[..sets.len() - 1]).is_some_and(|sets| !sets.is_empty()));
        assert_eq!(ParameterSets::in_band(&sets[..6]), None);
    }
}
