//! What is published: one voice, and the encodings of the camera and of the slides.
//!
//! The camera has three sizes. The slides have two frame rates at the same size, because shrinking makes text unreadable.

/// Frames per second at which the pictures of the lesson are made.
pub const FRAME_RATE: u32 = 15;
/// Length of one voice packet in milliseconds.
pub const VOICE_PACKET_MS: u32 = 20;
/// Bits per second of the voice.
pub const VOICE_BITRATE: u32 = 32_000;

/// Which m-line an encoding belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The teacher's voice.
    Voice,
    /// The teacher's picture.
    Camera,
    /// The computer's screen.
    Slides,
}

/// How video is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum VideoCodec {
    /// H.264, constrained baseline (RFC 6184).
    H264,
    /// VP8 (RFC 7741).
    Vp8,
}

/// One encoding of a video source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// What it shows.
    pub source: Source,
    /// Its restriction id (RFC 8851).
    pub rid: &'static str,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Frames per second; a divisor of [`FRAME_RATE`].
    pub frame_rate: u32,
    /// Target in bits per second.
    pub bitrate: u32,
}

const fn camera(rid: &'static str, height: usize, bitrate: u32) -> Layer {
    Layer { source: Source::Camera, rid, width: height * 16 / 9, height, frame_rate: FRAME_RATE, bitrate }
}

const fn slides(rid: &'static str, frame_rate: u32, bitrate: u32) -> Layer {
    Layer { source: Source::Slides, rid, width: 1920, height: 1080, frame_rate, bitrate }
}

/// Every video encoding, the lowest of each source first.
pub const LAYERS: [Layer; 5] = [
    camera("l", 180, 150_000),
    camera("m", 360, 400_000),
    camera("h", 720, 1_200_000),
    slides("lo", 5, 300_000),
    slides("hi", FRAME_RATE, 1_500_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_is_fed_by_whole_frames_of_the_common_rate_and_has_square_cells_for_the_time_code() {
        for layer in LAYERS {
            assert_eq!(FRAME_RATE % layer.frame_rate, 0, "{layer:?}");
            assert_eq!((layer.width % 40, layer.width * 9), (0, layer.height * 16), "{layer:?}");
        }
    }

    #[test]
    fn each_camera_layer_is_half_the_next_so_that_scaling_averages_whole_pixels() {
        let widths: Vec<_> = LAYERS.iter().filter(|l| l.source == Source::Camera).map(|l| l.width).collect();
        assert!(widths.windows(2).all(|pair| 2 * pair[0] == pair[1]), "{widths:?}");
    }
}
