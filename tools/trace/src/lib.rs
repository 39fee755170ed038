//! What a program asks of its allocator: recorded, read, replayed.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`mod@format`] | the file: header, blocks, events; reader and writer |
//! | [`tape`] | recording inside a process: no allocation, no lock that a call waits for |
//! | [`Recorder`] | a global allocator that records another |
//! | [`steps`] | calls in their order, each on a numbered object |
//! | [`summary`] | what the calls amount to |
//! | [`script`] | a trace compiled for replay, and the replay |
//!
//! The program `freestone-trace` lies under `tool`.

pub mod format;
mod recorder;
pub mod script;
pub mod steps;
pub mod summary;
pub mod tape;

pub use recorder::Recorder;
