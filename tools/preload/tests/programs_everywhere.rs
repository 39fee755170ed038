//! Programs that every machine with these tests has: with the library they print what they
//! print without it. `try.sh` runs many more.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::process::Command;

use common::{preloaded, succeed, text};

/// Compares a run with the library to one without.
fn same(program: &str, arguments: &[&str]) {
    let with = succeed(preloaded(program).args(arguments));
    let without = succeed(Command::new(program).args(arguments));
    assert!(!without.stdout.is_empty(), "{program} says something");
    assert_eq!(text(&with.stdout), text(&without.stdout), "{program}");
    assert_eq!(text(&with.stderr), text(&without.stderr), "{program}");
}

/// The library is there at all, and serves: a program that looks finds it in its own mappings.
#[test]
fn the_library_is_loaded() {
    let maps = succeed(preloaded("cat").arg("/proc/self/maps"));
    assert!(text(&maps.stdout).contains("libfreestone_preload.so"));
}

#[test]
fn shell_and_tools() {
    same("ls", &["-lR", concat!(env!("CARGO_MANIFEST_DIR"), "/tests")]);
    same("sh", &["-c", "for i in 1 2 3; do (echo $i; ls / | sort -r) | cat; done; echo ${PATH:+x}"]);
    same("sort", &["-r", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/faults.c")]);
}

#[test]
fn cargo_and_rustc() {
    same(env!("CARGO"), &["--version", "--verbose"]);
    same("rustc", &["--print", "cfg"]);
    same(
        "cc",
        &[
            "-E",
            "-I",
            concat!(env!("CARGO_MANIFEST_DIR"), "/include"),
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/contract.c"),
        ],
    );
}
