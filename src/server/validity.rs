//! From when to when a certificate is valid: the one field of X.509 that is needed here (RFC 5280 §4.1.2.5).

use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// The span in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first moment.
    pub not_before: OffsetDateTime,
    /// Its last moment.
    pub not_after: OffsetDateTime,
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The validity of a certificate in DER, or none if it is no certificate.
pub(super) fn of(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = any(fields)?.2;
    }
    let (span, _) = element(fields, SEQUENCE)?;
    let (not_before, rest) = moment(span)?;
    let (not_after, _) = moment(rest)?;
    Some(Validity { not_before, not_after })
}

/// The first element's tag and content, and what follows it (X.690 §8.1, definite lengths only, as DER has).
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    any(bytes).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

fn moment(bytes: &[u8]) -> Option<(OffsetDateTime, &[u8])> {
    const FORMAT: &[FormatItem<'_>] = format_description!("[year][month][day][hour][minute][second]Z");
    let (tag, content, rest) = any(bytes)?;
    let text = std::str::from_utf8(content).ok()?;
    let text = match tag {
        // Two digits stand for 1950 to 2049.
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    PrimitiveDateTime::parse(&text, FORMAT).ok().map(|moment| (moment.assume_utc(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert_eq, proptest};
    use rcgen::{CertificateParams, KeyPair};
    use time::macros::datetime;

    #[test]
    fn the_span_is_read_from_a_certificate() {
        let (not_before, not_after) = (datetime!(2026-11-24 08:00 UTC), datetime!(2060-01-02 03:04:05 UTC));
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (not_before, not_after);
        let certificate = params.self_signed(&key).expect("a certificate");
        assert_eq!(of(certificate.der()), Some(Validity { not_before, not_after }));
    }

    proptest! {
        #[test]
        fn what_is_no_certificate_has_no_span(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..64)) {
            prop_assert_eq!(of(&bytes), None);
        }
    }
}
