//! One rendition's encoder: VP8 in, H.264 out, in GStreamer.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::queue::{Feed, Queue};
use crate::record::cmaf::PICTURE_RATE;
use crate::record::depacketise::{Picture, h264};
use crate::record::pictures::Level;

/// Pictures that are in the encoder at once: more would only use memory.
const IN_FLIGHT: usize = 30;
/// An encoder that has pictures and gives none for so long stands still.
const STALLED: Duration = Duration::from_secs(8);
/// So many pictures in a row that can't be decoded are a failure.
const UNDECODABLE: u32 = 15;
/// Kilobits a second at most.
const HIGH_KBITS: u32 = 4_000;
const LOW_KBITS: u32 = 480;

/// Why an encoder is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(in crate::record) enum EncoderError {
    /// It can't be set up.
    #[error("the encoder can't be set up: {0}")]
    SetUp(String),
    /// It failed.
    #[error("the encoder failed: {0}")]
    Failed(String),
    /// It stands still.
    #[error("the encoder has given nothing for {} s", STALLED.as_secs())]
    Stalled,
}

/// What was made of a picture.
#[derive(Debug)]
struct Made {
    time: u64,
    annex_b: Bytes,
}

/// A running encoder.
#[derive(Debug)]
pub(in crate::record) struct Encoder {
    pipeline: gst::Pipeline,
    input: gst_app::AppSrc,
    made: Receiver<Made>,
    sets: h264::Sets,
    in_flight: usize,
    /// Whether it was told that nothing more comes.
    is_ended: bool,
    /// When it was given something while it had nothing, or gave something.
    alive: Instant,
}

impl Encoder {
    /// Start one.
    pub(in crate::record) fn start(level: Level, now: Instant) -> Result<Self, EncoderError> {
        let failed = |error: &dyn std::fmt::Display| EncoderError::SetUp(error.to_string());
        gst::init().map_err(|error| failed(&error))?;
        let pipeline = gst::parse::launch(&description(level)).map_err(|error| failed(&error))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| failed(&"not a pipeline"))?;
        let named = |name| pipeline.by_name(name).ok_or_else(|| failed(&name));
        let input = named("input")?.downcast().map_err(|_| failed(&"input"))?;
        let output: gst_app::AppSink = named("output")?.downcast().map_err(|_| failed(&"output"))?;
        // As many as can be in the encoder, so it never waits here.
        let (sender, made) = sync_channel(2 * IN_FLIGHT);
        output.set_callbacks(callbacks(sender));
        pipeline.set_state(gst::State::Playing).map_err(|error| failed(&error))?;
        Ok(Self { pipeline, input, made, sets: h264::Sets::default(), in_flight: 0, is_ended: false, alive: now })
    }

    /// Give it what waits, take what it made, and put that, with its time, into `out`. It holds one picture back until the
    /// next one comes, or until it knows that none will (`is_end`). Returns whether it has made all that it ever will.
    pub(in crate::record) fn work(
        &mut self,
        queue: &mut Queue,
        is_end: bool,
        now: Instant,
        out: &mut Vec<(u64, Picture)>,
    ) -> Result<bool, EncoderError> {
        let bus = self.pipeline.bus();
        let has_ended = bus.as_ref().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Eos])).is_some();
        loop {
            match self.made.try_recv() {
                Ok(made) => {
                    self.alive = now;
                    self.in_flight = self.in_flight.saturating_sub(1);
                    if let Some(picture) = h264::picture(&units(&made.annex_b), &mut self.sets) {
                        out.push((made.time, picture));
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(EncoderError::Failed("its output is gone".into())),
            }
        }
        while self.in_flight < IN_FLIGHT
            && let Some(feed) = queue.feed()
        {
            if self.in_flight <= 1 {
                self.alive = now;
            }
            self.in_flight += 1;
            self.push(feed)?;
        }
        if is_end && queue.is_fed() && !std::mem::replace(&mut self.is_ended, true) {
            self.alive = now;
            self.input.end_of_stream().map_err(|error| EncoderError::Failed(error.to_string()))?;
        }
        if let Some(message) = bus.and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]))
            && let gst::MessageView::Error(error) = message.view()
        {
            return Err(EncoderError::Failed(error.error().to_string()));
        }
        if !has_ended
            && self.in_flight > usize::from(!self.is_ended)
            && now.saturating_duration_since(self.alive) > STALLED
        {
            return Err(EncoderError::Stalled);
        }
        Ok(has_ended)
    }

    fn push(&self, Feed { picture, wants_keyframe }: Feed) -> Result<(), EncoderError> {
        let time = gst::ClockTime::from_nseconds(nanoseconds(picture.time));
        if wants_keyframe {
            // Without a time it is for the buffer that follows. With one it would be ignored: x264enc moves its own times a
            // thousand hours on, and takes whatever lies before those for done.
            let event = gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(true).build();
            if !self.input.send_event(event) {
                return Err(EncoderError::Failed("it takes no wish for a keyframe".into()));
            }
        }
        let mut buffer = gst::Buffer::from_slice(picture.data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time);
            if !picture.is_keyframe {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.input.push_buffer(buffer).map(|_| ()).map_err(|error| EncoderError::Failed(error.to_string()))
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // It is thrown away; whether it stops in order is of no interest.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Quality decides and the rate is capped: slides that don't move cost nothing.
fn description(level: Level) -> String {
    let (quantiser, kbits) = match level {
        Level::High => (24, HIGH_KBITS),
        Level::Low => (28, LOW_KBITS),
    };
    format!(
        "appsrc name=input format=time caps=video/x-vp8 max-bytes=0 ! vp8dec max-errors={UNDECODABLE} ! videoconvert ! video/x-raw,format=I420 \
         ! x264enc speed-preset=ultrafast tune=zerolatency threads=1 sliced-threads=false bframes=0 aud=false \
         byte-stream=true key-int-max=1800 pass=qual quantizer={quantiser} bitrate={kbits} \
         ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au \
         ! appsink name=output sync=false"
    )
}

fn callbacks(sender: SyncSender<Made>) -> gst_app::AppSinkCallbacks {
    let deliver = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let made = made(&sample).ok_or(gst::FlowError::Error)?;
        sender.send(made).map_err(|_| gst::FlowError::Flushing)?;
        Ok(gst::FlowSuccess::Ok)
    };
    gst_app::AppSinkCallbacks::builder().new_sample(deliver).build()
}

/// Encoders shift timestamps inside their segment, so time is read back as running time.
fn made(sample: &gst::Sample) -> Option<Made> {
    let buffer = sample.buffer()?;
    let running = sample.segment()?.downcast_ref::<gst::ClockTime>()?.to_running_time(buffer.pts()?)?;
    let map = buffer.map_readable().ok()?;
    Some(Made { time: nearest_tick(running.nseconds()), annex_b: Bytes::copy_from_slice(&map) })
}

fn nanoseconds(ticks: u64) -> u64 {
    (u128::from(ticks) * 1_000_000_000 / u128::from(PICTURE_RATE)) as u64
}

fn nearest_tick(nanoseconds: u64) -> u64 {
    ((u128::from(nanoseconds) * u128::from(PICTURE_RATE) + 500_000_000) / 1_000_000_000) as u64
}

/// The units between start codes (H.264 annex B).
fn units(annex_b: &Bytes) -> Vec<Bytes> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(code) = annex_b.get(at..at + 3) {
        if code == [0, 0, 1] {
            starts.push(at);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([annex_b.len()]);
    let unit = |(start, end): (usize, usize)| {
        let unit = annex_b.slice(start + 3..end);
        let zeros = unit.iter().rev().take_while(|octet| **octet == 0).count();
        unit.slice(..unit.len() - zeros)
    };
    starts.iter().copied().zip(ends).map(unit).filter(|unit| !unit.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_between_start_codes_of_either_length() {
        let stream = Bytes::from_static(&[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 0, 0, 3, 1]);
        let found: Vec<_> = units(&stream).iter().map(|unit| unit.to_vec()).collect();
        assert_eq!(found, [&[0x67, 1][..], &[0x68, 2], &[0x65, 0, 0, 3, 1]]);
    }

    #[test]
    fn every_tick_comes_back_from_its_nanoseconds() {
        for tick in [0, 1, 7, 90_001, 972_000_007] {
            assert_eq!(nearest_tick(nanoseconds(tick)), tick);
        }
    }
}
