//! Random bytes from the kernel.

use core::ptr;

use super::{Errno, Result};

/// Fills `words` with unpredictable bits (getrandom(2)), without waiting. Before the kernel's
/// generator is ready (`EAGAIN`), with the best that there are (`GRND_INSECURE`, since Linux 5.6).
pub(crate) fn random(words: &mut [u64]) -> Result<()> {
    match ask(words, libc::GRND_NONBLOCK) {
        Err(Errno(libc::EAGAIN)) => ask(words, libc::GRND_INSECURE),
        answer => answer,
    }
}

/// getrandom(2) by number: glibc has the function only from 2.25 on, and it is a cancellation
/// point. A request of at most 256 bytes is answered whole or not at all.
fn ask(words: &mut [u64], flags: libc::c_uint) -> Result<()> {
    let bytes = size_of_val(words);
    // SAFETY: so many bytes are writable for the call.
    let given = unsafe { libc::syscall(libc::SYS_getrandom, words.as_mut_ptr(), bytes, flags) };
    match usize::try_from(given) {
        Ok(given) if given == bytes => Ok(()),
        Ok(_) => Err(Errno(libc::EIO)),
        Err(_) => Err(Errno::last()),
    }
}

/// getauxval(3), `AT_RANDOM`: sixteen random bytes that the kernel gives each program. The C
/// library derives its secrets from them, so nothing from which they can be computed may be
/// visible.
pub(crate) fn start_words() -> Option<[u64; 2]> {
    // SAFETY: no preconditions.
    let address = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    let words: *const [u64; 2] = ptr::with_exposed_provenance(address);
    if words.is_null() {
        return None;
    }
    // SAFETY: the kernel put sixteen bytes there, which stay.
    Some(unsafe { words.read_unaligned() })
}
