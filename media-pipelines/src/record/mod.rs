//! The recorder: a lesson's journal made into what can be played while it is live.
//!
//! The data path:
//!
//! ```text
//! mingshi_journal::Tail → reorder → access_unit → media_clock → pictures, voice → rendition → files_on_disk
//! (records)               (in        (depacketise:  (server      (which layer;      (cmaf,      (dvr/, with
//!                          order)     whole pictures) time)       silence)           playlist)   checkpoint)
//!                         └────────────── stream ──────────────┘
//!                                                                    └─ transcode (VP8) ─┘
//! ```
//!
//! [`lesson`] holds these together and is, like all of them, a function of the journal alone; [`recorder`] follows the
//! journal and touches files and GStreamer. When the lesson is over, [`files`] makes of `dvr/` what is kept.

pub mod command;
pub mod events;
pub mod files;
pub mod folder;
pub mod recorder;
pub mod timeline;

mod access_unit;
mod checkpoint;
mod cmaf;
mod depacketise;
mod files_on_disk;
mod gaps;
mod lesson;
mod media_clock;
mod names;
mod pictures;
mod playlist;
mod rendition;
mod reorder;
mod slide_pictures;
mod slide_watch;
mod stream;
mod transcode;
mod voice;
mod words;
