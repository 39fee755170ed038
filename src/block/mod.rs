//! One block: its size class, the lists that free blocks are on, and what the `secure` build adds.
//!
//! No state but the secrets of the `secure` build.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod free_list;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod hardening;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod remote_list;
pub(crate) mod size_class;
