//! What a token says.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Duration, OffsetDateTime};

use crate::id::{LessonId, ParseError, ParticipantId, SourceName};
use crate::lesson::{Identity, Role, Viewer};
use crate::store::OperatorKeyId;

/// Which sources a participant may publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publish {
    /// Any: written `["*"]`.
    Any,
    /// These; none of them is the empty list.
    These(BTreeSet<SourceName>),
}

impl Default for Publish {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Publish {
    /// From source names or `*`.
    ///
    /// # Errors
    /// [`ParseError::Source`] when one of them is no source name.
    pub fn parse<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, ParseError> {
        let names: Vec<S> = names.into_iter().collect();
        if names.iter().any(|name| name.as_ref() == "*") {
            return Ok(Self::Any);
        }
        names.iter().map(|name| name.as_ref().parse()).collect::<Result<_, _>>().map(Self::These)
    }

    /// Whether this source is among them.
    #[must_use]
    pub fn allows(&self, source: &SourceName) -> bool {
        match self {
            Self::Any => true,
            Self::These(names) => names.contains(source),
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::These(names) if names.is_empty())
    }
}

impl Serialize for Publish {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => ["*"].serialize(serializer),
            Self::These(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Publish {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Vec::<String>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The claims of a token (RFC 7519 §4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Always `mingshi`.
    pub iss: String,
    /// Issued, seconds since the Unix epoch.
    pub iat: i64,
    /// Expires, seconds since the Unix epoch.
    pub exp: i64,
    /// The participant; a renewed token keeps it.
    pub sub: ParticipantId,
    /// What the participant is.
    pub role: Role,
    /// The one lesson it is good for; operators have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesson: Option<LessonId>,
    /// Which sources it may publish.
    #[serde(default, skip_serializing_if = "Publish::is_none")]
    pub publish: Publish,
    /// Whether it may receive.
    #[serde(default)]
    pub subscribe: bool,
    /// Shown to the studio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its school, by id or name of the roster, or as it is to be shown: the link group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub school: Option<String>,
    /// Of an operator: the key it came with; a token of a retired key is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<OperatorKeyId>,
    /// Of a viewer: whether it may keep the recording.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub download: bool,
}

impl Claims {
    /// Who the holder is, for the others in the lesson.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { participant: self.sub, role: self.role, name: self.name.clone(), school: self.school.clone() }
    }

    /// Who the holder is, as one who looks at a lesson.
    #[must_use]
    pub fn viewer(&self) -> Viewer {
        Viewer { participant: self.sub, role: self.role }
    }

    /// When a page that holds this token is to be given the next one: after two thirds of its life.
    #[must_use]
    pub fn renew_at(&self) -> OffsetDateTime {
        let issued = OffsetDateTime::from_unix_timestamp(self.iat).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        issued.checked_add(self.renew_after()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// How long after it was issued that is.
    #[must_use]
    pub fn renew_after(&self) -> Duration {
        Duration::seconds(self.exp.saturating_sub(self.iat).saturating_mul(2) / 3)
    }
}
