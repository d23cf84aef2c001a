//! What a router tells of its publications.

use std::time::Duration;

use super::*;
use crate::id::{ConnectionId, SourceName};
use crate::rtp::codec::Codec;
use crate::sfu::input::{End, MediaKind};

#[test]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
fn a_steady_publication_tells_its_rate() {
    let start = Instant::now();
    let mut router = Router::new(ServerClock::new(start, 0));
    let spec = PublicationSpec {
        id: PublicationId::random(),
        lesson: LessonId::random(),
        participant: ParticipantId::random(),
        connection: ConnectionId::random_on(0),
        end: End::Studio,
        source: SourceName::camera(),
        kind: MediaKind::Voice,
        rids: Vec::new(),
        since: start,
    };
    let key = router.add_publication(spec, start);
    let mut told = 0;
    for step in 0..400u32 {
        let now = start + Duration::from_millis(20) * step;
        let payload = &[0; 100];
        let (sequence, timestamp) = (70_000 + u64::from(step), step * 960);
        let packet = Inbound { codec: Codec::Opus, sequence, timestamp, marker: false, payload };
        router.ingest(key, 0, &packet, now).expect("every packet is new");
        while router.flush() {
            router.sent();
        }
        router.measure(now);
        while let Some(output) = router.poll_output() {
            if let Output::Publication { report, .. } = output {
                told = report.layers[0].bitrate;
            }
        }
    }
    assert!((38_000..42_000).contains(&told), "100 octets every 20 ms are 40 kbit/s: {told}");
}
