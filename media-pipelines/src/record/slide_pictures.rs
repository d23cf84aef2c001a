//! Keyframes of slides decoded by GStreamer, one in some seconds, on a thread of its own.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bytes::{BufMut, Bytes, BytesMut};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::depacketise::Format;
use super::slide_watch::{GREY, Look, Seen};

/// Width of the pictures that are kept.
const WIDTH: u32 = 480;
/// Looks that may wait. With more than that this machine is busy, and the next keyframe will do.
const WAITING_AT_MOST: usize = 4;
/// What one picture may take.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// Looks at pictures, and tells what it has seen.
#[derive(Debug)]
pub(super) struct Viewer {
    looks: SyncSender<Look>,
    seen: Receiver<Result<Seen, String>>,
    waiting: usize,
}

impl Viewer {
    /// Start the thread. It ends when this is dropped.
    pub(super) fn start() -> Self {
        let (looks, to_look_at) = sync_channel::<Look>(WAITING_AT_MOST);
        let (tell, seen) = sync_channel(WAITING_AT_MOST + 1);
        thread::spawn(move || {
            while let Ok(look) = to_look_at.recv() {
                if tell.send(view(&look)).is_err() {
                    break;
                }
            }
        });
        Self { looks, seen, waiting: 0 }
    }

    /// Look at this soon, unless there is too much to look at.
    pub(super) fn look(&mut self, look: Look) {
        if self.waiting < WAITING_AT_MOST && self.looks.try_send(look).is_ok() {
            self.waiting += 1;
        }
    }

    /// What was seen meanwhile.
    pub(super) fn seen(&mut self) -> Option<Result<Seen, String>> {
        let seen = self.seen.try_recv().ok()?;
        self.waiting = self.waiting.saturating_sub(1);
        Some(seen)
    }

    /// Whether something is still being looked at.
    pub(super) const fn is_busy(&self) -> bool {
        self.waiting > 0
    }
}

fn view(look: &Look) -> Result<Seen, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    gst::init().map_err(|error| failed(&error))?;
    let (width, height) = look.format.size();
    let rows = (u64::from(WIDTH) * u64::from(height) / u64::from(width.max(1))).clamp(2, 2_000) as u32 & !1;
    let (caps, decoder, data) = match &look.format {
        Format::H264(_) => (
            "video/x-h264,stream-format=byte-stream,alignment=au",
            "h264parse ! avdec_h264",
            with_start_codes(&look.data).ok_or("it has no length prefixes")?,
        ),
        Format::Av1(_) => ("video/x-av1,stream-format=obu-stream,alignment=tu", "av1dec", look.data.clone()),
        Format::Vp8(..) => ("video/x-vp8", "vp8dec", look.data.clone()),
    };
    let description = format!(
        "appsrc name=input format=time caps={caps} ! {decoder} ! videoconvert ! videoscale \
         ! video/x-raw,format=I420,width={WIDTH},height={rows} ! tee name=both \
         both. ! queue ! appsink name=raw sync=false both. ! queue ! jpegenc quality=80 ! appsink name=jpeg sync=false"
    );
    let pipeline = gst::parse::launch(&description).map_err(|error| failed(&error))?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "not a pipeline")?;
    let sink = |name| pipeline.by_name(name).and_then(|sink| sink.downcast::<gst_app::AppSink>().ok()).ok_or(name);
    let (raw, jpeg) = (sink("raw")?, sink("jpeg")?);
    let input = pipeline.by_name("input").and_then(|input| input.downcast::<gst_app::AppSrc>().ok()).ok_or("input")?;
    pipeline.set_state(gst::State::Playing).map_err(|error| failed(&error))?;
    let mut buffer = gst::Buffer::from_slice(data);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::ZERO);
    }
    let pushed = input.push_buffer(buffer).and_then(|_| input.end_of_stream());
    let pictures = pushed.ok().and_then(|_| raw.try_pull_sample(PATIENCE).zip(jpeg.try_pull_sample(PATIENCE)));
    let error = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    // It is thrown away; whether it stops in order is of no interest.
    let _ = pipeline.set_state(gst::State::Null);
    let Some((raw, jpeg)) = pictures else {
        let reason = error.and_then(|message| match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        });
        return Err(reason.unwrap_or_else(|| "no picture came out".to_owned()));
    };
    let octets = |sample: &gst::Sample| {
        let map = sample.buffer()?.map_readable().ok()?;
        Some(Bytes::copy_from_slice(&map))
    };
    let raw = octets(&raw).ok_or("no octets")?;
    let grey = grey(&raw, WIDTH as usize, rows as usize).ok_or("a picture of another size")?;
    Ok(Seen { time: look.time, grey, jpeg: octets(&jpeg).ok_or("no octets")? })
}

/// The mean brightness of each of [`GREY`] cells of a picture whose luma plane comes first.
fn grey(raw: &[u8], width: usize, height: usize) -> Option<Bytes> {
    let luma = raw.get(..width * height)?;
    let mut cells = vec![(0_u32, 0_u32); GREY.0 * GREY.1];
    for (index, brightness) in luma.iter().enumerate() {
        let (x, y) = (index % width * GREY.0 / width, index / width * GREY.1 / height);
        let cell = cells.get_mut(y * GREY.0 + x)?;
        *cell = (cell.0 + u32::from(*brightness), cell.1 + 1);
    }
    Some(cells.iter().map(|(sum, count)| (sum / (*count).max(1)) as u8).collect())
}

/// Length prefixes as start codes.
fn with_start_codes(data: &Bytes) -> Option<Bytes> {
    let mut rest = data.clone();
    let mut out = BytesMut::with_capacity(data.len());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let unit = rest.get(4..4 + length)?;
        out.put_slice(&[0, 0, 0, 1]);
        out.put_slice(unit);
        rest = rest.slice(4 + length..);
    }
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brightness_is_the_mean_of_every_cell() {
        let mut picture = vec![10; 480 * 270 * 3 / 2];
        picture[..480 * 135].fill(200);
        let grey = grey(&picture, 480, 270).expect("large enough");
        assert_eq!((grey[0], grey[grey.len() - 1], grey.len()), (200, 10, 576));
    }

    #[test]
    fn length_prefixes_become_start_codes_or_nothing() {
        let data = Bytes::from_static(&[0, 0, 0, 2, 0x67, 1, 0, 0, 0, 1, 0x65]);
        assert_eq!(with_start_codes(&data).expect("whole"), &[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65][..]);
        assert_eq!(with_start_codes(&data.slice(..8)), None);
    }
}
