//! The library under test, programs made for it, and running them with it preloaded.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses a part")]

#[path = "../../../../tests/common/death.rs"]
pub(crate) mod death;
#[path = "../../../../tests/common/skip.rs"]
pub(crate) mod skip;

pub(crate) use skip::skip;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const NAME: &str = "libfreestone_preload.so";

/// The shared library, in the profile of the tests. Cargo builds no libraries for tests that
/// cannot link them, so it is asked to.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", env!("CARGO_PKG_NAME"), "--message-format=json"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        if cfg!(feature = "secure") {
            build.args(["--features", "secure"]);
        }
        if cfg!(feature = "background-purge") {
            build.args(["--features", "background-purge"]);
        }
        let messages = succeed(build.current_dir(env!("CARGO_MANIFEST_DIR")));
        let messages = text(&messages.stdout);
        let path = messages.split('"').find(|word| word.ends_with(NAME)).expect("cargo names what it built");
        PathBuf::from(path)
    })
}

/// Language of a test program.
#[derive(Clone, Copy)]
pub(crate) enum Language {
    C,
    CPlusPlus,
}

/// Whether a program is linked against the library, or knows nothing of it.
#[derive(Clone, Copy)]
pub(crate) enum Linked {
    Yes,
    No,
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs")
}

/// Where this test's programs go.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Compiles the test program `source` to `name`.
pub(crate) fn compile(source: &str, name: &str, language: Language, linked: Linked) -> PathBuf {
    let program = folder().join(format!("{name}-{}", std::process::id()));
    let mut compiler = compiler(language);
    compiler.arg("-o").arg(&program).arg(programs().join(source));
    if let Linked::Yes = linked {
        compiler.arg(library());
    }
    succeed(compiler.arg("-ldl"));
    program
}

/// Compiles the test program `source` to a plug-in.
pub(crate) fn compile_plugin(source: &str, name: &str) -> PathBuf {
    let plugin = folder().join(format!("{name}-{}.so", std::process::id()));
    let mut compiler = compiler(Language::CPlusPlus);
    succeed(compiler.args(["-shared", "-fPIC", "-o"]).arg(&plugin).arg(programs().join(source)));
    plugin
}

/// A compiler that does not think it knows what malloc does.
pub(crate) fn compiler(language: Language) -> Command {
    let mut compiler = match language {
        Language::C => Command::new("cc"),
        Language::CPlusPlus => Command::new("c++"),
    };
    compiler.arg(match language {
        Language::C => "-std=gnu17",
        Language::CPlusPlus => "-std=c++17",
    });
    compiler.args(["-D_GNU_SOURCE", "-O1", "-g", "-fno-builtin", "-Wall", "-Wextra", "-pthread"]);
    // What the misuse tests do is seen by compilers too.
    compiler.args(["-Wno-pragmas", "-Wno-unknown-warning-option", "-Wno-free-nonheap-object"]);
    compiler.args([
        "-Wno-use-after-free",
        "-Wno-deprecated-declarations",
        "-Wno-maybe-uninitialized",
        "-Wno-array-bounds",
    ]);
    compiler.arg("-I").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"));
    compiler
}

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    output
}

/// `program` with the library preloaded.
pub(crate) fn preloaded(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library()).env_remove("FREESTONE_ON_MISUSE");
    command
}

/// Output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program compiled once for all the scenarios of a test file.
pub(crate) struct Program(OnceLock<PathBuf>);

impl Program {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn path(&self, compile: impl FnOnce() -> PathBuf) -> &Path {
        self.0.get_or_init(compile)
    }
}

/// What a scenario exits with that this machine does not let run; why stands on its standard error.
const SKIPPED: i32 = 77;

/// Runs a scenario that must end by saying that all is well.
pub(crate) fn run_scenario(program: &Path, scenario: &str, environment: &[(&str, &Path)]) {
    let mut command = preloaded(program);
    let output = command.arg(scenario).envs(environment.iter().copied()).output().expect("runs");
    if output.status.code() == Some(SKIPPED) {
        skip!("{scenario}: {}", text(&output.stderr).trim_end());
    }
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    assert_eq!(text(&output.stdout), "ok\n", "{scenario}");
}
