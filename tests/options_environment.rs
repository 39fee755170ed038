//! Options from the environment: read at the start, warned about where they are wrong, and not read
//! at all in programs with more rights than their caller.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::{env, fs, hint, process};

use common::child::{self, Child, DONE};
use common::skip;

#[global_allocator]
static ALLOC: freestone::Freestone =
    freestone::Freestone::new().purge_delay(std::time::Duration::from_millis(70));

/// A program that does something small, and ends as programs do.
fn program() -> Option<Child> {
    Child::new("small", || {
        hint::black_box(vec![1_u8; 100]);
        process::exit(DONE);
    })
}

/// What that says with those variables.
fn said_with(variables: &[(&str, &str)]) -> Option<String> {
    Some(program()?.envs(variables.iter().copied()).succeeds())
}

#[test]
fn what_is_in_force_is_shown() {
    let variables = [("FREESTONE_VERBOSE", "1"), ("FREESTONE_RETAINED_BYTES", "3M")];
    let Some(said) = said_with(&variables) else { return };
    for line in ["PURGE_DELAY_MS=70", "RETAINED_BYTES=3145728", "HUGE_PAGES=adaptive", "MEMORY_LIMIT=none"] {
        assert!(said.contains(&format!("freestone: FREESTONE_{line}\n")), "{line} in\n{said}");
    }
}

#[test]
fn the_environment_comes_before_the_program() {
    let variables = [("FREESTONE_VERBOSE", "1"), ("FREESTONE_PURGE_DELAY_MS", "never")];
    let Some(said) = said_with(&variables) else { return };
    assert!(said.contains("FREESTONE_PURGE_DELAY_MS=never\n"), "{said}");
}

#[test]
fn wrong_names_and_values_are_named_and_ignored() {
    let variables = [
        ("FREESTONE_VERBOSE", "1"),
        ("FREESTONE_PURGE_DELY_MS", "5"),
        ("FREESTONE_PURGE_DELAY_MS", "soon"),
        ("FREESTONE_GUARD_PAGES", "yes"),
    ];
    let Some(said) = said_with(&variables) else { return };
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
    let Some(said) = said_with(&[("FREESTONE_PURGE_DELAY_MS", "1")]) else { return };
    assert_eq!(said, "");
}

#[test]
fn the_table_of_statistics_comes_at_exit() {
    let Some(said) = said_with(&[("FREESTONE_SHOW_STATS", "1")]) else { return };
    assert!(said.contains("allocated") && said.contains("committed"), "{said}");
}

/// A copy of this program that belongs to somebody else and runs with their rights.
#[test]
fn privileged_programs_do_not_read_the_environment() {
    // In the child only this matters.
    let (Some(plain), Some(privileged)) = (program(), program()) else { return };
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip!("only root can make a program that runs with other rights");
    }
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("open to all");
    if fs_is_nosuid(directory.path()) {
        skip!("the file system of {} does not give rights to programs", directory.path().display());
    }
    let copy = directory.path().join("privileged");
    let files = child::files();
    fs::copy(env::current_exe().expect("a test knows where it is"), &copy).expect("copied");
    drop(files);
    let said = |child: Child, mode: u32| {
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).expect("changed");
        let child = child.env("FREESTONE_VERBOSE", "1").env("FREESTONE_NO_SUCH", "1");
        child.by_user(1, &copy).succeeds()
    };
    assert!(said(plain, 0o755).contains("FREESTONE_NO_SUCH is ignored"), "without privileges it is read");
    assert_eq!(said(privileged, 0o4755), "");
}

fn fs_is_nosuid(path: &std::path::Path) -> bool {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path");
    let mut facts = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path is a C string, and `facts` writable.
    assert_eq!(unsafe { libc::statvfs(path.as_ptr(), facts.as_mut_ptr()) }, 0);
    // SAFETY: zeroes are valid, and the call has filled it in.
    unsafe { facts.assume_init() }.f_flag & libc::ST_NOSUID != 0
}
