//! The thread-local slot that holds a thread's heap.
//!
//! The slot is read anew by each call of the allocator. Code that switches stacks (`swapcontext`,
//! coroutines) may sleep on one thread and wake on another, and nothing tells the compiler so. It
//! takes the address of a `thread_local!` for a constant and keeps it over the switch: the heap
//! would be another thread's.
//!
//! There are two kinds of slot:
//!
//! - `fixed`: a symbol of ours in the static TLS block, at the same distance from every thread's
//!   pointer. That distance may be kept, as it is a constant of the process; the read itself is
//!   never moved or merged. A program reads the slot in one instruction, a shared object in two.
//! - `called`: a `thread_local!` behind a function that is not inlined, where there is no static
//!   TLS block to be had.
//!
//! A shared object with a `fixed` slot has all its thread-locals in the static TLS block
//! (`DF_STATIC_TLS`, see "ELF Handling For Thread-Local Storage", U. Drepper). glibc reserves some
//! room there for objects that `dlopen` loads, and refuses an object that does not fit; musl
//! refuses all of them. So musl's shared objects have the `called` slot; the feature `dynamic-tls`
//! chooses it elsewhere, and `initial-exec` insists on the other.

use crate::heap::Heap;

/// Heap of a thread that has not asked for memory yet: empty, and never written.
pub(crate) static NEW: Heap = Heap::new();

#[cfg_attr(
    all(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        any(
            feature = "initial-exec",
            all(not(feature = "dynamic-tls"), any(not(target_env = "musl"), target_feature = "crt-static"))
        )
    ),
    path = "slot/fixed.rs"
)]
#[cfg_attr(
    not(all(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        any(
            feature = "initial-exec",
            all(not(feature = "dynamic-tls"), any(not(target_env = "musl"), target_feature = "crt-static"))
        )
    )),
    path = "slot/called.rs"
)]
mod kind;
pub(crate) use kind::{get, set};
