//! What a receiver's line gets: from measured ladders and demands to one allocation with its reasons.
//!
//! Pure: no clock, no socket, no knowledge of RTP. Today the budget is unlimited and a cap is all that limits a
//! demand; measuring a line and sharing it between the receivers of one school come in through [`allocate`]
//! without a change for its callers.

pub mod allocate;
pub mod ladder;

pub use allocate::{Allocation, Demand, Reason, allocate};
pub use ladder::{Ladder, Rung};
