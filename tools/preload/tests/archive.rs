//! The static archive, linked into programs that are preloaded with nothing.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use common::{Language, compiler, death, folder, library, skip, succeed, text};

/// What the archive needs beside itself: the unwinder with which `new` throws.
const LIBRARIES: [&str; 5] = ["-static-libgcc", "-lgcc_eh", "-lpthread", "-ldl", "-lm"];

/// Compiles the test program `source` with the archive.
fn link(source: &str, name: &str, language: Language) -> PathBuf {
    let program = folder().join(format!("{name}-{}", std::process::id()));
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(source);
    let mut compiler = compiler(language);
    compiler.arg("-o").arg(&program).arg(source).arg(library().with_extension("a"));
    succeed(compiler.args(LIBRARIES).arg("-lc"));
    program
}

fn says_ok(program: &mut Command) {
    assert_eq!(text(&succeed(program).stdout), "ok\n", "{program:?}");
}

#[test]
fn in_c() {
    let program = link("contract.c", "archive-c", Language::C);
    for point in ["alignment", "resizing", "too_large", "additions"] {
        says_ok(Command::new(&program).arg(point));
    }
}

#[test]
fn in_cplusplus() {
    says_ok(&mut Command::new(link("operators.cc", "archive-cc", Language::CPlusPlus)));
}

/// Throwing needs two functions of the C++ runtime, which a program without any shared library must
/// be told to have.
#[test]
fn throws_without_any_shared_library() {
    let program = folder().join(format!("archive-static-{}", std::process::id()));
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/throws.cc");
    let mut compiler = compiler(Language::CPlusPlus);
    compiler.args(["-static", "-Wl,-u,_ZSt17__throw_bad_allocv", "-Wl,-u,_ZSt15get_new_handlerv"]);
    compiler.arg("-o").arg(&program).arg(source).arg(library().with_extension("a"));
    succeed(compiler.args(LIBRARIES).arg("-lc"));
    says_ok(&mut Command::new(program));
}

/// A program with more rights than its caller does not heed the caller's environment
/// (getauxval(3), `AT_SECURE`). It takes root to make one.
#[test]
fn more_rights_than_the_caller() {
    const NOBODY: u32 = 65534;
    let program = link("misuse.c", "archive-setuid", Language::C);
    let run = |user: Option<u32>| {
        let mut command = Command::new(&program);
        command.arg("double_free_64").env("FREESTONE_ON_MISUSE", "report").current_dir("/");
        if let Some(user) = user {
            command.uid(user);
        }
        command.output().expect("runs")
    };
    assert!(run(None).status.success(), "its own environment is heeded");
    // Where everybody may reach it.
    let everybodys = std::env::temp_dir().join(program.file_name().expect("a name"));
    std::fs::copy(&program, &everybodys).expect("copied");
    if chown(&everybodys, Some(0), None).is_err() {
        std::fs::remove_file(&everybodys).expect("removed");
        skip!("only root can make a program that runs with other rights");
    }
    std::fs::set_permissions(&everybodys, PermissionsExt::from_mode(0o4755)).expect("allowed");
    let output = Command::new(&everybodys)
        .arg("double_free_64")
        .env("FREESTONE_ON_MISUSE", "report")
        .current_dir("/")
        .uid(NOBODY)
        .output();
    std::fs::remove_file(&everybodys).expect("removed");
    let output = output.expect("runs");
    let address =
        death::reported_address(&output, "double free").expect("the caller's environment is not heeded");
    assert_eq!(death::by(&output, 6, &format!("freestone: double free at {address}\n")), Ok(()));
}
