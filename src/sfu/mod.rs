//! The forwarding unit: publications, subscriptions, and which packet goes to whom.
//!
//! Pure: told the time, fed packets and requests, drained of [`Forward`]s and [`Output`]s. It knows lessons and
//! participants only as names by which publications and subscribers find each other.

mod assignment;
mod forwarding;
pub mod input;
pub mod keyframe;
pub mod lines;
pub mod link_groups;
pub mod output;
pub mod publication;
pub mod router;
pub mod routing;
pub mod subscription;

pub use input::{Inbound, LineKey, PublicationSpec, SlotSpec, SubscriberSpec};
pub use lines::Allotment;
pub use link_groups::{LinkGroups, Order};
pub use output::{Decision, Forward, Output, Padding, Redundancy, SlotReport};
pub use publication::Source;
pub use router::Router;
