//! The meaning of each error for the call that gave it, and a remedy. From the man pages of the
//! calls (Linux man-pages 6), for the requests that this room makes.
#![forbid(unsafe_code)]

use super::errno::Errno;
use super::error::{Call, FileKind, Refusal};

mod memory;
mod mmap;

/// An error in words: two clauses without a full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) meaning: &'static str,
    pub(super) remedy: &'static str,
}

const fn says(meaning: &'static str, remedy: &'static str) -> Explanation {
    Explanation { meaning, remedy }
}

/// For an error that the call's man page does not list. Each source is as likely, so none is named
/// alone.
const UNLISTED: Explanation = says(
    "this call's man page does not list the error: a driver, a file system, a security module or a seccomp \
     filter may have answered",
    "look up the number in errno(3), what the mapping is of, and the process's sandbox",
);

/// The map-count limit or the kernel's own memory: the same for every call that cuts mappings.
const SPLITTING: Explanation = says(
    "the process has as many mappings as it may (vm.max_map_count), or the kernel has no memory for its records",
    "unmap something, keep neighbours alike so that they merge, or raise vm.max_map_count; nothing was changed",
);

/// Meaning and remedy of the kernel's answer to a call.
pub(super) const fn kernel(call: Call, errno: Errno) -> Explanation {
    match call {
        Call::Mmap(backing) => mmap::explain(backing, errno.number()),
        call => memory::explain(call, errno.number()),
    }
}

/// Meaning and remedy of a request that no kernel was asked.
pub(super) const fn refusal(refusal: Refusal) -> Explanation {
    match refusal {
        Refusal::OutOfBounds => says("the range is not inside the mapping", "compare it with `len()`"),
        Refusal::NotOnAPage => says(
            "the offset is not on a page's boundary, and pages can't be halved",
            "use multiples of `page_bytes()`, less `waste().before`",
        ),
        Refusal::NotAPowerOfTwo => says("pages and alignments are powers of two", "round it up to one"),
        Refusal::Misaligned => says(
            "the address is null, or not a multiple of the page and of the requested alignment",
            "round it to a multiple of both",
        ),
        Refusal::TooLong => says(
            "offset and length reach beyond what a file or an object can have",
            "keep the length within `isize::MAX` and the offset within `i64::MAX`",
        ),
        Refusal::NoLength(kind) => {
            says(no_length(kind), "give a length, and the kernel says whether it can be mapped")
        }
        Refusal::NotAFile => says("there is no file behind this mapping", "use `resize`"),
        Refusal::MayChange => says(
            "the bytes may change under a reference, or vanish: they belong to a file or are shared",
            "copy with `read_at` and `write_at`, or vouch for them with `assume_stable` or `assume_exclusive`",
        ),
        Refusal::NotSharedMemory => says(
            "safe atomics need shared memory without a file, which nobody can cut short",
            "map anonymous memory as shared, or go through `as_mut_ptr`",
        ),
        Refusal::Protected => says("the mapping's protection forbids it", "change it with `protect`"),
        Refusal::Guarded => says(
            "guard pages would stay behind, or be in the way",
            "map anew at the other size, and copy; or map without guards",
        ),
        Refusal::FixedObject => says(
            "shared memory without a file keeps the length it was made with: beyond it is SIGBUS",
            "share a file instead (memfd_create(2) makes one in memory) and use `resize_with_file`",
        ),
        Refusal::NotPlaced => says(
            "the kernel ignored the fixed address: it is older than 4.17 and the place is taken",
            "choose another address",
        ),
        Refusal::NoMemory => says("there is no memory for the answer", "ask about a smaller range"),
    }
}

const fn no_length(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Directory => "it is a directory, not a regular file, and has no length to map",
        FileKind::Pipe => "it is a pipe, not a regular file, and has no length to map",
        FileKind::CharacterDevice => {
            "it is a terminal or another device, not a regular file, and has no length to map"
        }
        FileKind::BlockDevice => "it is a disk, not a regular file, and fstat(2) gives it no length",
        FileKind::Socket => "it is a socket, not a regular file, and has no length to map",
        FileKind::Other => "it is no regular file, and has no length to map",
    }
}

#[cfg(test)]
mod tests {
    use super::super::advice::{Advice, Discard};
    use super::super::error::Backing;
    use super::*;

    /// The errors that the man pages list, as far as this room's requests can meet them.
    fn listed() -> Vec<(Call, &'static [i32])> {
        use libc::*;
        vec![
            (Call::Mmap(Backing::Anonymous), &[EAGAIN, EEXIST, EINVAL, ENFILE, ENOMEM, EOVERFLOW, EPERM]),
            (Call::Mmap(Backing::HugePages), &[EAGAIN, EEXIST, EINVAL, ENFILE, ENOMEM, EPERM]),
            (
                Call::Mmap(Backing::PrivateFile),
                &[EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENFILE, ENODEV, ENOMEM, EOVERFLOW, EPERM],
            ),
            (
                Call::Mmap(Backing::SharedFile),
                &[EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENFILE, ENODEV, ENOMEM, EOVERFLOW, EPERM],
            ),
            (Call::Munmap, &[EINVAL, ENOMEM]),
            (Call::Mprotect, &[EACCES, EINVAL, ENOMEM, EPERM]),
            (Call::Mremap, &[EAGAIN, EFAULT, EINVAL, ENOMEM]),
            (Call::Msync, &[EBUSY, EINVAL, EIO, ENOMEM, ENOSPC]),
            (Call::Advise(Advice::PopulateWrite), &[EFAULT, EHWPOISON, EINVAL, ENOMEM, EAGAIN]),
            (Call::Advise(Advice::HugePages), &[EINVAL, ENOMEM]),
            (Call::Advise(Advice::WipeOnFork), &[EINVAL]),
            (Call::Advise(Advice::Collapse), &[EINVAL, EAGAIN, EBUSY, ENOMEM]),
            (Call::Advise(Advice::WillNeed), &[EBADF, EIO, EAGAIN, ENOMEM]),
            (Call::Discard(Discard::Pages), &[EINVAL]),
            (Call::Discard(Discard::Storage), &[EACCES, EINVAL, EOPNOTSUPP]),
            (Call::Discard(Discard::Lazily), &[EINVAL]),
            (Call::Mlock, &[EAGAIN, EINVAL, ENOMEM, EPERM]),
            (Call::Munlock, &[ENOMEM]),
            (Call::Mincore, &[EAGAIN, EINVAL, ENOMEM]),
            (Call::ReadAt, &[EFAULT, ENOMEM, ENOSYS, EPERM]),
            (Call::Fstat, &[EBADF, ENOMEM, EOVERFLOW]),
            (Call::Ftruncate, &[EBADF, EFBIG, EINTR, EINVAL, EIO, EPERM, EROFS, ETXTBSY]),
        ]
    }

    #[test]
    fn every_error_that_a_man_page_lists_has_a_name_and_its_own_words() {
        for (call, errnos) in listed() {
            for &errno in errnos {
                let errno = Errno::new(errno);
                let found = kernel(call, errno);
                assert_ne!(errno.name(), "unknown", "{call:?} {errno:?}");
                assert_ne!(found, UNLISTED, "{call:?} {errno:?}");
                assert!(!found.meaning.is_empty() && !found.remedy.is_empty());
            }
        }
    }

    #[test]
    fn the_same_errno_means_what_the_call_makes_of_it() {
        let enomem = Errno::new(libc::ENOMEM);
        let calls = [
            Call::Mmap(Backing::Anonymous),
            Call::Mmap(Backing::HugePages),
            Call::Munmap,
            Call::Mremap,
            Call::Mlock,
            Call::Msync,
        ];
        let meanings: std::collections::HashSet<_> =
            calls.iter().map(|&call| kernel(call, enomem).meaning).collect();
        assert_eq!(meanings.len(), calls.len());
    }

    #[test]
    fn an_unlisted_errno_says_so() {
        assert_eq!(kernel(Call::Mmap(Backing::Anonymous), Errno::new(12345)), UNLISTED);
        assert_eq!(Errno::new(12345).name(), "unknown");
    }
}
