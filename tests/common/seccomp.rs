//! System calls that the kernel refuses to the calling thread for good (seccomp(2)). Nothing here
//! allocates.

use std::ffi::c_long;
use std::io;
use std::mem::offset_of;

/// From now on `call` fails with `errno`.
pub(crate) fn refuse(call: c_long, errno: i32) -> io::Result<()> {
    load(&mut [
        NUMBER,
        if_call(call, 0, 1),
        answer(libc::SECCOMP_RET_ERRNO | errno as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

/// Loads the number of the system call.
pub(crate) const NUMBER: libc::sock_filter =
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset_of!(libc::seccomp_data, nr) as u32);

/// Passes over `on_call` statements if the system call is `call`, and else over `otherwise`.
pub(crate) const fn if_call(call: c_long, on_call: u8, otherwise: u8) -> libc::sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, on_call, otherwise, call as u32)
}

/// What becomes of the system call: one of `SECCOMP_RET_*`.
pub(crate) const fn answer(what: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, 0, 0, what)
}

const fn statement(code: u32, on_true: u8, on_false: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: on_true, jf: on_false, k: operand }
}

/// Puts `filter` before every system call of the calling thread.
pub(crate) fn load(filter: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is readable for the calls, which concern the calling thread.
    let answers = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
        ]
    };
    if answers == [0, 0] { Ok(()) } else { Err(io::Error::last_os_error()) }
}
