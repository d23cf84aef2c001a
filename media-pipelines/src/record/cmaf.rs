//! The octets of CMAF files (ISO/IEC 23000-19): an initialisation segment of one track, and parts of media segments.
//!
//! The same samples give the same octets, whenever and by whichever run of the recorder they are written.

use bytes::{BufMut, Bytes, BytesMut};
use mp4_atom::{
    Audio, Av01, Av1c, Avc3, Avcc, Codec, Dinf, Dops, Dref, DrefEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Mfhd,
    Minf, Moof, Moov, Mvex, Mvhd, Opus, Smhd, Stbl, Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry,
    TrunSamples, Url, Visual, Vmhd,
};

use super::depacketise::{Format, av1, h264, opus};
use super::folder::NON_SYNC;

/// Ticks in a second of every track of pictures.
pub(super) const PICTURE_RATE: u32 = 90_000;
/// Set in a sample's flags when nothing else is needed to decode it, and when something is.
const ALONE: u32 = 0x0200_0000;
const DEPENDENT: u32 = 0x0100_0000;
const TRACK: u32 = 1;
/// Samples that Opus decoders need before their output is right: 80 ms would be the advice for a file's beginning, but
/// live sound has no beginning, and what is skipped here would shift it against the pictures.
const PRE_SKIP: u16 = 0;

/// What an initialisation segment is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// Sound in Opus.
    Voice,
    /// Pictures.
    Pictures(&'a Format),
}

/// One sample of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) duration: u32,
    pub(super) is_keyframe: bool,
    pub(super) data: Bytes,
}

/// An initialisation segment; `None` of VP8, which has no place in these files.
pub(super) fn init(content: Content<'_>) -> Option<Bytes> {
    let (width, height) = match content {
        Content::Voice => (0, 0),
        Content::Pictures(format) => format.size(),
    };
    let sides = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    let (timescale, handler, codec) = match content {
        Content::Voice => (opus::RATE, b"soun", voice_entry()),
        Content::Pictures(Format::H264(parameters)) => (PICTURE_RATE, b"vide", h264_entry(parameters, sides)),
        Content::Pictures(Format::Av1(parameters)) => (PICTURE_RATE, b"vide", av1_entry(parameters, sides)),
        Content::Pictures(Format::Vp8(..)) => return None,
    };
    let is_voice = matches!(content, Content::Voice);
    let minf = Minf {
        vmhd: (!is_voice).then(Vmhd::default),
        smhd: is_voice.then(Smhd::default),
        dinf: Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } },
        stbl: Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() },
        ..Minf::default()
    };
    let moov = Moov {
        mvhd: Mvhd { timescale, rate: 1.into(), volume: 1.into(), next_track_id: TRACK + 1, ..Mvhd::default() },
        mvex: Some(Mvex { mehd: None, trex: vec![trex()] }),
        trak: vec![Trak {
            tkhd: Tkhd {
                track_id: TRACK,
                enabled: true,
                in_movie: true,
                volume: u8::from(is_voice).into(),
                width: sides.0.into(),
                height: sides.1.into(),
                ..Tkhd::default()
            },
            mdia: Mdia {
                mdhd: Mdhd { timescale, language: "und".into(), ..Mdhd::default() },
                hdlr: Hdlr { handler: FourCC::new(handler), name: String::new() },
                minf,
            },
            ..Trak::default()
        }],
        ..Moov::default()
    };
    let brands = [b"iso6", b"cmfc"].into_iter().chain((!is_voice).then_some(b"cmf2"));
    let ftyp = Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: brands.map(FourCC::new).collect(),
    };
    let mut octets = Vec::new();
    ftyp.encode(&mut octets).ok()?;
    moov.encode(&mut octets).ok()?;
    Some(Bytes::from(octets))
}

/// One part: samples that follow each other from `decode_time` on, as fragment `number` of its rendition.
pub(super) fn part(number: u32, decode_time: u64, samples: &[Sample]) -> Bytes {
    let length = samples.iter().map(|sample| sample.data.len()).sum::<usize>();
    let entry = |sample: &Sample| TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.data.len() as u32),
        flags: Some(if sample.is_keyframe { ALONE } else { DEPENDENT | NON_SYNC }),
        cts: None,
    };
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number: number },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: TRACK, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: decode_time }),
            trun: vec![Trun {
                data_offset: Some(0),
                samples: TrunSamples::Explicit(samples.iter().map(entry).collect()),
            }],
            ..Traf::default()
        }],
    };
    let mut head = Vec::new();
    // The offset's value doesn't change how long the fragment's head is, so it is encoded twice.
    for _ in 0..2 {
        moof.traf[0].trun[0].data_offset = i32::try_from(head.len() + 8).ok();
        head.clear();
        if moof.encode(&mut head).is_err() {
            return Bytes::new();
        }
    }
    let mut octets = BytesMut::with_capacity(head.len() + 8 + length);
    octets.put_slice(&head);
    octets.put_u32(length as u32 + 8);
    octets.put_slice(b"mdat");
    samples.iter().for_each(|sample| octets.put_slice(&sample.data));
    octets.freeze()
}

const fn trex() -> Trex {
    Trex {
        track_id: TRACK,
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: 0,
    }
}

fn visual((width, height): (u16, u16)) -> Visual {
    Visual {
        data_reference_index: 1,
        width,
        height,
        horizresolution: 72.into(),
        vertresolution: 72.into(),
        frame_count: 1,
        compressor: "".into(),
        depth: 24,
    }
}

fn voice_entry() -> Codec {
    Codec::Opus(Opus {
        audio: Audio {
            data_reference_index: 1,
            channel_count: 2,
            sample_size: 16,
            sample_rate: (opus::RATE as u16).into(),
        },
        dops: Dops {
            output_channel_count: 2,
            pre_skip: PRE_SKIP,
            input_sample_rate: opus::RATE,
            output_gain: 0,
            channel_mapping: None,
        },
        btrt: None,
    })
}

/// The parameter sets travel with the pictures and stand in the sample entry too: some decoders want them before they
/// have seen a picture.
fn h264_entry(parameters: &h264::Parameters, sides: (u16, u16)) -> Codec {
    let [profile, constraints, level] = parameters.profile_and_level();
    Codec::Avc3(Avc3 {
        visual: visual(sides),
        avcc: Avcc {
            configuration_version: 1,
            avc_profile_indication: profile,
            profile_compatibility: constraints,
            avc_level_indication: level,
            length_size: 4,
            sequence_parameter_sets: vec![parameters.sequence_set.to_vec()],
            picture_parameter_sets: vec![parameters.picture_set.to_vec()],
            ext: None,
        },
        btrt: None,
        colr: None,
        pasp: None,
        taic: None,
        fiel: None,
        spatial: None,
    })
}

fn av1_entry(parameters: &av1::Parameters, sides: (u16, u16)) -> Codec {
    Codec::Av01(Av01 {
        visual: visual(sides),
        av1c: Av1c {
            seq_profile: parameters.profile,
            seq_level_idx_0: parameters.level,
            seq_tier_0: parameters.tier,
            high_bitdepth: parameters.high_bit_depth,
            twelve_bit: parameters.twelve_bit,
            monochrome: parameters.monochrome,
            chroma_subsampling_x: parameters.subsampling.0,
            chroma_subsampling_y: parameters.subsampling.1,
            chroma_sample_position: parameters.sample_position,
            initial_presentation_delay: None,
            config_obus: parameters.header.to_vec(),
        },
        btrt: None,
        ccst: None,
        colr: None,
        pasp: None,
        taic: None,
        spatial: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::folder::{RecordedSample, whole_samples};

    fn samples() -> Vec<Sample> {
        let sample = |duration, is_keyframe, data: &'static [u8]| Sample {
            duration,
            is_keyframe,
            data: Bytes::from_static(data),
        };
        vec![sample(6_000, true, b"first"), sample(5_999, false, b"second"), sample(6_001, false, b"third")]
    }

    #[test]
    fn what_is_written_reads_back_sample_by_sample() {
        let first = part(1, 1 << 33, &samples());
        let mut file = first.to_vec();
        file.extend_from_slice(&part(2, (1 << 33) + 18_000, &samples()[..1]));
        let read = whole_samples(&file);
        let octets: Vec<_> =
            read.iter().map(|one| &file[one.offset as usize..one.offset as usize + one.size as usize]).collect();
        assert_eq!(octets, [&b"first"[..], b"second", b"third", b"first"]);
        let times: Vec<_> = read.iter().map(|one| (one.decode_time - (1 << 33), one.duration, one.keyframe)).collect();
        assert_eq!(times, [(0, 6_000, true), (6_000, 5_999, false), (11_999, 6_001, false), (18_000, 6_000, true)]);
        let torn = whole_samples(&file[..file.len() - 1]);
        assert_eq!(torn, read[..3].to_vec() as Vec<RecordedSample>, "a torn part is left out");
    }

    #[test]
    fn pictures_that_have_no_place_here_have_no_initialisation_segment() {
        assert!(init(Content::Voice).is_some());
        assert!(init(Content::Pictures(&Format::Vp8(640, 360))).is_none());
    }
}
