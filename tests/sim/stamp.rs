//! What a simulated payload says of itself, so that a receiver knows what it should have got.

/// Octets of a stamp at the end of a payload.
pub const LENGTH: usize = 22;

/// One packet's place in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the track, unique in the story.
    pub track: u16,
    pub layer: u8,
    /// How often the publisher began this stream anew.
    pub life: u8,
    pub frame: u32,
    /// Place in the frame, and the frame's packets.
    pub index: u8,
    pub count: u8,
    pub keyframe: bool,
    /// When the frame was made, plus the least its way to the server takes: nanoseconds on the server's clock.
    pub due_nanos: i64,
}

impl Stamp {
    fn pattern(&self) -> u8 {
        (self.frame as u8).wrapping_mul(31).wrapping_add(self.index)
    }

    /// Appends filler up to `length` octets of payload, stamp included, and the stamp.
    pub fn write(&self, payload: &mut Vec<u8>, length: usize) {
        let fill = length.saturating_sub(payload.len() + LENGTH);
        payload.resize(payload.len() + fill, self.pattern());
        payload.extend(self.track.to_be_bytes());
        payload.extend([self.layer, self.life]);
        payload.extend(self.frame.to_be_bytes());
        payload.extend([self.index, self.count, u8::from(self.keyframe), 0]);
        payload.extend((fill as u16).to_be_bytes());
        payload.extend(self.due_nanos.to_be_bytes());
    }

    /// Reads the stamp and checks that what comes before it is as it was made.
    pub fn read(payload: &[u8]) -> Self {
        let (before, stamp) = payload.split_at(payload.len() - LENGTH);
        let stamp: &[u8; LENGTH] = stamp.try_into().expect("split at its length");
        let read = Self {
            track: u16::from_be_bytes([stamp[0], stamp[1]]),
            layer: stamp[2],
            life: stamp[3],
            frame: u32::from_be_bytes([stamp[4], stamp[5], stamp[6], stamp[7]]),
            index: stamp[8],
            count: stamp[9],
            keyframe: stamp[10] == 1,
            due_nanos: i64::from_be_bytes(stamp[14..].try_into().expect("eight octets are left")),
        };
        let fill = usize::from(u16::from_be_bytes([stamp[12], stamp[13]]));
        let filler = &before[before.len() - fill..];
        assert!(filler.iter().all(|&octet| octet == read.pattern()), "a payload was altered: {read:?}");
        read
    }
}
