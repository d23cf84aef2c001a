//! The encoders: one GStreamer pipeline that takes raw pictures and samples and gives frames to outlets.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::ladder::{LAYERS, Layer, Source, VOICE_BITRATE, VOICE_PACKET_MS, VideoCodec};
use super::outlet::{Frame, Outlet};
use crate::clock::{Clock, UnixTime};

/// Seconds between keyframes that nobody asked for; those that matter are asked for.
const KEYFRAME_SECONDS: u32 = 10;
/// How much a keyframe of the camera may spend at once, in milliseconds of its bitrate.
const CAMERA_BUFFER_MS: u32 = 800;
/// A new slide may spend more: it is sharp at once and then costs nothing.
const SLIDES_BUFFER_MS: u32 = 2_000;
/// Text stays legible up to this quantiser, whatever the rate control would like.
const SLIDES_QUANTISER_MAX: u32 = 36;

/// Why the encoders can't run.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// An element is missing or refused a setting.
    #[error("the encoders can't be set up: {0}")]
    SetUp(String),
    /// An encoder failed while running.
    #[error("{element} failed: {reason}")]
    Failed {
        /// Its name.
        element: String,
        /// What it said.
        reason: String,
    },
}

/// All encoders, running.
#[derive(Debug)]
pub struct Encoders {
    pipeline: gst::Pipeline,
    clock: Clock,
    /// The voice, then the layers in the order of [`LAYERS`].
    encoders: Vec<Encoder>,
}

/// The way into one encoder.
#[derive(Debug)]
struct Encoder {
    input: gst_app::AppSrc,
    /// Where keyframes are asked for; the voice has none.
    output: Option<gst::Pad>,
    outlet: Arc<Outlet>,
}

impl Encoders {
    /// Set them up and start them. GStreamer must be initialised.
    ///
    /// # Errors
    /// [`PipelineError::SetUp`] says what is missing.
    pub fn start(codec: VideoCodec, clock: Clock) -> Result<Self, PipelineError> {
        let failed = |error: &dyn std::fmt::Display| PipelineError::SetUp(error.to_string());
        let layers = LAYERS.iter().enumerate().map(|(index, layer)| video_chain(index + 1, layer, codec));
        let description: String = std::iter::once(voice_chain()).chain(layers).collect();
        let pipeline = gst::parse::launch(&description)
            .map_err(|error| failed(&error))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| failed(&"not a pipeline"))?;
        let encoders =
            (0..=LAYERS.len()).map(|index| Encoder::find(&pipeline, index, clock)).collect::<Result<_, _>>()?;
        pipeline.set_state(gst::State::Playing).map_err(|error| failed(&error))?;
        Ok(Self { pipeline, clock, encoders })
    }

    /// Where the voice leaves.
    #[must_use]
    pub fn voice(&self) -> Arc<Outlet> {
        Arc::clone(&self.encoders[0].outlet)
    }

    /// Where the layer at `index` of [`LAYERS`] leaves.
    #[must_use]
    pub fn layer(&self, index: usize) -> Arc<Outlet> {
        Arc::clone(&self.encoders[index + 1].outlet)
    }

    /// Encode a voice packet whose first sample was captured at `time`.
    pub fn push_voice(&self, samples: Vec<u8>, time: UnixTime) {
        self.encoders[0].push(gst::Buffer::from_slice(samples), time.since(self.clock.origin()));
    }

    /// Encode a picture for the layer at `index` of [`LAYERS`], captured at `time`, as a keyframe if one is due `now`.
    pub fn push_picture(&self, index: usize, planes: &Arc<Vec<u8>>, time: UnixTime, now: Instant) {
        let encoder = &self.encoders[index + 1];
        if encoder.outlet.keyframe_due(now)
            && let Some(output) = &encoder.output
        {
            // An encoder that refuses makes its keyframe when the next request comes.
            let _ = output.send_event(gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
        encoder.push(gst::Buffer::from_slice(SharedPlanes(Arc::clone(planes))), time.since(self.clock.origin()));
    }

    /// What went wrong since the last call, if anything.
    ///
    /// # Errors
    /// [`PipelineError::Failed`] names the element.
    pub fn check(&self) -> Result<(), PipelineError> {
        let Some(bus) = self.pipeline.bus() else { return Ok(()) };
        match bus.pop_filtered(&[gst::MessageType::Error]) {
            Some(message) => match message.view() {
                gst::MessageView::Error(error) => Err(PipelineError::Failed {
                    element: error.src().map(|src| src.name().to_string()).unwrap_or_default(),
                    reason: error.error().to_string(),
                }),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }
}

impl Drop for Encoders {
    fn drop(&mut self) {
        // The process is about to end or has failed; there is nobody to tell.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Encoder {
    fn find(pipeline: &gst::Pipeline, index: usize, clock: Clock) -> Result<Self, PipelineError> {
        let missing = || PipelineError::SetUp(format!("chain {index} is incomplete"));
        let input = pipeline.by_name(&format!("input_{index}")).ok_or_else(missing)?;
        let sink = pipeline.by_name(&format!("output_{index}")).ok_or_else(missing)?;
        let encoder = pipeline.by_name(&format!("encoder_{index}")).ok_or_else(missing)?;
        let sink: gst_app::AppSink = sink.downcast().map_err(|_| missing())?;
        let outlet = Arc::new(Outlet::default());
        let is_voice = index == 0;
        let receiver = Arc::clone(&outlet);
        let deliver = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if let Some(frame) = frame(&sample, clock) {
                receiver.put(frame);
            }
            Ok(gst::FlowSuccess::Ok)
        };
        sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(deliver).build());
        Ok(Self {
            input: input.downcast().map_err(|_| missing())?,
            output: if is_voice { None } else { encoder.static_pad("src") },
            outlet,
        })
    }

    fn push(&self, mut buffer: gst::Buffer, running_time: std::time::Duration) {
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(running_time.as_nanos() as u64));
        }
        // A failed encoder reports on the bus, which `check` reads.
        let _ = self.input.push_buffer(buffer);
    }
}

/// Picture bytes that several encoders read without a copy.
struct SharedPlanes(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedPlanes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Encoders shift timestamps inside their segment, so capture time is read back as running time. The Opus encoder has
/// subtracted its lookahead from it already.
fn frame(sample: &gst::Sample, clock: Clock) -> Option<Frame> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let running = segment.to_running_time(buffer.pts()?)?;
    let map = buffer.map_readable().ok()?;
    Some(Frame {
        captured: UnixTime::from_nanos(clock.origin().as_nanos() + running.nseconds()),
        data: Bytes::copy_from_slice(&map),
        keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
    })
}

fn voice_chain() -> String {
    format!(
        "appsrc name=input_0 is-live=true format=time caps=audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved \
         ! opusenc name=encoder_0 bitrate={VOICE_BITRATE} frame-size={VOICE_PACKET_MS} audio-type=generic bandwidth=fullband \
         ! appsink name=output_0 sync=false \n"
    )
}

/// The queue before an encoder holds two pictures: one more means that the machine is too slow, and the oldest goes.
fn video_chain(index: usize, layer: &Layer, codec: VideoCodec) -> String {
    let Layer { width, height, frame_rate, .. } = layer;
    let encoder = match codec {
        VideoCodec::H264 => h264(index, layer),
        VideoCodec::Vp8 => vp8(index, layer),
    };
    format!(
        "appsrc name=input_{index} is-live=true format=time max-buffers=2 max-bytes=0 leaky-type=downstream \
         caps=video/x-raw,format=I420,width={width},height={height},framerate={frame_rate}/1,colorimetry=bt709 \
         ! {encoder} ! appsink name=output_{index} sync=false \n"
    )
}

/// Every IDR picture carries its parameter sets, so that a subscriber may begin at any of them. Slides get the preset that
/// predicts small blocks, without which text costs twice as much.
fn h264(index: usize, layer: &Layer) -> String {
    let tuning = match layer.source {
        Source::Slides => {
            format!("speed-preset=superfast vbv-buf-capacity={SLIDES_BUFFER_MS} qp-max={SLIDES_QUANTISER_MAX}")
        }
        Source::Camera | Source::Voice => format!("speed-preset=ultrafast vbv-buf-capacity={CAMERA_BUFFER_MS}"),
    };
    format!(
        "x264enc name=encoder_{index} {tuning} tune=zerolatency threads=1 sliced-threads=false bframes=0 \
         cabac=false aud=false byte-stream=true bitrate={} key-int-max={} \
         ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au",
        layer.bitrate / 1000,
        KEYFRAME_SECONDS * layer.frame_rate,
    )
}

fn vp8(index: usize, layer: &Layer) -> String {
    let tuning = match layer.source {
        Source::Slides => format!("static-threshold=100 buffer-size={SLIDES_BUFFER_MS} max-quantizer=48"),
        Source::Camera | Source::Voice => format!("buffer-size={CAMERA_BUFFER_MS} max-quantizer=56"),
    };
    format!(
        "vp8enc name=encoder_{index} {tuning} deadline=1 cpu-used=16 threads=1 lag-in-frames=0 end-usage=cbr \
         error-resilient=default target-bitrate={} keyframe-mode=disabled keyframe-max-dist={} min-quantizer=4",
        layer.bitrate,
        KEYFRAME_SECONDS * layer.frame_rate,
    )
}
