//! VP8 to H.264, which is what the files of a recording hold: pictures wait in a [`queue`], go through a [`pipeline`] of
//! GStreamer in the order they came, and take their place on the time line when they leave it. The [`budget`] says
//! whether this machine has the time.

pub(super) mod budget;
pub(super) mod pipeline;
pub(super) mod queue;
