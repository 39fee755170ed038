//! What a program chose, and what it may have.
//!
//! | file | what |
//! | --- | --- |
//! | `options` | what can be chosen, and the defaults |
//! | `variables` | the options as environment variables |
//! | `frozen` | the options in force: put together once, never changed |
//! | `limit` | the count of committed bytes, and its limits |
//! | `books` | what is counted of one group, and its limits |
//! | `requested` | what was requested and freed since some moment |
//! | `huge` | when memory gets huge pages |
//!
//! State: the cell of options, written once under a lock; the count of committed bytes, and the
//! backoff after dear huge pages, in atomic words. The lock is taken with no other held.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod books;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod frozen;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod huge;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod limit;
pub(crate) mod options;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) mod requested;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod variables;
