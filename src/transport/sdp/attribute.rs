//! What `a=` lines say.

use rtc_sdp::description::common::Attribute;

/// Which way an offerer wants the media of an m-line to go, as it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Both,
    Send,
    Receive,
    Inactive,
}

/// An attribute's value, empty for a flag.
pub(super) fn value(attribute: &Attribute) -> &str {
    attribute.value.as_deref().unwrap_or("").trim()
}

/// The values of every attribute named `key`.
pub(super) fn values<'a>(attributes: &'a [Attribute], key: &'a str) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter(move |a| a.key == key).map(value)
}

/// Whether there is an attribute named `key`.
pub(super) fn has(attributes: &[Attribute], key: &str) -> bool {
    attributes.iter().any(|a| a.key == key)
}

/// The direction said among `attributes`.
pub(super) fn read_direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|a| match a.key.as_str() {
        "sendrecv" => Some(Direction::Both),
        "sendonly" => Some(Direction::Send),
        "recvonly" => Some(Direction::Receive),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}
