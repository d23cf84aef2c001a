//! The demonstration lesson: slides, a camera scene and a spoken voice, all carrying a time code.
//!
//! Everything in it is a function of Unix time: which slide is shown, how the teacher stands, what is being said. So a
//! lesson that was interrupted goes on where it would be, and two recordings of the same minute show the same minute.

pub mod keyframe_gate;
pub mod ladder;
pub mod outlet;
pub mod picture;
pub mod pipeline;
pub mod scene;
pub mod shoot;
pub mod slides;
pub mod svg;
pub mod time_code;
pub mod voice;

use std::sync::Arc;

use ladder::VideoCodec;
use pipeline::{Encoders, PipelineError};
use scene::Scene;
use shoot::{Material, Shoot};
use slides::Slides;
use svg::{DrawError, Rasteriser};
use voice::{Voice, VoiceError};

use crate::clock::Clock;

/// Why the lesson can't be given.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// GStreamer itself doesn't start.
    #[error("GStreamer doesn't start: {0}")]
    Gstreamer(String),
    /// Slides or scene could not be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// The voice could not be decoded.
    #[error(transparent)]
    Voice(#[from] VoiceError),
    /// The encoders don't run.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// A running demonstration lesson.
#[derive(Debug)]
pub struct Demo {
    encoders: Arc<Encoders>,
    _shoot: Shoot,
}

impl Demo {
    /// Draw everything, then start encoding.
    ///
    /// # Errors
    /// [`DemoError`] says what can't be drawn, decoded or encoded.
    pub fn start(codec: VideoCodec, clock: Clock) -> Result<Self, DemoError> {
        gstreamer::init().map_err(|error| DemoError::Gstreamer(error.to_string()))?;
        let rasteriser = Rasteriser::start()?;
        let material = Material {
            scene: Scene::draw(&rasteriser)?,
            slides: Slides::draw(&rasteriser)?,
            voice: Voice::decode(slides::loop_seconds())?,
        };
        let encoders = Arc::new(Encoders::start(codec, clock)?);
        let shoot = Shoot::start(material, &encoders, clock);
        Ok(Self { encoders, _shoot: shoot })
    }

    /// The encoders, to take frames from.
    #[must_use]
    pub fn encoders(&self) -> &Encoders {
        &self.encoders
    }
}
