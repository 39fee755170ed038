//! Looking in. Nothing here costs anything unless it is called.

pub(crate) mod counted;
pub(crate) mod describe;
pub(crate) mod heap_map;
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "profile"))]
pub mod profile;
pub(crate) mod stats;
