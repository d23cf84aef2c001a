//! Media threads: each owns a UDP port and the peers behind it outright. What others want of one goes through [`mailbox`].

pub mod clock;
pub mod egress;
pub mod mailbox;
pub mod socket;
