//! Facts about the process that do not change: its environment, its privileges, its limits.

use core::ffi::{CStr, c_char};

use super::status::number;
use super::{Errno, Result, calls};
use crate::base::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The process's environment (environ(7)): a null-terminated array of C strings. Null before the C
/// library has been started, and after clearenv(3).
pub(crate) fn environment() -> *const *const c_char {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the C library's variable. A program must not change it while other threads read
    // (getenv(3)).
    unsafe { environ }
}

/// getenv(3): the value of a variable, valid until the program changes the environment.
#[cfg(feature = "profile")]
pub(crate) fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the name is a C string.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: what is not null is a C string.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// getauxval(3), `AT_SECURE`: whether the program has privileges that its caller may lack. The
/// environment is then not to be trusted.
pub(crate) fn is_privileged() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// A word that reads as zero in a child, whichever call made the child: madvise(2),
/// `MADV_WIPEONFORK`, since Linux 4.14. None where the kernel refuses, or takes any advice whatever
/// without following it, as qemu-user before 8.0 does. Its page is never unmapped and not counted:
/// it is no caller's memory.
pub(crate) fn wiped_word() -> Option<&'static AtomicU32> {
    /// From <linux/mman.h>; the `libc` crate does not have it for every C library.
    const MADV_WIPEONFORK: libc::c_int = 18;
    /// No advice: refused by whoever reads it.
    const NONSENSE: libc::c_int = -1;
    let bytes = super::page_bytes();
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = calls::map_at(0, bytes, protection, flags, None).ok()?;
    // SAFETY: the page was just mapped, and the advice changes nothing in this process.
    let is_taken = |advice| unsafe { calls::advise(page, bytes, advice) }.is_ok();
    if !is_taken(MADV_WIPEONFORK) || is_taken(NONSENSE) {
        // SAFETY: nobody else knows of the page.
        let _ = unsafe { calls::unmap(page, bytes) };
        return None;
    }
    // SAFETY: a zeroed page that stays, on whose beginning the word is aligned.
    Some(unsafe { page.cast().as_ref() })
}

/// The contents of the file at `path`, as far as `into` has room: openat(2), read(2), close(2). By
/// number, since the C library's functions are cancellation points (pthreads(7)), and the caller
/// may hold a lock.
pub(crate) fn read_file<'a>(path: &CStr, into: &'a mut [u8]) -> Result<&'a [u8]> {
    // SAFETY: the path is a C string.
    let file = unsafe {
        libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)
    };
    if file < 0 {
        return Err(Errno::last());
    }
    let mut len = 0_usize;
    let answer = loop {
        let Some(room) = into.get_mut(len..).filter(|room| !room.is_empty()) else { break Ok(()) };
        // SAFETY: the room is writable.
        let read = unsafe { libc::syscall(libc::SYS_read, file, room.as_mut_ptr(), room.len()) };
        match usize::try_from(read) {
            Ok(0) => break Ok(()),
            Ok(read) => len = len.wrapping_add(read),
            Err(_) => break Err(Errno::last()),
        }
    };
    // SAFETY: opened above, and not closed yet.
    let _ = unsafe { libc::syscall(libc::SYS_close, file) };
    answer.map(|()| into.get(..len).unwrap_or(&[]))
}

/// How many mappings a process may have: `vm.max_map_count` (proc_sys_vm(5)), or its default where
/// it cannot be read.
pub(crate) fn most_mappings() -> usize {
    const DEFAULT: usize = 65_530;
    static MOST: AtomicUsize = AtomicUsize::new(0);
    match MOST.load(Ordering::Relaxed) {
        0 => {
            let mut text = [0; 32];
            let text = read_file(c"/proc/sys/vm/max_map_count", &mut text).unwrap_or(&[]);
            let most = number(text).filter(|most| *most != 0).unwrap_or(DEFAULT);
            MOST.store(most, Ordering::Relaxed);
            most
        }
        most => most,
    }
}
