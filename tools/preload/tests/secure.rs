//! What the `secure` build catches beyond `misuse.rs`, kind by kind and size by size, and what it
//! does not. The faults are in `programs/secure.c`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::process::Output;

use common::{Language, Linked, Program, compile, death, preloaded, text};

static SECURE: Program = Program::new();
static MISUSE: Program = Program::new();

/// Small, medium, long blocks of slabs, and a mapping of whole pages.
const SIZES: [usize; 13] = [1, 8, 16, 24, 64, 100, 256, 1000, 4096, 20_000, 100_000, 300_000, 3 << 20];

/// A fault, and how many of [`SIZES`], from the first, it is seen with; always with the last.
const FAULTS: [(&str, usize); 17] = [
    ("overflow_1", 12),
    ("overflow_8", 12),
    ("overflow_64", 12),
    ("overflow_nul", 12),
    ("overflow_realloc", 12),
    // Where a slab has one block there is no seal before it.
    ("underflow_1", 11),
    ("underflow_8", 11),
    ("underflow_16", 11),
    ("double_free", 12),
    ("double_free_delayed", 12),
    ("double_free_written", 12),
    ("double_free_here_and_there", 12),
    ("double_free_by_two_threads", 12),
    ("size_of_freed", 12),
    ("realloc_freed", 12),
    ("write_after_free", 11),
    // Only the first cache line of a free block is looked at, and its seal when it is freed again.
    ("write_after_free_inside", 6),
];

/// What must be well, and for how many of [`SIZES`]: secrets are wiped up to a kibibyte.
const PROMISES: [(&str, usize); 3] = [("read_after_free", 8), ("fresh_is_zero", 8), ("grown_is_apart", 8)];

/// Faults with blocks of no bytes.
const OF_NOTHING: [&str; 4] = ["read_nothing", "write_nothing", "free_nothing_twice", "free_inside_nothing"];

/// What `misuse.c` does, all of which is to be caught in the faulty call.
const OTHERS: [&str; 36] = [
    "double_free_16",
    "double_free_64",
    "double_free_64_later",
    "double_free_1000",
    "double_free_20000",
    "double_free_500000",
    "double_free_large",
    "double_free_large_later",
    "double_free_alone",
    "double_free_purged",
    "double_free_elsewhere",
    "double_free_here_and_there",
    "double_free_there_and_here",
    "double_free_by_two_threads",
    "realloc_freed",
    "realloc_freed_large",
    "realloc_stack",
    "free_stack",
    "free_data",
    "free_code",
    "free_interior_16",
    "free_interior_200",
    "free_interior_page",
    "free_interior_large",
    "free_misaligned",
    "free_misaligned_8",
    "free_misaligned_large",
    "free_before",
    "free_never_given",
    "free_header",
    "free_unmapped",
    "free_own_mapping",
    "free_far",
    "free_small_number",
    "free_kernel",
    "size_of_stack",
];

fn run(kind: &str, size: usize) -> Output {
    let program = SECURE.path(|| compile("secure.c", "secure", Language::C, Linked::No));
    preloaded(program).arg(kind).arg(size.to_string()).output().expect("runs")
}

/// Whether the process was ended: by one line and `SIGABRT`, or by a page that may not be touched.
fn is_caught(output: &Output) -> bool {
    let line = text(&output.stderr);
    let is_report = line.starts_with("freestone: ") && line.matches('\n').count() == 1;
    let reported = is_report && death::by(output, 6, &line).is_ok();
    (reported || death::by(output, 11, "").is_ok()) && output.stdout.is_empty()
}

#[test]
fn faults_end_the_process() {
    let mut missed = Vec::new();
    let mut cases = 0;
    for (kind, sizes) in FAULTS {
        for size in SIZES[..sizes].iter().chain(&SIZES[12..]) {
            cases += 1;
            let output = run(kind, *size);
            if !is_caught(&output) {
                missed.push(format!("{kind} {size}: {output:?}"));
            }
        }
    }
    println!("{cases} cases");
    assert!(missed.is_empty(), "{} of {cases}: {missed:#?}", missed.len());
}

#[test]
fn secrets_are_wiped() {
    let mut missed = Vec::new();
    for (kind, sizes) in PROMISES {
        for size in &SIZES[..sizes] {
            let output = run(kind, *size);
            if text(&output.stdout) != "well\n" || !output.status.success() {
                missed.push(format!("{kind} {size}: {output:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_mapping_cannot_be_touched_when_it_is_freed() {
    assert!(is_caught(&run("read_after_free", SIZES[12])));
    let fresh = run("fresh_begins_with_zero", SIZES[12]);
    assert_eq!(text(&fresh.stdout), "well\n", "{fresh:?}");
}

#[test]
fn a_freed_block_waits_its_turn() {
    for size in &SIZES[..7] {
        assert_eq!(text(&run("reused_at_once", *size).stdout), "well\n", "{size}");
    }
}

#[test]
fn usable_is_what_was_asked_for() {
    for size in &SIZES[..12] {
        assert_eq!(text(&run("exact_size", *size).stdout), "well\n", "{size}");
    }
}

#[test]
fn nothing_cannot_be_touched() {
    for kind in OF_NOTHING {
        let output = run(kind, 1);
        assert!(is_caught(&output), "{kind}: {output:?}");
    }
}

#[test]
fn what_the_default_build_catches_and_more() {
    let program = MISUSE.path(|| compile("misuse.c", "misuse-secure", Language::C, Linked::No));
    let mut missed = Vec::new();
    for scenario in OTHERS {
        let output = preloaded(program).arg(scenario).output().expect("runs");
        if !is_caught(&output) {
            missed.push(format!("{scenario}: {output:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
