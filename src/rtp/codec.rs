//! The codecs that are forwarded, and what tells one from another.

/// A payload format, with what decides whether a receiver can decode it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// Redundant Opus (RFC 2198).
    Red,
    /// VP8 (RFC 7741).
    Vp8,
    /// H.264, packetization-mode 1 (RFC 6184).
    H264(H264Profile),
    /// AV1 (AV1 RTP specification 1.0).
    Av1,
}

/// An H.264 profile; the level is not part of the match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum H264Profile {
    /// What every decoder plays: profile_idc 66 with constraint_set1, as browsers send it; and plain baseline, which is taken for it.
    ConstrainedBaseline,
    /// profile_idc 77.
    Main,
    /// profile_idc 100, constrained high included.
    High,
}

impl Codec {
    /// The RTP clock, ticks per second.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus | Self::Red => 48_000,
            Self::Vp8 | Self::H264(_) | Self::Av1 => 90_000,
        }
    }

    /// Whether this is sound.
    #[must_use]
    pub const fn is_voice(self) -> bool {
        matches!(self, Self::Opus | Self::Red)
    }

    /// The name that signalling uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus | Self::Red => "opus",
            Self::Vp8 => "vp8",
            Self::H264(_) => "h264",
            Self::Av1 => "av1",
        }
    }

    /// Whether a receiver that negotiated `self` can decode `sent`.
    #[must_use]
    pub fn decodes(self, sent: Self) -> bool {
        match (self, sent) {
            (Self::H264(able), Self::H264(sent)) => able >= sent,
            (able, sent) => able == sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_profile_decodes_a_lower_one() {
        let high = Codec::H264(H264Profile::High);
        let baseline = Codec::H264(H264Profile::ConstrainedBaseline);
        assert!(high.decodes(baseline));
        assert!(!baseline.decodes(high));
        assert!(!Codec::Vp8.decodes(baseline));
    }
}
