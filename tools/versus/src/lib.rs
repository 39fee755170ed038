//! What every peer binary runs: the workloads, and the bench that measures
//! them from inside the process.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`task`] | the order a peer is given and the sample that it hands back |
//! | [`mod@bench`] | the measuring: clocks, kernel counters, threads, blocks |
//! | [`workloads`] | what is measured, each with a line saying what it imitates |
//! | [`peer`] | the `main` of every peer binary |
//!
//! The program `freestone-versus` uses the same rooms to know what exists; its
//! own (building, spawning, judging, reporting) lie under `runner`.

pub mod bench;
pub mod peer;
pub mod task;
pub mod workloads;
