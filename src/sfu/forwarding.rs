//! From a batch of one publication to the forwards of one slot, and where a slot's media time stands on the server's clock.

use std::time::Instant;

use slab::Slab;

use crate::rtp::packet_cache::Entry;

use super::output::Forward;
use super::publication::{Publication, Source};
use super::subscription::Slot;

/// The packet of a source, if it is still held in the life in which it was sent.
pub(super) fn held(publications: &Slab<Publication>, source: Source, sequence: u64) -> Option<&Entry> {
    publications.get(source.publication as usize)?.layer(source)?.cache.get(sequence)
}

/// The instant of a source's media time on the server's clock, nanoseconds.
pub(super) fn instant(publications: &Slab<Publication>, source: Source, timestamp: u32) -> Option<i64> {
    let layer = publications.get(source.publication as usize)?.layer(source)?;
    layer.timeline.map(|timeline| timeline.unix_nanos(timestamp))
}

/// Time on the server's clock from what last went out in a slot to `timestamp` of `source`.
pub(super) fn gap_nanos(slot: &Slot, publications: &Slab<Publication>, source: Source, timestamp: u32) -> Option<i64> {
    let (last, last_timestamp) = slot.last_in()?;
    let before = instant(publications, last, last_timestamp).or(slot.frozen())?;
    Some(instant(publications, source, timestamp)? - before)
}

/// Forwards what came of a publication to one slot; at a keyframe of the target layer the slot changes over. Returns whether it did.
pub(super) fn forward_pending(
    slot: &mut Slot,
    key: usize,
    publication: &Publication,
    publications: &Slab<Publication>,
    latest: Option<Instant>,
    forwards: &mut Vec<Forward>,
) -> bool {
    if let Some(source) = slot.current() {
        let layer = &publication.layers[usize::from(source.layer)];
        // A replay takes from the cache what is still before it, and these packets are there too.
        let live = slot.replay().map_or(u64::MAX, |replay| replay.next);
        for entry in layer.pending.iter().filter(|&&sequence| sequence < live).filter_map(|&one| layer.cache.get(one)) {
            forwards.extend(slot.forward(entry));
            if entry.keyframe_start {
                slot.served(latest);
            }
        }
    }
    let Some(target) = slot.awaited() else { return false };
    let layer = &publication.layers[usize::from(target)];
    let mut entries = layer.pending.iter().filter_map(|&sequence| layer.cache.get(sequence));
    if !entries.any(|entry| entry.keyframe_start) {
        return false;
    }
    // The picture's first packet may have come late, after others of it.
    let Some(first) = layer.group.and_then(|group| layer.cache.get(group.sequence)) else { return false };
    let source = publication.source(key, target);
    let gap = gap_nanos(slot, publications, source, first.timestamp);
    slot.begin(source, first, publication, gap, false);
    slot.served(latest);
    for entry in (first.sequence..=layer.cache.highest()).filter_map(|sequence| layer.cache.get(sequence)) {
        forwards.extend(slot.forward(entry));
    }
    true
}
