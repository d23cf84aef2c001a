//! Names of things: 64-bit random ids written as 13 characters of lower-case Crockford base32, and source names.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands for a client in limits: its IPv4 address, or the /64 network that whoever has one IPv6 address has whole.
#[must_use]
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 13;

/// Why a text is no id or source name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not 13 characters of Crockford base32 that fit 64 bits.
    #[error("an id has 13 characters of 0-9 and a-z without i, l, o, u")]
    Id,
    /// Not 1 to 32 of the allowed characters.
    #[error("a source name has 1 to 32 characters of a-z, 0-9, - and _")]
    Source,
}

fn encode(value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; LENGTH];
    for (index, slot) in text.iter_mut().enumerate() {
        *slot = ALPHABET[(value >> (5 * (LENGTH - 1 - index)) & 31) as usize];
    }
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

fn decode(text: &str) -> Result<u64, ParseError> {
    if text.len() != LENGTH {
        return Err(ParseError::Id);
    }
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|&a| a == byte).ok_or(ParseError::Id)?;
        value = value << 5 | digit as u128;
    }
    u64::try_from(value).map_err(|_| ParseError::Id)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u64);

        impl $name {
            /// A new random id.
            #[must_use]
            pub fn random() -> Self {
                Self(rand::random())
            }

            /// The id with this number.
            #[must_use]
            pub const fn from_u64(value: u64) -> Self {
                Self(value)
            }

            /// Its number.
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                decode(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A lesson: one live event and what remains of it.
    LessonId
);
id!(
    /// One endpoint in one lesson: a studio page, a classroom's device, a recorder host.
    ParticipantId
);
id!(
    /// One track that a participant sends into a lesson.
    PublicationId
);
id!(
    /// A school of the roster.
    SchoolId
);
id!(
    /// A classroom of a school of the roster.
    ClassroomId
);
id!(
    /// One WebRTC connection. Its lowest six bits name the worker that owns it.
    ConnectionId
);

/// How many workers a connection id can name.
pub const MAX_WORKERS: usize = 64;

impl ConnectionId {
    /// A new random id owned by `worker`.
    #[must_use]
    pub fn random_on(worker: usize) -> Self {
        debug_assert!(worker < MAX_WORKERS);
        Self(rand::random::<u64>() & !63 | (worker as u64 & 63))
    }

    /// The worker that owns this connection.
    #[must_use]
    pub const fn worker(self) -> usize {
        (self.0 & 63) as usize
    }
}

/// What a publisher calls a thing it sends: `camera`, `slides`, `pupils` or a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// The teacher's camera, and with it the teacher's voice.
    #[must_use]
    pub fn camera() -> Self {
        Self("camera".into())
    }

    /// The slides.
    #[must_use]
    pub fn slides() -> Self {
        Self("slides".into())
    }

    /// The slides once more, for those who can't decode the other ones.
    #[must_use]
    pub fn slides_backup() -> Self {
        Self("slides-backup".into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SourceName {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(ParseError::Source)
        }
    }
}

impl Serialize for SourceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_being_written_and_read() {
        for value in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = LessonId::from_u64(value);
            assert_eq!(id.to_string().len(), LENGTH);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "0", "zzzzzzzzzzzzz", "000000000000u", "00000000000000", "00000000000é"] {
            assert_eq!(text.parse::<LessonId>(), Err(ParseError::Id), "{text}");
        }
    }

    #[test]
    fn a_connection_names_its_worker() {
        assert_eq!(ConnectionId::random_on(5).worker(), 5);
        assert_eq!(ConnectionId::random_on(63).worker(), 63);
    }

    #[test]
    fn source_names_are_plain() {
        assert!("camera_2-b".parse::<SourceName>().is_ok());
        for text in ["", "Camera", "a b", "a/b", "摄像", &"x".repeat(33)] {
            assert!(text.parse::<SourceName>().is_err(), "{text}");
        }
    }
}
