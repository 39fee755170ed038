//! Options from the environment: read at the start, warned about where they are wrong, and not read
//! at all in programs with more rights than their caller.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::{env, fs, hint};

use common::child::said;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().purge_delay_ms(70);

/// Set in the program that a test starts: this one, to do something small.
const INSIDE: &str = "TEST_INSIDE";

fn program(path: &std::path::Path) -> Command {
    let mut command = Command::new(path);
    command.args(["--exact", "inside", "--nocapture"]).env(INSIDE, "1");
    command
}

fn run(variables: &[(&str, &str)]) -> Output {
    let path = env::current_exe().expect("a test knows where it is");
    let output = program(&path).envs(variables.iter().copied()).output().expect("it runs");
    assert!(output.status.success(), "{:?}", output.status);
    output
}

/// What the children do.
#[test]
fn inside() {
    if env::var_os(INSIDE).is_some() {
        hint::black_box(vec![1_u8; 100]);
    }
}

#[test]
fn what_is_in_force_is_shown() {
    let said = said(&run(&[("FREESTONE_VERBOSE", "1"), ("FREESTONE_RETAINED_BYTES", "3M")]));
    for line in ["PURGE_DELAY_MS=70", "RETAINED_BYTES=3145728", "HUGE_PAGES=adaptive", "MEMORY_LIMIT=none"] {
        assert!(said.contains(&format!("freestone: FREESTONE_{line}\n")), "{line} in\n{said}");
    }
}

#[test]
fn the_environment_comes_before_the_program() {
    let said = said(&run(&[("FREESTONE_VERBOSE", "1"), ("FREESTONE_PURGE_DELAY_MS", "never")]));
    assert!(said.contains("FREESTONE_PURGE_DELAY_MS=never\n"), "{said}");
}

#[test]
fn wrong_names_and_values_are_named_and_ignored() {
    let output = run(&[
        ("FREESTONE_VERBOSE", "1"),
        ("FREESTONE_PURGE_DELY_MS", "5"),
        ("FREESTONE_PURGE_DELAY_MS", "soon"),
        ("FREESTONE_GUARD_PAGES", "yes"),
    ]);
    let said = said(&output);
    for line in [
        "FREESTONE_PURGE_DELY_MS is ignored: there is no such option",
        "FREESTONE_PURGE_DELAY_MS is ignored: it takes a number of milliseconds, or never",
        "FREESTONE_GUARD_PAGES is ignored: it takes 0 or 1",
    ] {
        assert!(said.contains(&format!("freestone: {line}\n")), "{line} in\n{said}");
    }
    let guards = format!("FREESTONE_GUARD_PAGES={}\n", i32::from(cfg!(feature = "secure")));
    assert!(said.contains("FREESTONE_PURGE_DELAY_MS=70\n") && said.contains(&guards), "{said}");
}

#[test]
fn nothing_is_said_unasked() {
    assert_eq!(said(&run(&[("FREESTONE_PURGE_DELAY_MS", "1")])), "");
}

#[test]
fn the_table_of_statistics_comes_at_exit() {
    let said = said(&run(&[("FREESTONE_SHOW_STATS", "1")]));
    assert!(said.contains("allocated") && said.contains("committed"), "{said}");
}

/// A copy of this program that belongs to somebody else and runs with their rights.
#[test]
fn privileged_programs_do_not_read_the_environment() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can make a program that runs with other rights");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("open to all");
    let copy = directory.path().join("privileged");
    fs::copy(env::current_exe().expect("a test knows where it is"), &copy).expect("copied");
    let run = |mode: u32| {
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).expect("changed");
        let mut command = program(&copy);
        command.env("FREESTONE_VERBOSE", "1").env("FREESTONE_NO_SUCH", "1").uid(1).gid(1).current_dir("/");
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{:?}, saying {}", output.status, said(&output));
        said(&output)
    };
    assert!(run(0o755).contains("FREESTONE_NO_SUCH is ignored"), "without privileges it is read");
    let privileged = run(0o4755);
    if fs_is_nosuid(directory.path()) {
        println!("skipped: the file system does not give rights to programs");
        return;
    }
    assert_eq!(privileged, "");
}

fn fs_is_nosuid(path: &std::path::Path) -> bool {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path");
    let mut facts = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path is a C string, and `facts` writable.
    assert_eq!(unsafe { libc::statvfs(path.as_ptr(), facts.as_mut_ptr()) }, 0);
    // SAFETY: zeroes are valid, and the call has filled it in.
    unsafe { facts.assume_init() }.f_flag & libc::ST_NOSUID != 0
}
