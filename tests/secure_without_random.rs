//! A kernel that gives no random bytes is an ordinary one: misuse is caught, and secrets differ
//! from run to run.

mod common;

use std::alloc::{alloc, dealloc};
use std::env;
use std::ffi::CStr;
use std::hint::black_box;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};

use common::block::layout;
use common::seccomp;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const VARIABLE: &CStr = c"WITHOUT_RANDOM";
const SIZE: usize = 17;

/// This test's program again, where the kernel answers getrandom(2) with `errno`.
fn run(errno: i32) -> Output {
    let mut command = Command::new(env::current_exe().expect("a test knows where it is"));
    command.env(VARIABLE.to_str().expect("a name"), "1").stdin(Stdio::null());
    // SAFETY: two system calls.
    unsafe { command.pre_exec(move || seccomp::refuse(libc::SYS_getrandom, errno)) };
    command.output().expect("a test can run itself")
}

/// Before `main`, as `std` itself does not live without random bytes.
#[used]
#[unsafe(link_section = ".init_array")]
static EARLY: extern "C" fn() = early;

/// In the child: says what lies behind a block, and frees the block twice.
extern "C" fn early() {
    // SAFETY: the name is a C string.
    if unsafe { libc::getenv(VARIABLE.as_ptr()) }.is_null() {
        return;
    }
    let mut byte = 0_u8;
    // SAFETY: one byte is writable for the call.
    assert_eq!(unsafe { libc::syscall(libc::SYS_getrandom, &raw mut byte, 1, 0) }, -1, "the kernel refuses");
    // SAFETY: the size is not zero.
    let start = black_box(unsafe { alloc(layout(SIZE, 1)) });
    // SAFETY: none: read beyond the end on purpose, and freed twice.
    unsafe {
        let behind = u64::from_le_bytes(start.wrapping_add(SIZE).cast::<[u8; 8]>().read_volatile());
        println!("behind {:016x}", behind & ((1 << 56) - 1));
        dealloc(black_box(start), layout(SIZE, 1));
        dealloc(black_box(start), layout(SIZE, 1));
    }
}

#[test]
fn refused_random_bytes_are_replaced() {
    let mut seen = Vec::new();
    for errno in [libc::ENOSYS, libc::EPERM, libc::EAGAIN, libc::EINVAL, libc::EINTR] {
        let output = run(errno);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "errno {errno}: {out}{err}");
        assert!(err.starts_with("freestone: double free at 0x"), "errno {errno}: {err}");
        let behind =
            out.lines().find_map(|line| line.split_once("behind ")).expect("what is behind").1.to_owned();
        assert!(behind.bytes().any(|digit| digit != b'0'), "{behind}");
        assert!(!seen.contains(&behind), "the same as in another process: {behind}");
        seen.push(behind);
    }
}
