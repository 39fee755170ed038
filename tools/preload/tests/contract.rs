//! C's contract to the letter, one test a point; the checks are in `programs/contract.c`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{Language, Linked, Program, compile, run_scenario};

static PROGRAM: Program = Program::new();

fn check(point: &str) {
    let program = PROGRAM.path(|| compile("contract.c", "contract", Language::C, Linked::Yes));
    run_scenario(program, point, &[]);
}

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident)*) => { $(
        $(#[$doc])*
        #[test]
        fn $point() {
            check(stringify!($point));
        }
    )* };
}

points! {
    /// To 16 bytes, whatever the size.
    alignment
    /// A block of its own.
    size_zero
    /// From `calloc`, after others have written.
    zeroed
    /// Null, `ENOMEM`, old blocks intact.
    too_large
    /// Contents kept through every kind of block; `realloc(p, 0)` frees.
    resizing
    /// To 2^32; `EINVAL` for what is no power of two.
    aligned
    /// By every free.
    errno_kept
    /// All of `malloc_usable_size` may be written.
    usable
    /// `malloc_trim`, `malloc_info`, `mallopt`.
    additions
}
