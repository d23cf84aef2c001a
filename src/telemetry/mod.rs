//! How the server tells of itself: its log and its metrics.

mod log;
mod metrics;

pub use log::{Output, start_log};
pub use metrics::{MetricsError, install_metrics};
