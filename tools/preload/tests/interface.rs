//! The interface: the header, the exports, and what the library asks of others.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::{Language, compiler, library, succeed, text};

const HEADER: &str = include_str!("../include/freestone.h");

/// Functions that the header declares: names before a parenthesis that end a declaration.
fn declared() -> BTreeSet<String> {
    let declarations = HEADER.lines().filter(|line| line.ends_with("FREESTONE_NOEXCEPT;"));
    let name = |line: &str| {
        let head = line.split('(').next().unwrap_or_default();
        head.rsplit([' ', '*']).next().unwrap_or_default().to_owned()
    };
    declarations.map(name).collect()
}

fn exported() -> BTreeSet<String> {
    let symbols = succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(library()));
    text(&symbols.stdout).lines().filter_map(|line| line.split(' ').nth(2).map(str::to_owned)).collect()
}

/// Declared by <malloc.h> with their structures, and only mentioned by the header.
const WITH_STRUCTURES: [&str; 2] = ["mallinfo", "mallinfo2"];

#[test]
fn header_and_exports_agree() {
    let exported = exported();
    let declared = declared();
    assert!(declared.len() == 18, "{declared:?}");
    let missing: Vec<_> = declared.difference(&exported).collect();
    assert!(missing.is_empty(), "declared, not exported: {missing:?}");
    let is_known = |name: &&String| {
        declared.contains(*name)
            || WITH_STRUCTURES.contains(&name.as_str())
            || ["__libc_", "__posix_", "_Zn", "_Zd"].iter().any(|prefix| name.starts_with(prefix))
    };
    let unknown: Vec<_> = exported.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "exported, not declared: {unknown:?}");
}

/// Eight operators new and twelve operators delete, by the names that the C++ compiler gives.
#[test]
fn every_operator() {
    let source = r"
        #include <new>
        using N = const std::nothrow_t &; using A = std::align_val_t; using S = std::size_t;
        void *p[] = {
            (void *)(void *(*)(S))operator new, (void *)(void *(*)(S))operator new[],
            (void *)(void *(*)(S, N))operator new, (void *)(void *(*)(S, N))operator new[],
            (void *)(void *(*)(S, A))operator new, (void *)(void *(*)(S, A))operator new[],
            (void *)(void *(*)(S, A, N))operator new, (void *)(void *(*)(S, A, N))operator new[],
            (void *)(void (*)(void *))operator delete, (void *)(void (*)(void *))operator delete[],
            (void *)(void (*)(void *, S))operator delete, (void *)(void (*)(void *, S))operator delete[],
            (void *)(void (*)(void *, N))operator delete, (void *)(void (*)(void *, N))operator delete[],
            (void *)(void (*)(void *, A))operator delete, (void *)(void (*)(void *, A))operator delete[],
            (void *)(void (*)(void *, S, A))operator delete, (void *)(void (*)(void *, S, A))operator delete[],
            (void *)(void (*)(void *, A, N))operator delete, (void *)(void (*)(void *, A, N))operator delete[],
        };";
    let file = common::folder().join("every_operator.cc");
    std::fs::write(&file, source).expect("written");
    let object = file.with_extension("o");
    succeed(compiler(Language::CPlusPlus).args(["-c", "-o"]).arg(&object).arg(&file));
    let wanted = succeed(Command::new("nm").arg("--undefined-only").arg(&object));
    let wanted: BTreeSet<String> = text(&wanted.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().last().map(str::to_owned))
        .collect();
    assert_eq!(wanted.len(), 20, "{wanted:?}");
    let operators: BTreeSet<String> =
        exported().into_iter().filter(|name| name.starts_with("_Zn") || name.starts_with("_Zd")).collect();
    assert_eq!(operators, wanted);
}

/// The header stands alone in C and C++, and agrees with the C library's own declarations.
#[test]
fn header_compiles() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/freestone.h");
    for (language, name) in [(Language::C, "c"), (Language::CPlusPlus, "c++")] {
        for also in ["", "malloc.h"] {
            let mut compiler = compiler(language);
            compiler.args(["-Werror", "-fsyntax-only", "-x", name]);
            if !also.is_empty() {
                compiler.args(["-include", also, "-include", "stdlib.h"]);
            }
            succeed(compiler.arg(&header));
        }
    }
}

/// Loaded into every process, the library stays, comes first, and binds everything at once; its
/// static TLS is one pointer, and it needs no C++ runtime.
#[test]
fn link_options() {
    let dynamic = text(&succeed(Command::new("readelf").arg("-dlW").arg(library())).stdout);
    for wanted in ["NODELETE", "INITFIRST", "NOW", "STATIC_TLS"] {
        assert!(dynamic.contains(wanted), "{wanted} in {dynamic}");
    }
    assert!(!dynamic.contains("libstdc++") && !dynamic.contains("libc++"), "{dynamic}");
    let tls = dynamic.lines().find(|line| line.trim_start().starts_with("TLS")).expect("a TLS segment");
    let bytes = tls.split_whitespace().nth(5).expect("its length in memory");
    let bytes = usize::from_str_radix(bytes.trim_start_matches("0x"), 16).expect("a number");
    assert!(bytes <= 256, "{tls}");
}
