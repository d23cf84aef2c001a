//! RTP payloads of one picture put together to what a file holds: [`h264`] with length prefixes, [`av1`] with sizes in its
//! units, [`vp8`] as it is; and what a packet of sound ([`opus`]) lasts.

pub(super) mod av1;
pub(super) mod bits;
pub(super) mod h264;
pub(super) mod opus;
pub(super) mod vp8;

use bytes::Bytes;
use mingshi_journal::Codec;
use serde::{Deserialize, Serialize};

/// How pictures from a keyframe on are encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Format {
    /// H.264.
    H264(h264::Parameters),
    /// AV1.
    Av1(av1::Parameters),
    /// VP8 pictures of this width and height.
    Vp8(u32, u32),
}

/// One whole picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// As a file holds it.
    pub(super) data: Bytes,
    /// How it is encoded, of a keyframe: decoding can begin here.
    pub(super) format: Option<Format>,
}

/// Whether this payload can only be the first of its picture, and begins one that decoding may begin with.
pub(super) fn begins(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264::begins(payload),
        Codec::Vp8 => vp8::begins(payload),
        Codec::Av1 => av1::begins(payload),
        Codec::Opus => true,
    }
}

impl Format {
    /// Width and height in pixels.
    pub(super) const fn size(&self) -> (u32, u32) {
        match self {
            Self::H264(parameters) => (parameters.width, parameters.height),
            Self::Av1(parameters) => (parameters.width, parameters.height),
            Self::Vp8(width, height) => (*width, *height),
        }
    }

    /// As in RFC 6381.
    pub(super) fn codec(&self) -> String {
        match self {
            Self::H264(parameters) => parameters.codec(),
            Self::Av1(parameters) => parameters.codec(),
            Self::Vp8(..) => "vp8".to_owned(),
        }
    }

    /// Whether pictures of this format may follow an initialisation segment of `other`: parameter sets travel with the
    /// pictures, so only what a decoder is chosen by must be the same.
    pub(super) fn follows(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::H264(one), Self::H264(other)) => one.profile() == other.profile(),
            (Self::Av1(one), Self::Av1(other)) => one.kind() == other.kind(),
            (Self::Vp8(..), Self::Vp8(..)) => true,
            _ => false,
        }
    }
}
