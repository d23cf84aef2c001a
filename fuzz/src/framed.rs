//! Datagrams on TCP.

use std::time::Duration;

use mingshi::transport::framing::{Class, Deframer, FrameQueue, MAX_DATAGRAM, URGENT_ROOM, VIDEO_ROOM, frame};
use mingshi::worker::clock;

/// A stream in pieces says the same as whole.
pub(crate) fn deframe(data: &[u8]) {
    let read = |size: usize| {
        let (mut deframer, mut datagrams) = (Deframer::default(), Vec::new());
        for piece in data.chunks(size) {
            deframer.extend(piece);
            loop {
                match deframer.next_datagram() {
                    Ok(Some(datagram)) => {
                        assert!((1..=MAX_DATAGRAM).contains(&datagram.len()));
                        datagrams.push(datagram.to_vec());
                    }
                    Ok(None) => break,
                    Err(_) => return (datagrams, true),
                }
            }
        }
        (datagrams, false)
    };
    let whole = read(data.len().max(1));
    assert_eq!(read(1), whole);
    assert_eq!(read(7), whole);
    let mut again = Vec::new();
    whole.0.iter().for_each(|datagram| frame(datagram, &mut again));
    assert!(again.len() <= data.len(), "datagrams out of nowhere");
}

/// Whatever is pushed and however slowly it is written: the room is bounded and the stream stays readable.
pub(crate) fn queue(data: &[u8]) {
    let (mut queue, mut now, mut written) = (FrameQueue::default(), clock::now(), Vec::new());
    for step in data.chunks_exact(3) {
        let class = if step[0] & 1 == 0 { Class::Urgent } else { Class::Video };
        let datagram = vec![step[0]; 1 + usize::from(step[1]) * 5];
        queue.push(now, class, &datagram);
        assert!(queue.octets() <= VIDEO_ROOM + URGENT_ROOM + 2 * MAX_DATAGRAM, "{} octets wait", queue.octets());
        now += Duration::from_millis(u64::from(step[2]));
        let head = queue.head();
        let length = head.len().min(usize::from(step[2]) * 8);
        written.extend_from_slice(&head[..length]);
        queue.written(length);
        let _ = queue.take_recovered();
    }
    let mut deframer = Deframer::default();
    deframer.extend(&written);
    while let Some(datagram) = deframer.next_datagram().expect("frames of ours") {
        assert!(datagram.windows(2).all(|pair| pair[0] == pair[1]), "datagrams are mixed up");
    }
}
