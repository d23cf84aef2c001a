//! Vector drawings turned into pixels by GStreamer's librsvg decoder, before the lesson starts.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

/// A drawing with transparency: pixels in the order blue, green, red, alpha; colours aren't multiplied by alpha.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// Width in pixels, even.
    pub width: usize,
    /// Height in pixels, even.
    pub height: usize,
    /// Four bytes per pixel, rows packed tightly.
    pub bgra: Vec<u8>,
}

/// Why a drawing could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// The decoder's pipeline could not be built or run.
    #[error("the SVG decoder can't run: {0}")]
    Pipeline(String),
    /// The decoder gave no picture within ten seconds, or one in another format.
    #[error("the SVG decoder gave no picture of {width}×{height} for a drawing of that size")]
    NoPicture {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
    },
}

/// Turns SVG documents into pixels, one after the other.
#[derive(Debug)]
pub struct Rasteriser {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Rasteriser {
    /// Start the decoder. GStreamer must be initialised.
    ///
    /// # Errors
    /// [`DrawError::Pipeline`] if the decoder isn't installed or doesn't start.
    pub fn start() -> Result<Self, DrawError> {
        let failed = |error: &dyn std::fmt::Display| DrawError::Pipeline(error.to_string());
        let description = "appsrc name=source format=time caps=image/svg+xml \
             ! rsvgdec ! video/x-raw,format=BGRA ! appsink name=sink sync=false";
        let pipeline = gst::parse::launch(description)
            .map_err(|error| failed(&error))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| failed(&"not a pipeline"))?;
        let element = |name| pipeline.by_name(name).ok_or_else(|| failed(&"an element is missing"));
        let source = element("source")?.downcast().map_err(|_| failed(&"not an appsrc"))?;
        let sink = element("sink")?.downcast().map_err(|_| failed(&"not an appsink"))?;
        pipeline.set_state(gst::State::Playing).map_err(|error| failed(&error))?;
        Ok(Self { pipeline, source, sink })
    }

    /// Draw `body`, the content of an SVG element with a user space of `width` × `height` pixels.
    ///
    /// # Errors
    /// [`DrawError`] if the decoder fails or refuses the document.
    pub fn draw(&self, width: usize, height: usize, body: &str) -> Result<Drawing, DrawError> {
        let document = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">{body}</svg>"#
        );
        let mut buffer = gst::Buffer::from_slice(document.into_bytes());
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::ZERO);
        }
        self.source.push_buffer(buffer).map_err(|error| DrawError::Pipeline(error.to_string()))?;
        self.sink
            .try_pull_sample(gst::ClockTime::from_seconds(10))
            .and_then(|sample| pixels(&sample, width, height))
            .ok_or(DrawError::NoPicture { width, height })
    }
}

impl Drop for Rasteriser {
    fn drop(&mut self) {
        // Nothing is left to release if the decoder has failed already.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn pixels(sample: &gst::Sample, width: usize, height: usize) -> Option<Drawing> {
    let structure = sample.caps()?.structure(0)?;
    let side = |name| structure.get::<i32>(name).ok().and_then(|side| usize::try_from(side).ok());
    if (side("width")?, side("height")?) != (width, height) {
        return None;
    }
    let map = sample.buffer()?.map_readable().ok()?;
    (map.len() == 4 * width * height).then(|| Drawing { width, height, bgra: map.to_vec() })
}
