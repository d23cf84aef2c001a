//! The variant that every player knows: H.264 and AAC. Pictures that are H.264 already are copied.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use gstreamer as gst;
use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor};
use mp4_atom::{Audio, Avc1, Codec, Esds, Mp4a, Visual};

use super::super::assemble::{SILENCE, begin_with_the_lesson, settle_parameter_sets};
use super::super::dvr::octets_of;
use super::super::h264::ParameterSets;
use super::super::movie::{Kind, Place, Sample, Track, scale};
use super::super::verify;
use super::super::{mp4, write};
use super::ConvertError;
use super::pipeline::{self, Packet};
use super::still::decoder;
use super::throttle::Throttle;

/// Nanoseconds in a second, as a clock rate.
const NANOSECONDS: u32 = 1_000_000_000;
/// A keyframe at least this often, so that jumping is quick.
const PICTURES_BETWEEN_KEYFRAMES: u32 = 60;
/// Samples in a frame of AAC.
const AAC_FRAME: u32 = 1_024;
/// Samples that the encoder puts in front of the first one that it was given.
const AAC_PRIMING: u64 = 1_024;
/// Bits a second for one channel of speech.
const AAC_BITRATE: u32 = 64_000;
/// Samples in a packet of Opus that stands for a missing one, at 48 kHz.
const SILENCE_LENGTH: u64 = 960;
/// Sample rate of Opus and of the voice in AAC.
const SAMPLE_RATE: u32 = 48_000;

/// Make `to` of the pictures of `from` and the voice of `voice`, or else of the first of `from`.
pub(super) fn make(from: &[PathBuf], voice: Option<&Path>, to: &Path, throttle: Throttle) -> Result<(), ConvertError> {
    let first = from.first().ok_or(ConvertError::Nothing)?;
    let mut movie = verify::open(first)?.movie;
    let sound = match voice {
        Some(voice) => verify::open(voice)?.movie.track(Kind::Audio).cloned(),
        None => movie.track(Kind::Audio).cloned(),
    };
    let mut work = Work { sources: Vec::new(), to, throttle };
    let mut pictures = None;
    for from in from {
        if let Some(track) = verify::open(from)?.movie.track(Kind::Video) {
            let track = work.pictures(from, &without_stand_in(from, track)?)?;
            pictures = Some(merged(pictures, track));
        }
    }
    movie.tracks.clear();
    if let Some(mut track) = pictures {
        track.close_up();
        begin_with_the_lesson(&mut track);
        settle_parameter_sets(&mut track, &work.sources)?;
        movie.tracks.push(track);
    }
    if let Some(sound) = sound {
        movie.tracks.push(work.sound(voice.unwrap_or(first), &sound)?);
    }
    let layout = mp4::layout(&movie)?;
    write::write_movie(to, &layout, &work.sources)?;
    work.clean();
    Ok(())
}

/// A track without the picture that stands in front of a late first one, which is the same.
fn without_stand_in(from: &Path, track: &Track) -> Result<Track, ConvertError> {
    let mut track = track.clone();
    if let [first, second, ..] = track.samples.as_slice()
        && first.place.size == second.place.size
    {
        let source = [from.to_owned()];
        if octets_of(&source, first.place)? == octets_of(&source, second.place)? {
            track.samples.remove(0);
        }
    }
    Ok(track)
}

/// Two halves of a track that changed its codec, as one.
fn merged(track: Option<Track>, mut other: Track) -> Track {
    let Some(mut track) = track else { return other };
    other.rescale(track.timescale);
    // The larger pictures name the size.
    let area =
        |track: &Track| track.entry.visual().map_or(0, |visual| u32::from(visual.width) * u32::from(visual.height));
    if area(&other) > area(&track) {
        track.entry = other.entry;
    }
    track.samples.append(&mut other.samples);
    track.samples.sort_by_key(|sample| sample.decode);
    track
}

/// A variant in the making.
struct Work<'a> {
    /// The files that samples lie in.
    sources: Vec<PathBuf>,
    to: &'a Path,
    throttle: Throttle,
}

impl Work<'_> {
    /// The pictures of `from` in H.264.
    fn pictures(&mut self, from: &Path, track: &Track) -> Result<Track, ConvertError> {
        if matches!(track.entry, Codec::Avc1(_) | Codec::Avc3(_)) {
            return Ok(self.copied(from, track));
        }
        let (decoder, caps) = decoder(&track.entry)?;
        let visual = track.entry.visual().ok_or(ConvertError::Nothing)?;
        // Colour is kept for every second pixel: sizes are even.
        let (width, height) = (visual.width.next_multiple_of(2), visual.height.next_multiple_of(2));
        let chain = format!(
            "{decoder} ! videoconvert ! videoscale add-borders=true ! \
             video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1 ! \
             x264enc speed-preset=veryfast pass=qual quantizer=23 bframes=0 key-int-max={PICTURES_BETWEEN_KEYFRAMES} \
             threads={} ! h264parse config-interval=-1 ! video/x-h264,stream-format=avc3,alignment=au",
            self.throttle.threads()
        );
        let mut out = self.work_file("pictures")?;
        let mut samples: Vec<Sample> = Vec::new();
        let mut sets = None;
        let input = packets(from, track);
        pipeline::run(&chain, &caps, self.throttle, input, |packet, _| {
            if sets.is_none() {
                sets = ParameterSets::in_band(&packet.octets).filter(|sets| !sets.is_empty());
            }
            let decode = scale(packet.at, NANOSECONDS, track.timescale);
            samples.push(out.append(&packet.octets, decode, packet.key)?);
            Ok(true)
        })?;
        out.finish()?;
        let avcc = sets.and_then(|sets| sets.configuration()).ok_or(ConvertError::Nothing)?;
        let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
        let entry = Codec::Avc1(Avc1 {
            visual,
            avcc,
            btrt: None,
            colr: None,
            pasp: None,
            taic: None,
            fiel: None,
            spatial: None,
        });
        // The last picture lasts as long as it did.
        if let (Some(last), Some(original)) = (samples.last_mut(), track.samples.last()) {
            last.duration = original.duration;
        }
        Ok(Track { kind: Kind::Video, timescale: track.timescale, entry, skip: 0, samples })
    }

    /// The voice of `from` in AAC.
    fn sound(&mut self, from: &Path, track: &Track) -> Result<Track, ConvertError> {
        let opus = match &track.entry {
            Codec::Mp4a(_) => return Ok(self.copied(from, track)),
            Codec::Opus(opus) => opus,
            _ => return Err(ConvertError::Unknown("this encoding of sound")),
        };
        let channels = opus.dops.output_channel_count.clamp(1, 2);
        let caps = gst::Caps::builder("audio/x-opus")
            .field("rate", SAMPLE_RATE as i32)
            .field("channels", i32::from(channels))
            .field("channel-mapping-family", 0)
            .build();
        let chain = format!(
            "opusdec ! audioconvert ! audioresample ! audio/x-raw,rate={SAMPLE_RATE},channels={channels} ! \
             avenc_aac bitrate={} ! audio/mpeg,mpegversion=4,stream-format=raw",
            AAC_BITRATE * u32::from(channels)
        );
        let mut out = self.work_file("voice")?;
        let mut samples: Vec<Sample> = Vec::new();
        let mut configuration = None;
        let start = scale(track.start(), track.timescale, SAMPLE_RATE);
        pipeline::run(&chain, &caps, self.throttle, gapless(from, track), |packet, caps| {
            if configuration.is_none() {
                configuration = codec_data(caps);
            }
            let decode = start + samples.len() as u64 * u64::from(AAC_FRAME);
            samples.push(out.append(&packet.octets, decode, true)?);
            Ok(true)
        })?;
        out.finish()?;
        samples.iter_mut().for_each(|sample| sample.duration = AAC_FRAME);
        let entry = aac(channels, configuration.ok_or(ConvertError::Nothing)?);
        Ok(Track { kind: Kind::Audio, timescale: SAMPLE_RATE, entry, skip: AAC_PRIMING, samples })
    }

    /// A track whose samples stay as they are.
    fn copied(&mut self, from: &Path, track: &Track) -> Track {
        let mut track = track.clone();
        for sample in &mut track.samples {
            sample.place.file = self.sources.len() as u32;
        }
        self.sources.push(from.to_owned());
        track
    }

    /// A file beside the result for what was encoded.
    fn work_file(&mut self, what: &str) -> Result<WorkFile, ConvertError> {
        let number = self.sources.len() as u32;
        let mut path = self.to.as_os_str().to_owned();
        path.push(format!(".{what}-{number}"));
        self.sources.push(path.clone().into());
        Ok(WorkFile { file: BufWriter::new(File::create(path)?), number, offset: 0 })
    }

    /// Remove the files beside the result.
    fn clean(&self) {
        let ours =
            |path: &&PathBuf| path.as_os_str().as_encoded_bytes().starts_with(self.to.as_os_str().as_encoded_bytes());
        for path in self.sources.iter().filter(ours) {
            // What stays is removed by the next run.
            let _ = std::fs::remove_file(path);
        }
    }
}

struct WorkFile {
    file: BufWriter<File>,
    number: u32,
    offset: u64,
}

impl WorkFile {
    fn append(&mut self, octets: &[u8], decode: u64, key: bool) -> Result<Sample, ConvertError> {
        self.file.write_all(octets)?;
        let place = Place { file: self.number, offset: self.offset, size: octets.len() as u32 };
        self.offset += octets.len() as u64;
        Ok(Sample { decode, duration: 1, shift: 0, key, place })
    }

    fn finish(mut self) -> Result<(), ConvertError> {
        Ok(self.file.flush()?)
    }
}

/// The samples of a track as they go into a decoder.
fn packets<'a>(from: &'a Path, track: &'a Track) -> impl Iterator<Item = Result<Packet, ConvertError>> + Send + 'a {
    let source = [from.to_owned()];
    track.samples.iter().map(move |sample| {
        let octets = octets_of(&source, sample.place)?;
        let shown = sample.decode.saturating_add_signed(sample.shift.into());
        Ok(Packet { octets, at: scale(shown, track.timescale, NANOSECONDS), key: sample.key })
    })
}

/// The packets of a voice without a hole: encoders count samples and know no other time.
fn gapless<'a>(from: &'a Path, track: &'a Track) -> impl Iterator<Item = Result<Packet, ConvertError>> + Send + 'a {
    let source = [from.to_owned()];
    let mut given = 0_u64;
    let mut samples = track.samples.iter().peekable();
    std::iter::from_fn(move || {
        loop {
            let sample = samples.peek()?;
            let due = scale(sample.decode - track.start(), track.timescale, SAMPLE_RATE);
            let at = scale(given, SAMPLE_RATE, NANOSECONDS);
            if due >= given + SILENCE_LENGTH {
                given += SILENCE_LENGTH;
                return Some(Ok(Packet { octets: SILENCE.to_vec(), at, key: true }));
            }
            let octets = octets_of(&source, sample.place);
            samples.next();
            let octets = match octets {
                Ok(octets) => octets,
                Err(error) => return Some(Err(error.into())),
            };
            let length = opus_length(&octets);
            if given >= due + length.max(1) {
                // There is more sound than time: what was heard twice is left out.
                continue;
            }
            given += length;
            return Some(Ok(Packet { octets, at, key: true }));
        }
    })
}

/// How many samples at 48 kHz a packet of Opus holds (RFC 6716 §3.1).
fn opus_length(packet: &[u8]) -> u64 {
    let Some(toc) = packet.first() else { return 0 };
    let configuration = toc >> 3;
    let frame = match configuration {
        0..12 => [480, 960, 1_920, 2_880][usize::from(configuration & 3)],
        12..16 => [480, 960][usize::from(configuration & 1)],
        _ => [120, 240, 480, 960][usize::from(configuration & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1).map_or(0, |count| count & 0x3f)),
    };
    frame * frames
}

fn codec_data(caps: &gst::CapsRef) -> Option<Vec<u8>> {
    let buffer = caps.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    Some(buffer.map_readable().ok()?.to_vec())
}

fn aac(channels: u8, configuration: Vec<u8>) -> Codec {
    let dec_specific = DecoderSpecific { profile: 2, freq_index: 3, chan_conf: channels, raw: configuration };
    let bitrate = AAC_BITRATE * u32::from(channels);
    let dec_config = DecoderConfig {
        object_type_indication: 0x40,
        stream_type: 5,
        up_stream: 0,
        max_bitrate: bitrate,
        avg_bitrate: bitrate,
        dec_specific: Some(dec_specific),
        ..DecoderConfig::default()
    };
    let audio = Audio {
        data_reference_index: 1,
        channel_count: channels.into(),
        sample_size: 16,
        // The field holds whole hertz.
        sample_rate: (SAMPLE_RATE as u16).into(),
    };
    let es_desc = EsDescriptor { dec_config, ..EsDescriptor::default() };
    Codec::Mp4a(Mp4a { audio, esds: Esds { es_desc }, btrt: None, taic: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_of_opus_says_how_long_it_is() {
        assert_eq!(opus_length(&SILENCE), SILENCE_LENGTH);
        assert_eq!(opus_length(&[1 << 3]), 960);
        assert_eq!(opus_length(&[30 << 3 | 3, 3]), 3 * 480);
        assert_eq!(opus_length(&[]), 0);
    }
}
