//! The server from outside: HTTP, the lesson websocket, TLS, with a media side that only takes notes.

mod access;
mod events;
mod faults;
mod journal;
mod lessons;
mod lines;
mod media;
mod operation;
mod recorder;
mod recordings;
mod schools;
mod streams;
mod support;
mod telemetry;
mod turn;
