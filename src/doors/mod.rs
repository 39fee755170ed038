//! How callers come in: `GlobalAlloc`, and the interface without layouts that C needs.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub(crate) mod elsewhere;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod free;
pub(crate) mod freestone;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod growth;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod rust;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod start;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod untyped;
