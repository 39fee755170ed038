//! From before `main` to after it; the checks are in `programs/life.c` and `programs/plugin.cc`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{Language, Linked, Program, compile, compile_plugin, run_scenario, succeed, text};

static PROGRAM: Program = Program::new();
static PLUGIN: Program = Program::new();

fn check(scenario: &str) {
    let program = PROGRAM.path(|| compile("life.c", "life", Language::C, Linked::No));
    let plugin = PLUGIN.path(|| compile_plugin("plugin.cc", "plugin"));
    run_scenario(program, scenario, &[("PLUGIN", plugin)]);
}

macro_rules! scenarios {
    ($($scenario:ident)*) => { $(
        #[test]
        fn $scenario() {
            check(stringify!($scenario));
        }
    )* };
}

scenarios! { constructors forks vfork_and_exec thread_ends signals plug_ins }

#[test]
fn operators_of_cplusplus() {
    let program = compile("operators.cc", "operators", Language::CPlusPlus, Linked::No);
    let output = succeed(&mut common::preloaded(program));
    assert_eq!(text(&output.stdout), "ok\n");
}

/// Without a C++ runtime there is nothing to throw with: one line says so.
#[test]
fn operators_without_cplusplus() {
    let program = compile("bare_new.c", "bare_new", Language::C, Linked::Yes);
    let output = common::preloaded(program).output().expect("runs");
    assert_eq!(text(&output.stdout), "small\nnothrow\n");
    let line = "freestone: out of memory in operator new, and no C++ runtime to throw with\n";
    assert_eq!(common::death::by(&output, 6, line), Ok(()));
}
