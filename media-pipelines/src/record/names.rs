//! What things are called: layers by number, tracks and renditions by the names of their folders.

use mingshi_journal::Kind;

use super::pictures::{LayerKey, Level};
use super::voice;

/// Names a layer of a source.
pub(super) const fn key(source: u16, layer: u8) -> LayerKey {
    (source as u32) << 8 | layer as u32
}

/// The source of a layer.
pub(super) const fn source_of(key: LayerKey) -> u16 {
    (key >> 8) as u16
}

/// A track's name is a folder's, and some words are taken.
pub(super) fn track_name(kind: Kind, source: &str) -> String {
    if kind == Kind::Voice {
        return voice::NAME.to_owned();
    }
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    let name: String = source.chars().take(32).map(plain).collect();
    if name.is_empty() || name == voice::NAME { format!("{name}_pictures") } else { name }
}

/// The track and the level of a rendition.
pub(super) fn split_name(rendition: &str) -> Option<(String, Level)> {
    let (track, level) = rendition.rsplit_once('/')?;
    let level = Level::BOTH.into_iter().find(|known| known.name() == level)?;
    Some((track.to_owned(), level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_named_as_its_source_as_far_as_a_folder_may_be() {
        assert_eq!(track_name(Kind::Video, "camera"), "camera");
        assert_eq!(track_name(Kind::Video, "../x"), "___x");
        assert_eq!(track_name(Kind::Video, "voice"), "voice_pictures");
        assert_eq!(track_name(Kind::Voice, "camera"), "voice");
        assert_eq!(split_name("camera/low"), Some(("camera".into(), Level::Low)));
        assert_eq!(source_of(key(7, 2)), 7);
    }
}
