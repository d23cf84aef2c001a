//! Media threads: each owns a UDP port and the peers behind it outright. What others want of one goes through [`mailbox`].

mod admission;
pub mod clock;
mod connection;
mod crossing;
mod demux;
pub mod egress;
mod ingress;
mod lines;
mod links;
pub mod mailbox;
mod meters;
mod placement;
pub mod pool;
mod publishing;
mod repeat;
mod reporting;
mod sending;
mod serving;
pub mod socket;
mod stream;
mod streaming;
pub mod tap;
#[expect(clippy::module_inception, reason = "the thread is what the module is named for")]
mod worker;
