//! Forks, cancellation and the ends of processes; the checks are in `programs/process.c`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{Language, Linked, Program, compile, compiler, folder, library, preloaded, succeed, text};

static PROGRAM: Program = Program::new();

/// The program, preloaded; `report`: with misuse reported only.
fn run(scenario: &str, report: &str) -> String {
    let program = PROGRAM.path(|| compile("process.c", "process", Language::C, Linked::No));
    let output = succeed(preloaded(program).arg(scenario).env("FREESTONE_ON_MISUSE", report));
    assert_eq!(text(&output.stdout), "ok\n", "{scenario}");
    text(&output.stderr)
}

/// The program with the archive in it, whose code runs no earlier than the program's own
/// constructors.
fn with_archive() -> PathBuf {
    let program = folder().join(format!("process-archive-{}", std::process::id()));
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/process.c");
    let mut compiler = compiler(Language::C);
    compiler.arg("-o").arg(&program).arg(source).arg(library().with_extension("a"));
    succeed(compiler.args(["-static-libgcc", "-lgcc_eh", "-lpthread", "-ldl", "-lm", "-lc"]));
    program
}

#[test]
fn fork_handlers_of_earlier_days_may_allocate() {
    assert_eq!(run("early_handlers", "abort"), "");
    let output = succeed(Command::new(with_archive()).arg("early_handlers"));
    assert_eq!(text(&output.stdout), "ok\n");
}

#[test]
fn a_fork_beside_streams_comes_to_its_end() {
    assert_eq!(run("fork_beside_streams", "abort"), "");
}

#[test]
fn a_thread_is_not_cancelled_inside() {
    let said = run("cancelled_in_a_report", "report");
    assert!(said.starts_with("freestone: double free at 0x"), "{said}");
}

/// Without the purger as well.
#[test]
fn a_process_ends_with_its_last_thread() {
    assert_eq!(run("first_thread_ends", "abort"), "");
}

/// Without the purger as well.
#[test]
fn a_thread_without_a_heap_leaves_something_to_purge() {
    assert_eq!(run("purger_for_an_ended_thread", "abort"), "");
}
