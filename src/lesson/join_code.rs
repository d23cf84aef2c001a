//! The six digits that let a classroom into a lesson.

use std::fmt;
use std::str::FromStr;

/// A text that is not six digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a join code has six digits")]
pub struct NotACode;

/// Six digits, unique among the lessons that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JoinCode(u32);

const COUNT: u32 = 1_000_000;

impl JoinCode {
    /// A new random code; whether another lesson has it is for the store to say.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random_range(0..COUNT))
    }
}

impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl FromStr for JoinCode {
    type Err = NotACode;

    /// Reads six digits; spaces between them are how people write codes down and are left out.
    fn from_str(text: &str) -> Result<Self, NotACode> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()) {
            digits.parse().map(Self).map_err(|_| NotACode)
        } else {
            Err(NotACode)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        for text in ["004217", "004 217", " 004-217 "] {
            assert_eq!(text.parse::<JoinCode>().map(|c| c.to_string()), Ok("004217".into()), "{text}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for text in ["", "12345", "1234567", "12345a", "１２３４５６"] {
            assert_eq!(text.parse::<JoinCode>(), Err(NotACode), "{text}");
        }
    }
}
