//! Random bytes from the kernel.

use core::ptr;

use super::{Errno, Result};

/// Fills `words` with what nobody can foretell (getrandom(2)); never waits. Early in a system's life, before
/// its generator is ready, with the best that there is (`GRND_INSECURE`, Linux 5.6).
pub(crate) fn random(words: &mut [u64]) -> Result<()> {
    match ask(words, libc::GRND_NONBLOCK) {
        Err(Errno(libc::EAGAIN)) => ask(words, libc::GRND_INSECURE),
        answer => answer,
    }
}

/// By number: libc's function is a cancellation point, and in glibc only since 2.25. Requests of up to 256
/// bytes are answered whole or not at all.
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

/// The sixteen random bytes that the kernel gives each program at its start (getauxval(3), `AT_RANDOM`). The C
/// library's own secrets are made of them: nothing of which they can be had back may be seen.
pub(crate) fn start_words() -> Option<[u64; 2]> {
    // SAFETY: no preconditions.
    let place = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    let place: *const [u64; 2] = ptr::with_exposed_provenance(place);
    if place.is_null() {
        return None;
    }
    // SAFETY: the kernel put sixteen bytes there, where they stay.
    Some(unsafe { place.read_unaligned() })
}
