//! A lesson on simulated time: publishers, lines and classrooms around the forwarding unit, without sockets and without sleeping.
//!
//! Everything that is random comes from one seed, so a story that fails once fails always.

pub mod arrivals;
pub mod bottleneck;
pub mod chance;
pub mod classroom;
pub mod encoder;
pub mod lesson;
pub mod line;
pub mod publisher;
pub mod shared_line;
pub mod stamp;
pub mod stream;

pub use encoder::Track;
pub use lesson::{Lesson, Room, millis, secs};
pub use line::Quality;
