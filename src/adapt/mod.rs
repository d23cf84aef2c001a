//! What a receiver's line gets: from measured ladders and demands to one allocation with its reasons.
//!
//! Pure: no clock, no socket, no knowledge of RTP. Today the budget is unlimited and a cap is all that limits a
//! demand. Measuring a line, and sharing it between the receivers of one school, will be decided here too: [`allocate`]
//! takes all demands of a line at once for that.

pub mod allocate;
pub mod ladder;
pub mod pacer;

pub use allocate::{Allocation, Demand, Reason, allocate};
pub use ladder::{Ladder, Rung};
pub use pacer::{Offered, Pacer, Urgency};
