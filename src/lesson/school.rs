//! A school of the roster, its classrooms, and what is known of its line.

use time::OffsetDateTime;

use crate::id::{ClassroomId, SchoolId};
use crate::units::Bitrate;
use crate::worker::mailbox::LineNominal;

const NAME_LIMIT: usize = 80;
/// Classrooms of one school.
pub const MAX_CLASSROOMS: usize = 200;
/// Slower than this is no line that a voice gets through, faster no line that a school has.
const RATES: std::ops::RangeInclusive<u64> = 50_000..=10_000_000_000;

/// What one gives to create or change a school.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SchoolDraft {
    /// What it is called; no two schools are called the same.
    pub name: String,
    /// Its district.
    pub county: Option<String>,
    /// The name of its line's tier; `None` = the usual one.
    pub tier: Option<String>,
    /// What its line is sold as towards the school, where that isn't the tier's.
    pub nominal: Option<Bitrate>,
    /// The part of it that lessons may use, above 0 and up to 1, where that isn't the tier's.
    pub share: Option<f32>,
    /// What a check of the line measured.
    pub measured: Option<Bitrate>,
}

/// Why a draft is no school.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SchoolError {
    /// Nothing but space in the name.
    #[error("the name is empty")]
    NoName,
    /// A text is too long to be shown.
    #[error("{field} has {length} characters; at most {NAME_LIMIT} are shown")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// How long it is.
        length: usize,
    },
    /// No share of a line.
    #[error("share has to be above 0 and at most 1, not {0}")]
    Share(f32),
    /// No rate of a line.
    #[error("{field} has to be {} to {} bit/s, not {rate}", RATES.start(), RATES.end())]
    Rate {
        /// Which rate.
        field: &'static str,
        /// What it was, in bits per second.
        rate: u64,
    },
}

/// A classroom of a school.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classroom {
    /// Its id.
    pub id: ClassroomId,
    /// What it is called; no two of a school are called the same.
    pub name: String,
}

/// One school.
#[derive(Debug, Clone, PartialEq)]
pub struct School {
    /// Its id.
    pub id: SchoolId,
    /// What it is called.
    pub name: String,
    /// Its district.
    pub county: Option<String>,
    /// The name of its line's tier.
    pub tier: Option<String>,
    /// What its line is sold as, where that isn't the tier's.
    pub nominal: Option<Bitrate>,
    /// The part of it that lessons may use, where that isn't the tier's.
    pub share: Option<f32>,
    /// What a check of the line measured.
    pub measured: Option<Bitrate>,
    /// When that was told.
    pub measured_at: Option<OffsetDateTime>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    pub updated_at: OffsetDateTime,
}

impl School {
    /// A new school.
    ///
    /// # Errors
    /// [`SchoolError`] says what doesn't fit.
    pub fn new(draft: SchoolDraft, now: OffsetDateTime) -> Result<Self, SchoolError> {
        let mut school = Self {
            id: SchoolId::random(),
            name: String::new(),
            county: None,
            tier: None,
            nominal: None,
            share: None,
            measured: None,
            measured_at: None,
            created_at: now,
            updated_at: now,
        };
        school.change(draft, now)?;
        Ok(school)
    }

    /// Become what the draft says, whole: what it leaves out is unsaid from now on.
    ///
    /// # Errors
    /// [`SchoolError`] says what doesn't fit; nothing has changed then.
    pub fn change(&mut self, draft: SchoolDraft, now: OffsetDateTime) -> Result<(), SchoolError> {
        let SchoolDraft { name, county, tier, nominal, share, measured } = draft;
        let name = text("name", Some(name))?.ok_or(SchoolError::NoName)?;
        let (county, tier) = (text("county", county)?, text("tier", tier)?);
        rate("nominal_rate", nominal)?;
        rate("measured_rate", measured)?;
        if let Some(share) = share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(SchoolError::Share(share));
        }
        if measured != self.measured {
            self.measured_at = measured.map(|_| now);
        }
        let (id, measured_at, created_at) = (self.id, self.measured_at, self.created_at);
        *self = Self { id, name, county, tier, nominal, share, measured, measured_at, created_at, updated_at: now };
        Ok(())
    }

    /// What its line may carry, as far as it was said.
    #[must_use]
    pub fn nominal_line(&self) -> LineNominal {
        LineNominal { tier: self.tier.clone(), nominal: self.nominal, share: self.share, measured: self.measured }
    }
}

/// The name of a classroom, as it is kept.
///
/// # Errors
/// [`SchoolError::NoName`] or [`SchoolError::TooLong`].
pub fn classroom_name(name: String) -> Result<String, SchoolError> {
    text("name", Some(name))?.ok_or(SchoolError::NoName)
}

fn text(field: &'static str, text: Option<String>) -> Result<Option<String>, SchoolError> {
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match text.as_ref().map(|text| text.chars().count()) {
        Some(length) if length > NAME_LIMIT => Err(SchoolError::TooLong { field, length }),
        _ => Ok(text),
    }
}

fn rate(field: &'static str, rate: Option<Bitrate>) -> Result<(), SchoolError> {
    match rate.map(Bitrate::bps) {
        Some(rate) if !RATES.contains(&rate) => Err(SchoolError::Rate { field, rate }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const MONDAY: OffsetDateTime = datetime!(2026-11-23 08:00 UTC);
    const TUESDAY: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn draft() -> SchoolDraft {
        SchoolDraft { name: " 河棚镇中心小学 ".into(), tier: Some("4M".into()), ..SchoolDraft::default() }
    }

    #[test]
    fn a_measured_rate_keeps_its_time_until_another_is_told() {
        let measured = SchoolDraft { measured: Some(Bitrate::from_bps(3_100_000)), ..draft() };
        let mut school = School::new(measured.clone(), MONDAY).expect("it has a name");
        assert_eq!((school.name.as_str(), school.measured_at), ("河棚镇中心小学", Some(MONDAY)));
        school.change(SchoolDraft { county: Some("舒城".into()), ..measured }, TUESDAY).expect("it fits");
        assert_eq!((school.measured_at, school.updated_at), (Some(MONDAY), TUESDAY));
        school.change(draft(), TUESDAY).expect("it fits");
        assert_eq!((school.measured_at, school.county), (None, None), "what is left out is unsaid");
    }

    #[test]
    fn what_no_line_is_changes_nothing() {
        let mut school = School::new(draft(), MONDAY).expect("it has a name");
        let before = school.clone();
        for wrong in [
            SchoolDraft { name: " ".into(), ..draft() },
            SchoolDraft { name: "校".repeat(81), ..draft() },
            SchoolDraft { share: Some(0.0), ..draft() },
            SchoolDraft { share: Some(f32::NAN), ..draft() },
            SchoolDraft { share: Some(1.1), ..draft() },
            SchoolDraft { nominal: Some(Bitrate::from_bps(4)), ..draft() },
        ] {
            assert!(school.change(wrong.clone(), TUESDAY).is_err(), "{wrong:?}");
        }
        assert_eq!(school, before);
    }
}
