//! One chain of GStreamer elements between packets that go in and packets that come out.

use std::thread;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::ConvertError;
use super::throttle::Throttle;

/// Octets that wait to be decoded.
const WAITING_AT_MOST: u64 = 4 << 20;
/// How long a chain may take for one packet before it is given up.
const STUCK: Duration = Duration::from_secs(120);
/// How often a silent chain is asked whether it has failed.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// What goes in or comes out.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    /// Its octets.
    pub octets: Vec<u8>,
    /// When it is decoded and shown, in nanoseconds.
    pub at: u64,
    /// Whether decoding can begin here.
    pub key: bool,
}

/// Send `input` through the elements of `chain`, which receive `caps`; `output` is told each packet that comes out and
/// its caps, and says whether it wants more.
///
/// # Errors
/// What an element, `input` or `output` says; a chain that is stuck.
pub(super) fn run(
    chain: &str,
    caps: &gst::Caps,
    throttle: Throttle,
    mut input: impl Iterator<Item = Result<Packet, ConvertError>> + Send,
    mut output: impl FnMut(Packet, &gst::CapsRef) -> Result<bool, ConvertError>,
) -> Result<(), ConvertError> {
    let description = format!("appsrc name=in ! {chain} ! appsink name=out sync=false max-buffers=32");
    let failed = |error: &dyn std::fmt::Display| ConvertError::GStreamer(error.to_string());
    let pipeline = gst::parse::launch(&description)
        .map_err(|error| failed(&error))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| failed(&"not a pipeline"))?;
    let source = element::<gst_app::AppSrc>(&pipeline, "in")?;
    let sink = element::<gst_app::AppSink>(&pipeline, "out")?;
    source.set_caps(Some(caps));
    source.set_format(gst::Format::Time);
    source.set_block(true);
    source.set_max_bytes(WAITING_AT_MOST);
    pipeline.set_state(gst::State::Playing).map_err(|error| failed(&error))?;
    let result = thread::scope(|scope| {
        let feeding = scope.spawn(|| feed(&source, throttle, &mut input));
        let drained = drain(&pipeline, &sink, &mut output);
        // Whoever still feeds is turned away.
        let stopped = pipeline.set_state(gst::State::Null).map_err(|error| failed(&error));
        let fed = feeding.join().map_err(|_| failed(&"feeding panicked"))?;
        // What couldn't be read says more than what it led to.
        fed.and(drained).and(stopped.map(|_| ()))
    });
    // Also when a closure above returned early.
    let _ = pipeline.set_state(gst::State::Null);
    result
}

fn element<T: IsA<gst::Element>>(pipeline: &gst::Pipeline, name: &str) -> Result<T, ConvertError> {
    let found = pipeline.by_name(name).and_then(|element| element.downcast::<T>().ok());
    found.ok_or_else(|| ConvertError::GStreamer(format!("no element {name}")))
}

fn feed(
    source: &gst_app::AppSrc,
    throttle: Throttle,
    input: &mut (impl Iterator<Item = Result<Packet, ConvertError>> + Send),
) -> Result<(), ConvertError> {
    let mut result = Ok(());
    for packet in input {
        let Packet { octets, at, key } = match packet {
            Ok(packet) => packet,
            Err(error) => {
                result = Err(error);
                break;
            }
        };
        throttle.wait();
        let mut buffer = gst::Buffer::from_mut_slice(octets);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(at));
            if !key {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        if source.push_buffer(buffer).is_err() {
            // The chain has failed, which its bus says, or nobody wants more.
            break;
        }
    }
    // A chain that has failed already has no use for the end.
    let _ = source.end_of_stream();
    result
}

fn drain(
    pipeline: &gst::Pipeline,
    sink: &gst_app::AppSink,
    output: &mut impl FnMut(Packet, &gst::CapsRef) -> Result<bool, ConvertError>,
) -> Result<(), ConvertError> {
    let failed = |reason: String| Err(ConvertError::GStreamer(reason));
    let Some(bus) = pipeline.bus() else { return failed("no bus".into()) };
    let mut silent = Duration::ZERO;
    loop {
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
            && let gst::MessageView::Error(error) = message.view()
        {
            let name = error.src().map(|source| source.name().to_string()).unwrap_or_default();
            return failed(format!("{name}: {} ({})", error.error(), error.debug().unwrap_or_default()));
        }
        let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(ASK_INTERVAL.as_millis() as u64)) else {
            if sink.is_eos() {
                return Ok(());
            }
            silent += ASK_INTERVAL;
            if silent > STUCK {
                return failed(format!("nothing came out for {} s", STUCK.as_secs()));
            }
            continue;
        };
        silent = Duration::ZERO;
        if !output(packet(&sample)?, sample.caps().ok_or(ConvertError::Nothing)?)? {
            return Ok(());
        }
    }
}

fn packet(sample: &gst::Sample) -> Result<Packet, ConvertError> {
    let buffer = sample.buffer().ok_or(ConvertError::Nothing)?;
    let octets = buffer.map_readable().map_err(|error| ConvertError::GStreamer(error.to_string()))?.to_vec();
    // Encoders may shift their times and say so in the segment.
    let running = sample
        .segment()
        .and_then(|segment| segment.downcast_ref::<gst::ClockTime>())
        .and_then(|segment| segment.to_running_time(buffer.pts()?));
    let at = running.or(buffer.pts()).map_or(0, gst::ClockTime::nseconds);
    Ok(Packet { octets, at, key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) })
}
