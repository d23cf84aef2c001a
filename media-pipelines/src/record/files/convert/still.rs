//! Single pictures.

use std::path::Path;

use gstreamer as gst;
use mp4_atom::{Codec, Encode};

use super::super::dvr::octets_of;
use super::super::movie::{Kind, Sample, Track, scale};
use super::super::verify;
use super::ConvertError;
use super::pipeline::{self, Packet};
use super::throttle::Throttle;

/// The size of a poster: as wide as a card in a library is drawn on a sharp screen.
const POSTER: &str = "video/x-raw,width=960,height=540,pixel-aspect-ratio=1/1";

/// Elements that decode a track, and what they are fed.
pub(super) fn decoder(entry: &Codec) -> Result<(&'static str, gst::Caps), ConvertError> {
    let (avcc, stream_format) = match entry {
        Codec::Avc1(entry) => (&entry.avcc, "avc"),
        Codec::Avc3(entry) => (&entry.avcc, "avc3"),
        Codec::Av01(entry) => {
            let caps = gst::Caps::builder("video/x-av1")
                .field("stream-format", "obu-stream")
                .field("alignment", "tu")
                .field("width", i32::from(entry.visual.width))
                .field("height", i32::from(entry.visual.height))
                .field("framerate", gst::Fraction::new(0, 1))
                .build();
            return Ok(("av1dec", caps));
        }
        _ => return Err(ConvertError::Unknown("this encoding of pictures")),
    };
    let mut record = Vec::new();
    avcc.encode(&mut record).map_err(super::super::mp4::Mp4Error::from)?;
    // What GStreamer wants is the record without its box.
    let record = gst::Buffer::from_slice(record.split_off(8.min(record.len())));
    let caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", stream_format)
        .field("alignment", "au")
        .field("codec_data", record)
        .build();
    Ok(("h264parse ! avdec_h264 max-threads=1", caps))
}

/// Write a JPEG of the keyframe that lies nearest to `at_ms`.
pub(super) fn poster(from: &Path, at_ms: u64, to: &Path) -> Result<(), ConvertError> {
    let movie = verify::open(from)?.movie;
    let track = movie.track(Kind::Video).ok_or(ConvertError::Nothing)?;
    let wanted = scale(at_ms, 1_000, track.timescale);
    let nearest = track.samples.iter().filter(|sample| sample.key).min_by_key(|key| key.decode.abs_diff(wanted));
    let scaled = format!("videoconvert ! videoscale add-borders=true ! {POSTER} ! jpegenc quality=85");
    let picture = decoded(from, track, nearest.ok_or(ConvertError::Nothing)?, &scaled)?;
    Ok(std::fs::write(to, picture)?)
}

/// Decode the first and the last keyframe.
pub(super) fn check(from: &Path) -> Result<(), ConvertError> {
    let movie = verify::open(from)?.movie;
    let Some(track) = movie.track(Kind::Video) else { return Ok(()) };
    let keys = || track.samples.iter().filter(|sample| sample.key);
    for key in keys().next().into_iter().chain(keys().next_back()) {
        decoded(from, track, key, "identity")?;
    }
    Ok(())
}

/// What `chain` makes of the picture of one keyframe.
fn decoded(from: &Path, track: &Track, key: &Sample, chain: &str) -> Result<Vec<u8>, ConvertError> {
    let (decoder, caps) = decoder(&track.entry)?;
    let octets = octets_of(&[from.to_owned()], key.place)?;
    let packet = Packet { octets, at: 0, key: true };
    let mut picture = None;
    let chain = format!("{decoder} ! {chain}");
    pipeline::run(&chain, &caps, Throttle::new(1.0), std::iter::once(Ok(packet)), |packet, _| {
        picture = Some(packet.octets);
        Ok(false)
    })?;
    picture.ok_or(ConvertError::Nothing)
}
