//! What a program chose, and what it may have: options, the memory limit, huge pages.
//!
//! State: the one cell of options ([`options::get`]), the count of committed bytes, and what the last huge page took.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod frozen;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod huge;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod limit;
pub(crate) mod options;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod variables;
