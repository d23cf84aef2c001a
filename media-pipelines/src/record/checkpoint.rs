//! Where a recorder goes on after it was killed: a place in the journal, and everything it knew there.
//!
//! What a recorder writes is a function of the journal alone, so the run that follows writes the same octets once more to
//! the same places, from the checkpoint on, and nothing is lost or doubled.

use std::fs;
use std::io;
use std::path::Path;

use mingshi_journal::Position;
use serde::{Deserialize, Serialize};

use super::files_on_disk;
use super::lesson::Lesson;

/// The checkpoint's file in a recording's folder.
pub(super) const FILE: &str = "checkpoint.json";
/// A checkpoint of another version is no good: the recording is made anew from the journal.
const VERSION: u32 = 2;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Checkpoint<L> {
    version: u32,
    pub(super) position: Position,
    pub(super) lesson: L,
}

/// Write the checkpoint of `lesson` in `folder`. What it relies on must be on disk before.
pub(super) fn write(folder: &Path, position: Position, lesson: &Lesson) -> io::Result<()> {
    let octets = serde_json::to_vec(&Checkpoint { version: VERSION, position, lesson })?;
    files_on_disk::replace(&folder.join(FILE), &octets, true)
}

/// The checkpoint in `folder`, if there is one that can be used.
pub(super) fn read(folder: &Path) -> Option<Checkpoint<Lesson>> {
    let octets = fs::read(folder.join(FILE)).ok()?;
    let checkpoint: Checkpoint<Lesson> = serde_json::from_slice(&octets).ok()?;
    (checkpoint.version == VERSION).then_some(checkpoint)
}

/// Octets as text, in base 64: JSON would make a list of numbers of them, four times as long.
pub(super) mod octets {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use bytes::Bytes;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::record) fn serialize<S: Serializer>(octets: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(octets))
    }

    pub(in crate::record) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        STANDARD_NO_PAD.decode(text.as_ref()).map(Bytes::from).map_err(D::Error::custom)
    }
}
