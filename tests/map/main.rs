//! The mapping floor: a file of properties each.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod support;

mod advice;
mod errors;
mod examples;
mod flags;
mod guards;
mod huge;
mod lock;
mod placement;
mod protection;
#[cfg(freestone_fault_injection)]
mod refused;
mod residency;
mod resize;
mod rounding;
mod sharing;
mod sigbus;
mod split;
mod sync;
