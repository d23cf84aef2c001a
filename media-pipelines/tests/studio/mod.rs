//! A studio that writes a lesson into a journal: pictures with a time code, a voice with a tone on every whole second.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use mingshi_journal::{Anchor, Closed, Codec, End, Kind, Opened, Packet, Record, Source, SourceEnded, Writer};
use mingshi_media::clock::UnixTime;
use mingshi_media::demo::picture::Picture;
use mingshi_media::demo::time_code;
use rtc::rtp::codec::av1::Av1Payloader;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;

/// When every lesson begins, in milliseconds since 1970: a whole second.
pub(crate) const BEGIN_MS: i64 = 1_795_512_345_000;
/// Pictures a second.
pub(crate) const FRAME_RATE: u64 = 15;
/// What the line takes.
const DELAY_MS: i64 = 40;
/// What a retransmission takes.
const REPAIR_MS: i64 = 250;
const PAYLOAD: usize = 1_130;

/// One encoding of a camera.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    pub(crate) codec: Codec,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) kbits: u32,
}

/// What happens to packets on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing.
    Good,
    /// Every so many-th is lost and repaired.
    Repaired(u64),
    /// This one is lost for good.
    Loses(u64),
}

/// A journal in the making.
#[derive(Debug, Default)]
pub(crate) struct Studio {
    /// How late the first packets come; three seconds later all are in time.
    busy_ms: i64,
    begins_ms: Option<i64>,
    records: Vec<(i64, Record)>,
    sequences: BTreeMap<(u16, u8), u64>,
}

impl Studio {
    /// One whose first packets come so late.
    pub(crate) fn busy(busy_ms: i64) -> Self {
        Self { busy_ms, ..Self::default() }
    }

    pub(crate) fn opens(&mut self, at_ms: i64) {
        let opened = Opened {
            lesson: "lesson".into(),
            title: "English".into(),
            teacher: None,
            subject: None,
            grade: None,
            at: nanos(at_ms),
        };
        self.add(at_ms, Record::Opened(opened));
    }

    pub(crate) fn publishes(&mut self, number: u16, source: &str, kind: Kind, layers: usize, at_ms: i64) {
        let rids = (0..layers).map(|layer| format!("r{layer}")).collect();
        let source = Source {
            number,
            publication: format!("p{number}"),
            participant: "studio".into(),
            end: End::Studio,
            source: source.into(),
            kind,
            rids,
            at: nanos(at_ms),
        };
        self.add(at_ms, Record::Source(source));
    }

    pub(crate) fn goes(&mut self, number: u16, at_ms: i64) {
        self.add(at_ms, Record::SourceEnded(SourceEnded { number, at: nanos(at_ms) }));
    }

    pub(crate) fn closes(&mut self, at_ms: i64) {
        self.add(at_ms, Record::Closed(Closed { at: nanos(at_ms) }));
    }

    /// Speak between these milliseconds of the lesson.
    pub(crate) fn speaks(&mut self, number: u16, from_ms: i64, to_ms: i64) {
        for (ms, data) in speech(from_ms, to_ms) {
            let timestamp = (ms * 48 + 77_000) as u32;
            self.send(number, 0, Codec::Opus, ms, timestamp, &[Bytes::from(data)], Line::Good);
        }
        // Voices report later than pictures do.
        let first_ms = from_ms + if self.busy_ms > 0 { 2_500 } else { 700 };
        self.anchors(number, 0, 48, 77_000, first_ms, to_ms);
    }

    /// Show pictures between these milliseconds of the lesson, a keyframe every four seconds.
    pub(crate) fn shows(&mut self, number: u16, index: u8, layer: Layer, from_ms: i64, to_ms: i64, line: Line) {
        let mut payloader: Box<dyn Payloader> = match layer.codec {
            Codec::H264 => Box::new(H264Payloader::default()),
            Codec::Vp8 => Box::new(Vp8Payloader::default()),
            Codec::Av1 => Box::new(Av1Payloader::default()),
            Codec::Opus => panic!("no pictures"),
        };
        let offset = 4_294_000_000 + i64::from(index) * 1_000;
        for (ms, data) in film(layer, from_ms, to_ms) {
            let payloads = payloader.payload(PAYLOAD, &Bytes::from(data)).expect("whole pictures");
            self.send(number, index, layer.codec, ms, (ms * 90 + offset) as u32, &payloads, line);
        }
        self.anchors(number, index, 90, offset, from_ms + 700, to_ms);
    }

    /// Make every picture of VP8 say that its first partition is longer than all of it.
    pub(crate) fn spoils(&mut self) {
        for (_, record) in &mut self.records {
            if let Record::Packet(packet) = record
                && packet.codec == Codec::Vp8
                && packet.payload[0] & 0x10 != 0
            {
                let mut payload = packet.payload.to_vec();
                payload[1] |= 0xe0;
                payload[2..4].fill(0xff);
                packet.payload = payload.into();
            }
        }
    }

    fn anchors(&mut self, source: u16, layer: u8, per_ms: i64, offset: i64, first_ms: i64, to_ms: i64) {
        for ms in (first_ms..to_ms).step_by(5_000) {
            let timestamp = (ms * per_ms + offset) as u32;
            let anchor = Anchor { source, layer, timestamp, unix_nanos: nanos(ms) };
            self.add(ms + DELAY_MS, Record::Anchor(anchor));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a packet has as many sides")]
    fn send(&mut self, source: u16, layer: u8, codec: Codec, ms: i64, timestamp: u32, payloads: &[Bytes], line: Line) {
        for (index, payload) in payloads.iter().enumerate() {
            let sequence = self.sequences.entry((source, layer)).or_insert(60_000);
            *sequence += 1;
            let (sequence, sent) = (*sequence, *sequence - 60_000);
            let jitter = (sent * 7_919 % 13) as i64;
            let begins_ms = *self.begins_ms.get_or_insert(ms);
            let busy = self.busy_ms * (3_000 - (ms - begins_ms)).max(0) / 3_000;
            let mut arrival_ms = ms + DELAY_MS + jitter + busy;
            match line {
                Line::Loses(number) if sent == number => continue,
                Line::Repaired(every) if sent % every == 0 => arrival_ms += REPAIR_MS,
                _ => {}
            }
            let packet = Packet {
                source,
                layer,
                codec,
                marker: codec != Codec::Opus && index + 1 == payloads.len(),
                sequence,
                timestamp,
                arrival: nanos(arrival_ms),
                payload: payload.clone(),
            };
            self.add(arrival_ms, Record::Packet(packet));
        }
    }

    fn add(&mut self, at_ms: i64, record: Record) {
        self.records.push((at_ms, record));
    }

    /// The records in order of their arrival.
    pub(crate) fn records(mut self) -> Vec<(i64, Record)> {
        self.records.sort_by_key(|(at_ms, _)| *at_ms);
        self.records
    }

    /// Write the journal of the lesson in `folder`.
    pub(crate) fn writes(self, folder: &Path) {
        let mut writer = Writer::open(&folder.join("journal"), nanos(0)).expect("a folder");
        for (_, record) in self.records() {
            writer.append(&record).expect("a record");
        }
        writer.flush().expect("a disk");
    }
}

fn nanos(ms: i64) -> i64 {
    (BEGIN_MS + ms) * 1_000_000
}

/// The moments of pictures between these milliseconds, as ticks of the frame rate make them.
pub(crate) fn moments(from_ms: i64, to_ms: i64) -> Vec<i64> {
    let all = (0..).map(|frame: i64| frame * 1_000 / FRAME_RATE as i64);
    all.skip_while(|ms| *ms < from_ms).take_while(|ms| *ms < to_ms).collect()
}

fn film(layer: Layer, from_ms: i64, to_ms: i64) -> Vec<(i64, Vec<u8>)> {
    gst::init().expect("GStreamer");
    let Layer { width, height, kbits, .. } = layer;
    let key = 4 * FRAME_RATE;
    let encoder = match layer.codec {
        Codec::H264 => format!(
            "x264enc speed-preset=ultrafast tune=zerolatency threads=1 sliced-threads=false bframes=0 bitrate={kbits} \
             key-int-max={key} byte-stream=true option-string=scenecut=0 \
             ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au"
        ),
        Codec::Vp8 => format!(
            "vp8enc deadline=1 cpu-used=16 threads=1 lag-in-frames=0 end-usage=cbr target-bitrate={} keyframe-max-dist={key}",
            kbits * 1_000
        ),
        _ => format!(
            "av1enc usage-profile=realtime cpu-used=10 lag-in-frames=0 threads=2 target-bitrate={kbits} keyframe-max-dist={key} \
             ! video/x-av1,stream-format=obu-stream,alignment=tu"
        ),
    };
    let description = format!(
        "appsrc name=source format=time caps=video/x-raw,format=I420,width={width},height={height},framerate={FRAME_RATE}/1 \
         ! {encoder} ! appsink name=sink sync=false"
    );
    let moments = moments(from_ms, to_ms);
    let pictures = moments.iter().map(|ms| {
        let mut picture = Picture::black(width, height);
        let side = height / 4;
        let (left, side) = ((*ms as usize / 10) % (width - side), side & !1);
        picture.fill(left & !1, side, side, side, 180);
        time_code::write(&mut picture, UnixTime::from_nanos(nanos(*ms) as u64));
        picture.into_planes()
    });
    encode(&description, pictures.enumerate().map(|(index, data)| (index as u64 * 1_000 / FRAME_RATE, data)))
        .into_iter()
        .enumerate()
        .map(|(index, (_, data))| (moments[index], data))
        .collect()
}

/// Packets of a voice that is silent but for a tone at the beginning of every second.
fn speech(from_ms: i64, to_ms: i64) -> Vec<(i64, Vec<u8>)> {
    gst::init().expect("GStreamer");
    let packets = (from_ms..to_ms).step_by(20).map(|ms| {
        let unix_ms = BEGIN_MS + ms;
        let samples: Vec<i16> = if unix_ms % 1_000 == 0 {
            time_code::burst((unix_ms / 1_000) as u64, 0.5).iter().map(|one| (one * 32_767.0) as i16).collect()
        } else {
            vec![0; 960]
        };
        ((ms - from_ms) as u64, samples.iter().flat_map(|one| one.to_le_bytes()).collect())
    });
    let description = "appsrc name=source format=time caps=audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved \
         ! opusenc bitrate=32000 frame-size=20 ! appsink name=sink sync=false";
    let coded = encode(description, packets);
    coded.into_iter().enumerate().map(|(index, (_, data))| (from_ms + index as i64 * 20, data)).collect()
}

fn encode(description: &str, input: impl Iterator<Item = (u64, Vec<u8>)>) -> Vec<(u64, Vec<u8>)> {
    let pipeline = gst::parse::launch(description).expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let source: gst_app::AppSrc = pipeline.by_name("source").expect("named").downcast().expect("an appsrc");
    let sink: gst_app::AppSink = pipeline.by_name("sink").expect("named").downcast().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    for (ms, data) in input {
        let mut buffer = gst::Buffer::from_slice(data);
        buffer.get_mut().expect("only owner").set_pts(gst::ClockTime::from_mseconds(ms));
        source.push_buffer(buffer).expect("it takes what it gets");
    }
    source.end_of_stream().expect("it ends");
    let mut out = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        let buffer = sample.buffer().expect("a buffer");
        out.push((buffer.pts().map_or(0, gst::ClockTime::mseconds), buffer.map_readable().expect("readable").to_vec()));
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    out
}
