//! What a receiver makes of recorded RTP packets.

use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use mingshi_media::demo::ladder::VideoCodec;
use mingshi_media::demo::picture::Picture;
use mingshi_media::demo::time_code;
use rtc::rtp::codec::h264::H264Packet;
use rtc::rtp::codec::vp8::Vp8Packet;
use rtc::rtp::packetizer::Depacketizer;

use crate::answerer::Stream;

const IDR: u8 = 5;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;

/// How many keyframes of an H.264 stream have begun to arrive so far.
pub(crate) fn keyframes(stream: &Stream) -> usize {
    let begins_idr = |payload: &[u8]| match payload[0] & 0x1f {
        IDR => true,
        FU_A => payload[1] & FU_START != 0 && payload[1] & 0x1f == IDR,
        _ => false,
    };
    stream.packets.iter().filter(|(_, packet)| begins_idr(&packet.payload)).count()
}

/// The decoded pictures with their RTP timestamps.
pub(crate) fn pictures(codec: VideoCodec, stream: &Stream) -> Vec<(u32, Picture)> {
    let decoder = match codec {
        VideoCodec::H264 => "caps=video/x-h264,stream-format=byte-stream,alignment=au ! h264parse ! avdec_h264",
        VideoCodec::Vp8 => "caps=video/x-vp8 ! vp8dec",
    };
    let frames = frames(codec, stream);
    let samples = decode(
        &format!(
            "appsrc name=source format=time {decoder} ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink sync=false"
        ),
        &frames,
    );
    let mut pictures = Vec::new();
    for sample in samples {
        let caps = sample.caps().and_then(|caps| caps.structure(0)).expect("raw video has caps");
        let side = |name| caps.get::<i32>(name).expect("a picture has sides") as usize;
        let buffer = sample.buffer().expect("a picture");
        let index = buffer.pts().expect("a time").mseconds() as usize;
        let planes = buffer.map_readable().expect("readable").to_vec();
        pictures.push((
            frames[index].0,
            Picture::from_planes(side("width"), side("height"), planes).expect("tightly packed"),
        ));
    }
    pictures
}

/// The RTP timestamp of a voice packet and how long after it the first burst of the second that follows begins.
pub(crate) fn burst_onset(stream: &Stream) -> Option<(u32, Duration)> {
    // The encoder's very first packet is cut short by its lookahead; whoever measures begins later.
    let packets: Vec<_> =
        stream.packets.iter().skip(5).map(|(_, packet)| (packet.header.timestamp, packet.payload.to_vec())).collect();
    let source = "appsrc name=source format=time caps=audio/x-opus,channel-mapping-family=0,channels=1,rate=48000";
    let pipeline = format!(
        "{source} ! opusdec ! audioconvert ! audio/x-raw,format=F32LE,rate=48000,channels=1 ! appsink name=sink sync=false"
    );
    let samples: Vec<f32> = decode(&pipeline, &packets)
        .iter()
        .flat_map(|sample| {
            let map = sample.buffer().expect("sound").map_readable().expect("readable");
            map.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>()
        })
        .collect();
    let first = packets.first()?.0;
    // Correlate with the burst of each of the eight pitches; the best place of all is an onset.
    let best = (0..8)
        .flat_map(|second| {
            let burst = time_code::burst(second, 1.0);
            let reach = samples.len().saturating_sub(burst.len());
            let samples = &samples;
            (0..reach).step_by(4).map(move |at| {
                let (mut sine, mut power) = (0.0f32, 1e-3f32);
                for (a, b) in burst.iter().zip(&samples[at..]) {
                    sine += a * b;
                    power += b * b;
                }
                (at, sine / power.sqrt())
            })
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((first, Duration::from_secs_f64(best.0 as f64 / 48_000.0)))
}

/// Frames with their timestamps, up to the first packet that a busy machine's socket lost.
fn frames(codec: VideoCodec, stream: &Stream) -> Vec<(u32, Vec<u8>)> {
    let mut depacketiser: Box<dyn Depacketizer> = match codec {
        VideoCodec::H264 => Box::new(H264Packet::default()),
        VideoCodec::Vp8 => Box::new(Vp8Packet::default()),
    };
    let mut frames = Vec::new();
    let mut frame = Vec::new();
    let mut expected = stream.packets.first().map(|(_, packet)| packet.header.sequence_number);
    for (_, packet) in &stream.packets {
        if expected != Some(packet.header.sequence_number) {
            break;
        }
        expected = Some(packet.header.sequence_number.wrapping_add(1));
        frame.extend_from_slice(&depacketiser.depacketize(&packet.payload).expect("a valid payload"));
        if packet.header.marker {
            frames.push((packet.header.timestamp, std::mem::take(&mut frame)));
        }
    }
    frames
}

/// Feed frame after frame, a millisecond apart, and take what comes out.
fn decode(description: &str, frames: &[(u32, Vec<u8>)]) -> Vec<gst::Sample> {
    let pipeline =
        gst::parse::launch(description).expect("a pipeline").downcast::<gst::Pipeline>().expect("a pipeline");
    let source: gst_app::AppSrc = pipeline.by_name("source").expect("named").downcast().expect("an appsrc");
    let sink: gst_app::AppSink = pipeline.by_name("sink").expect("named").downcast().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    for (index, (_, data)) in frames.iter().enumerate() {
        let mut buffer = gst::Buffer::from_slice(data.clone());
        buffer.get_mut().expect("only owner").set_pts(gst::ClockTime::from_mseconds(index as u64));
        source.push_buffer(buffer).expect("it takes frames");
    }
    source.end_of_stream().expect("it ends");
    let mut samples = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
        samples.push(sample);
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    samples
}
