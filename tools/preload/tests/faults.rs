//! What the system may refuse and what threads may do; the checks are in `programs/faults.c`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{Language, Linked, Program, compile, run_scenario};

static PROGRAM: Program = Program::new();

fn check(scenario: &str) {
    let program = PROGRAM.path(|| compile("faults.c", "faults", Language::C, Linked::No));
    run_scenario(program, scenario, &[]);
}

macro_rules! scenarios {
    ($($(#[$attribute:meta])* $scenario:ident)*) => { $(
        $(#[$attribute])*
        #[test]
        fn $scenario() {
            check(stringify!($scenario));
        }
    )* };
}

scenarios! {
    /// `RLIMIT_AS`: null, `ENOMEM`, and recovery in every size.
    limit_address_space
    /// `RLIMIT_DATA`: as above.
    limit_data
    /// Large and small blocks side by side in what is left.
    limit_mixed
    /// Null; small blocks come from what is mapped.
    mmap_refused
    /// Copied instead.
    mremap_refused
    /// No crash, and zeroed memory is zero.
    munmap_refused
    /// As above.
    madvise_invalid
    /// As above.
    madvise_again
    /// Under `mlockall(MCL_FUTURE)`.
    locked
    /// At the limit of mappings.
    map_count
    /// Resident memory stays as it is.
    short_threads
    /// At most 1 KiB a thread that has ended.
    key_destructors
    /// Resident memory stays as it is.
    free_after_end
    /// `PTHREAD_STACK_MIN` is enough.
    small_stacks
    /// Hundreds of times; the child allocates and makes threads.
    fork_in_churn
}
