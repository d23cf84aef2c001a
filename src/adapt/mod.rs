//! What a receiver's line gets: from measured ladders and demands to one allocation with its reasons.
//!
//! Pure: no clock, no socket, no knowledge of RTP. Today the budget is unlimited and a cap is all that limits a
//! demand. Measuring a line, and sharing it between the receivers of one school, will be decided here too: [`allocate`]
//! takes all demands of a line at once for that.

pub mod allocate;
pub mod delay;
pub mod demand;
pub mod dwell;
pub mod estimate;
pub mod held;
pub mod history;
pub mod ladder;
pub mod line;
pub mod loss;
mod member;
pub mod pacer;
pub mod probe;
pub mod rate;
pub mod reason;
pub mod steady;
pub mod tiers;

pub use allocate::{Allocation, Limits, Means, Shares, allocate};
pub use demand::{Content, Demand, Step};
pub use dwell::Dwell;
pub use history::{Acknowledged, Kind, SentHistory};
pub use ladder::{Ladder, Rung};
pub use line::{Line, LineDemand, LineState};
pub use pacer::{Offered, Pacer, Place, Urgency};
pub use probe::Probe;
pub use reason::Reason;
pub use steady::Steady;
pub use tiers::{LineTier, Tier, Tiers};
