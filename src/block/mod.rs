//! One block: its size class, the lists that free blocks are on, and the steps that `secure` adds.
//!
//! State: in the `secure` build the process's secrets (`secret`) and the zero-size blocks in use
//! (`hardening::zero_size`). Both are process-wide atomics; everything else belongs to the caller.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `size_class` | which class a layout has, and how a slab of the class is cut |
//! | `secret` | the keyed hash of an address |
//! | `link` | a free block's first word, and the key it is encoded with |
//! | `tag` | a free block's second word in the default build |
//! | `free_list` | the token of a free block, and the list that only its owner touches |
//! | `remote_list` | the lists that threads give blocks back by |
//! | `hardening` | canaries, zeroing, quarantine and random order |

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod free_list;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod hardening;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod link;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod remote_list;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod secret;
pub(crate) mod size_class;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod tag;
