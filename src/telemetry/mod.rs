//! How the server tells of itself: its log and its metrics.

mod exposition;
mod log;
mod metrics;
mod process;

pub use exposition::{Exposition, Kind};
pub use log::{Output, start_log};
pub use metrics::{MetricsError, install_metrics};
pub use process::write_process;
