//! The calls on what is mapped already.
#![forbid(unsafe_code)]

use super::super::advice::{Advice, Discard};
use super::{Explanation, SPLITTING, UNLISTED, says};

/// For what this module's own bookkeeping rules out.
const CHANGED_BEHIND: Explanation = says(
    "part of the range is not mapped any more: something else unmapped or replaced it",
    "find who calls munmap(2) or MAP_FIXED on addresses that are not theirs",
);

pub(super) const fn munmap(errno: i32) -> Explanation {
    match errno {
        libc::ENOMEM => says(
            "cutting the range out would make two mappings of one, beyond vm.max_map_count",
            "unmap a neighbour first, or try again later; the range is as before",
        ),
        libc::EINVAL => says(
            "the range is no whole number of this mapping's pages",
            "unmap memory of huge pages by whole huge pages",
        ),
        _ => UNLISTED,
    }
}

pub(super) const fn mprotect(errno: i32) -> Explanation {
    match errno {
        libc::EACCES => says(
            "a shared mapping can't be made writable when its file is open for reading only",
            "map the file again, opened for reading and writing, or as private",
        ),
        libc::EINVAL => says("this processor or kernel has no such protection", "ask for less"),
        libc::ENOMEM => SPLITTING,
        libc::EPERM => says(
            "the file is sealed against it (memfd), or a security policy forbids it",
            "map it private, or do without",
        ),
        _ => UNLISTED,
    }
}

pub(super) const fn mremap(errno: i32) -> Explanation {
    match errno {
        libc::EAGAIN => says(
            "the mapping is locked, and growing it would exceed RLIMIT_MEMLOCK",
            "unlock it, or raise the limit (ulimit -l)",
        ),
        libc::EFAULT => says(
            "the mapping is several to the kernel: advice, locks or protection were given to a part of it",
            "make its parts alike first, or map anew and copy",
        ),
        libc::EINVAL => says(
            "the new length is 0, or pages of this kind can't be resized",
            "unmap it instead, or map anew and copy",
        ),
        libc::ENOMEM => says(
            "no room behind it to grow in place, or, where it may move, no room at all (RLIMIT_AS, vm.max_map_count, \
             vm.overcommit_memory)",
            "let it move (`Placement::MayMove`), or free some memory; it is as before",
        ),
        _ => UNLISTED,
    }
}

pub(super) const fn msync(errno: i32) -> Explanation {
    match errno {
        libc::EBUSY => says(
            "invalidation was asked for, and part of the range is locked",
            "unlock it, or leave invalidation out",
        ),
        libc::EINVAL => says("the kernel does not know these flags", "use another kind of synchronisation"),
        libc::EIO => says(
            "writing to the file's device failed: some of what was written is lost",
            "treat the file as damaged, and look at the kernel's log",
        ),
        libc::ENOSPC => {
            says("the device is full: some of what was written is lost", "make room, and write it again")
        }
        libc::ENOMEM => CHANGED_BEHIND,
        _ => UNLISTED,
    }
}

pub(super) const fn advise(advice: Advice, errno: i32) -> Explanation {
    match (errno, advice) {
        (libc::EINVAL, Advice::HugePages | Advice::NoHugePages | Advice::Collapse) => says(
            "the kernel has no transparent huge pages, or none for this kind of mapping",
            "do without: it is only about speed",
        ),
        (libc::EINVAL, Advice::Mergeable | Advice::Unmergeable) => {
            says("the kernel is built without KSM", "do without: it only saves memory")
        }
        (libc::EINVAL, Advice::WipeOnFork | Advice::KeepOnFork) => says(
            "only private anonymous memory can be wiped on fork, and from Linux 4.14 on",
            "wipe it in the child, or in a pthread_atfork(3) handler",
        ),
        (libc::EINVAL, Advice::Cold | Advice::PageOut) => says(
            "the range is locked or made of huge pages, or the kernel is older than 5.4",
            "unlock it, or do without",
        ),
        (libc::EINVAL, Advice::PopulateRead | Advice::PopulateWrite) => says(
            "the protection forbids such access, or the kernel is older than 5.14",
            "change the protection, or touch the pages yourself",
        ),
        (libc::EINVAL, _) => says("the kernel does not know this advice", "do without"),
        (libc::EFAULT, _) => says(
            "a page could not be brought in: the file ends before it (an instruction there would raise SIGBUS), or \
             it is a guard",
            "extend the file, or ask for less",
        ),
        (libc::EHWPOISON, _) => {
            says("a page's memory is broken hardware", "map anew, and replace the memory")
        }
        (libc::EAGAIN, Advice::Collapse) => {
            says("no huge page could be had just now", "try again later, or leave it to the kernel")
        }
        (libc::EAGAIN, _) => says("the kernel lacks a resource for the moment", "try again"),
        (libc::EBUSY, _) => says("the pages are in use, and could not be taken hold of", "try again later"),
        (libc::EBADF, _) => says("there is no file behind the mapping to read ahead from", "do without"),
        (libc::EIO, _) => says("reading the file ahead failed", "look at the kernel's log"),
        (
            libc::ENOMEM,
            Advice::PopulateRead | Advice::PopulateWrite | Advice::WillNeed | Advice::Collapse,
        ) => says("no memory to bring the pages in", "free memory, or ask for less"),
        (libc::ENOMEM, _) => SPLITTING,
        (libc::EPERM, _) => says("the advice needs a privilege (CAP_SYS_ADMIN)", "do without"),
        _ => UNLISTED,
    }
}

pub(super) const fn discard(discard: Discard, errno: i32) -> Explanation {
    match (errno, discard) {
        (libc::EINVAL, Discard::Pages) => says(
            "the range, or part of it, is locked: what came before that part may be gone already",
            "unlock it, and do not rely on what the range holds",
        ),
        (libc::EINVAL, Discard::Storage) => says(
            "the range is locked, or not backed by a file that holes can be punched in",
            "unlock it, or write zeros",
        ),
        (libc::EINVAL, Discard::Lazily) => says(
            "only private anonymous memory that is not locked can be freed lazily, from Linux 4.5 on",
            "discard it instead",
        ),
        (libc::EACCES, Discard::Storage) => says(
            "only a shared mapping that may be written can punch a hole",
            "map it shared and writable, or write zeros",
        ),
        (libc::EOPNOTSUPP, Discard::Storage) => says("the file system can't punch holes", "write zeros"),
        (libc::EPERM, Discard::Storage) => {
            says("the file is sealed against writing (F_SEAL_WRITE)", "leave it be")
        }
        (libc::ENOMEM, _) => SPLITTING,
        _ => UNLISTED,
    }
}

pub(super) const fn mlock(errno: i32) -> Explanation {
    match errno {
        libc::EAGAIN => says(
            "some of the pages could not be locked, as beyond the end of the file",
            "extend the file, or lock less",
        ),
        libc::EINVAL => {
            says("the kernel does not know locking on fault (older than 4.4)", "lock at once instead")
        }
        libc::ENOMEM => says(
            "locked memory would exceed RLIMIT_MEMLOCK, the protection keeps the pages from being brought in, or \
             there would be too many mappings",
            "lock less, raise the limit (ulimit -l), or take CAP_IPC_LOCK; part of the range may be locked",
        ),
        libc::EPERM => says(
            "this process may lock nothing: its RLIMIT_MEMLOCK is 0, and it lacks CAP_IPC_LOCK",
            "raise the limit (ulimit -l)",
        ),
        _ => UNLISTED,
    }
}

pub(super) const fn mincore(errno: i32) -> Explanation {
    match errno {
        libc::EAGAIN => says("the kernel lacks a resource for the moment", "try again"),
        libc::EINVAL => {
            says("the range does not start on a page", "report it: that is this library's mistake")
        }
        libc::ENOMEM => CHANGED_BEHIND,
        _ => UNLISTED,
    }
}

pub(super) const fn copy(errno: i32) -> Explanation {
    match errno {
        libc::EFAULT => says(
            "the file ends in a page before the next byte (an instruction there would raise SIGBUS), or the page \
             can't be had at all (as of a device)",
            "extend the file to the mapping's end, or stop where it ends",
        ),
        libc::ENOMEM => says("the kernel has no memory for its records of the copy", "try again later"),
        libc::ENOSYS => says(
            "the kernel is built without CONFIG_CROSS_MEMORY_ATTACH",
            "read and write the file instead of its mapping",
        ),
        libc::EPERM => says(
            "a sandbox forbids the call, even on the process itself",
            "allow process_vm_readv and process_vm_writev, or read and write the file instead",
        ),
        _ => UNLISTED,
    }
}

pub(super) const fn file_facts(errno: i32) -> Explanation {
    match errno {
        libc::EBADF => says("the descriptor is not open", "open the file"),
        libc::ENOMEM => says("the kernel has no memory for the answer", "try again later"),
        libc::EOVERFLOW => says("the file is longer than this program's offsets can say", "give a length"),
        libc::EIO => says("the file's device failed", "look at the kernel's log"),
        _ => UNLISTED,
    }
}

pub(super) const fn ftruncate(errno: i32) -> Explanation {
    match errno {
        libc::EBADF | libc::EINVAL => says(
            "the file is not open for writing, or is no regular file",
            "open it with `File::options().read(true).write(true)`",
        ),
        libc::EFBIG => says("the file would be longer than its file system allows", "map less of it"),
        libc::EINTR => says("a signal came first", "try again"),
        libc::EIO => says("the file's device failed", "look at the kernel's log"),
        libc::EPERM => {
            says("the file is sealed against growing (F_SEAL_GROW), or append-only", "leave its length be")
        }
        libc::EROFS => says("the file system is mounted read-only", "extend a copy of the file"),
        libc::ETXTBSY => says("the file is being run", "extend a copy of it"),
        _ => UNLISTED,
    }
}
