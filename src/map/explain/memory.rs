//! Errors of the calls on what is mapped already, and on the file behind it.
#![forbid(unsafe_code)]

use super::super::advice::{Advice, Discard};
use super::super::error::Call;
use super::{Explanation, SPLITTING, UNLISTED, says};

/// The answer to a range that should be mapped: [`Span`](super::super::span::Span) keeps account of
/// it.
const CHANGED_BEHIND: Explanation = says(
    "part of the range is not mapped any more: something else unmapped or replaced it",
    "find who calls munmap(2) or MAP_FIXED on addresses that are not theirs",
);

/// Meaning and remedy of each error that a man page lists for the call. Those of mmap(2) are
/// elsewhere.
pub(super) const fn explain(call: Call, errno: i32) -> Explanation {
    match (call, errno) {
        (Call::Munmap, libc::ENOMEM) => says(
            "cutting the range out would make two mappings of one, beyond vm.max_map_count",
            "unmap a neighbour first, or try again later; the range is as before",
        ),
        (Call::Munmap, libc::EINVAL) => says(
            "the range is no whole number of this mapping's pages",
            "unmap memory of huge pages by whole huge pages",
        ),

        (Call::Mprotect, libc::EACCES) => says(
            "a shared mapping can't be made writable when its file is open for reading only",
            "map the file again, opened for reading and writing, or as private",
        ),
        (Call::Mprotect, libc::EINVAL) => {
            says("this processor or kernel has no such protection", "ask for less")
        }
        (Call::Mprotect, libc::EPERM) => says(
            "the file is sealed against it (memfd), or a security policy forbids it",
            "map it private, or do without",
        ),

        (Call::Mremap, libc::EAGAIN) => says(
            "the mapping is locked, and growing it would exceed RLIMIT_MEMLOCK",
            "unlock it, or raise the limit (ulimit -l)",
        ),
        (Call::Mremap, libc::EFAULT) => says(
            "the mapping is several to the kernel: advice, locks or protection were given to a part of it",
            "make its parts alike first, or map anew and copy",
        ),
        (Call::Mremap, libc::EINVAL) => says(
            "the new length is 0, or pages of this kind can't be resized",
            "unmap it instead, or map anew and copy",
        ),
        (Call::Mremap, libc::ENOMEM) => says(
            "no room behind it to grow in place, or, where it may move, no room at all (RLIMIT_AS, vm.max_map_count, \
             vm.overcommit_memory)",
            "let it move (`Placement::MayMove`), or free some memory; it is as before",
        ),

        (Call::Msync, libc::EBUSY) => says(
            "invalidation was asked for, and part of the range is locked",
            "unlock it, or leave invalidation out",
        ),
        (Call::Msync, libc::EINVAL) => {
            says("the kernel does not know these flags", "use another kind of synchronisation")
        }
        (Call::Msync, libc::EIO) => says(
            "writing to the file's device failed: some of what was written is lost",
            "treat the file as damaged, and look at the kernel's log",
        ),
        (Call::Msync, libc::ENOSPC) => {
            says("the device is full: some of what was written is lost", "make room, and write it again")
        }

        (Call::Advise(Advice::HugePages | Advice::NoHugePages | Advice::Collapse), libc::EINVAL) => says(
            "the kernel has no transparent huge pages, or none for this kind of mapping",
            "do without: it is only about speed",
        ),
        (Call::Advise(Advice::Mergeable | Advice::Unmergeable), libc::EINVAL) => {
            says("the kernel is built without KSM", "do without: it only saves memory")
        }
        (Call::Advise(Advice::WipeOnFork | Advice::KeepOnFork), libc::EINVAL) => says(
            "only private anonymous memory can be wiped on fork, and from Linux 4.14 on",
            "wipe it in the child, or in a pthread_atfork(3) handler",
        ),
        (Call::Advise(Advice::Cold | Advice::PageOut), libc::EINVAL) => says(
            "the range is locked or made of huge pages, or the kernel is older than 5.4",
            "unlock it, or do without",
        ),
        (Call::Advise(Advice::PopulateRead | Advice::PopulateWrite), libc::EINVAL) => says(
            "the protection forbids such access, or the kernel is older than 5.14",
            "change the protection, or touch the pages yourself",
        ),
        (Call::Advise(_), libc::EINVAL) => says("the kernel does not know this advice", "do without"),
        (Call::Advise(_), libc::EFAULT) => says(
            "a page could not be brought in: the file ends before it (an instruction there would raise SIGBUS), or \
             it is a guard",
            "extend the file, or ask for less",
        ),
        (Call::Advise(_), libc::EHWPOISON) => {
            says("a page's memory is broken hardware", "map anew, and replace the memory")
        }
        (Call::Advise(Advice::Collapse), libc::EAGAIN) => {
            says("no huge page could be had just now", "try again later, or leave it to the kernel")
        }
        (Call::Advise(_), libc::EBUSY) => {
            says("the pages are in use, and could not be taken hold of", "try again later")
        }
        (Call::Advise(_), libc::EBADF) => {
            says("there is no file behind the mapping to read ahead from", "do without")
        }
        (Call::Advise(_), libc::EIO) => says("reading the file ahead failed", "look at the kernel's log"),
        (
            Call::Advise(Advice::PopulateRead | Advice::PopulateWrite | Advice::WillNeed | Advice::Collapse),
            libc::ENOMEM,
        ) => says("no memory to bring the pages in", "free memory, or ask for less"),
        (Call::Advise(_), libc::EPERM) => says("the advice needs a privilege (CAP_SYS_ADMIN)", "do without"),

        (Call::Discard(Discard::Pages), libc::EINVAL) => says(
            "the range, or part of it, is locked: what came before that part may be gone already",
            "unlock it, and do not rely on what the range holds",
        ),
        (Call::Discard(Discard::Storage), libc::EINVAL) => says(
            "the range is locked, or not backed by a file that holes can be punched in",
            "unlock it, or write zeros",
        ),
        (Call::Discard(Discard::Lazily), libc::EINVAL) => says(
            "only private anonymous memory that is not locked can be freed lazily, from Linux 4.5 on",
            "discard it instead",
        ),
        (Call::Discard(Discard::Storage), libc::EACCES) => says(
            "only a shared mapping that may be written can punch a hole",
            "map it shared and writable, or write zeros",
        ),
        (Call::Discard(Discard::Storage), libc::EOPNOTSUPP) => {
            says("the file system can't punch holes", "write zeros")
        }
        (Call::Discard(Discard::Storage), libc::EPERM) => {
            says("the file is sealed against writing (F_SEAL_WRITE)", "leave it be")
        }

        (Call::Mlock | Call::Munlock, libc::EAGAIN) => says(
            "some of the pages could not be locked, as beyond the end of the file",
            "extend the file, or lock less",
        ),
        (Call::Mlock | Call::Munlock, libc::EINVAL) => {
            says("the kernel does not know locking on fault (older than 4.4)", "lock at once instead")
        }
        (Call::Mlock | Call::Munlock, libc::ENOMEM) => says(
            "locked memory would exceed RLIMIT_MEMLOCK, the protection keeps the pages from being brought in, or \
             there would be too many mappings",
            "lock less, raise the limit (ulimit -l), or take CAP_IPC_LOCK; part of the range may be locked",
        ),
        (Call::Mlock | Call::Munlock, libc::EPERM) => says(
            "this process may lock nothing: its RLIMIT_MEMLOCK is 0, and it lacks CAP_IPC_LOCK",
            "raise the limit (ulimit -l)",
        ),

        (Call::Mincore, libc::EINVAL) => {
            says("the range does not start on a page", "report it: that is this library's mistake")
        }

        (Call::ReadAt | Call::WriteAt, libc::EFAULT) => says(
            "the file ends in a page before the next byte (an instruction there would raise SIGBUS), or the page \
             can't be had at all (as of a device)",
            "extend the file to the mapping's end, or stop where it ends",
        ),
        (Call::ReadAt | Call::WriteAt, libc::ENOMEM) => {
            says("the kernel has no memory for its records of the copy", "try again later")
        }
        (Call::ReadAt | Call::WriteAt, libc::ENOSYS) => says(
            "the kernel is built without CONFIG_CROSS_MEMORY_ATTACH",
            "read and write the file instead of its mapping",
        ),
        (Call::ReadAt | Call::WriteAt, libc::EPERM) => says(
            "a sandbox forbids the call, even on the process itself",
            "allow process_vm_readv and process_vm_writev, or read and write the file instead",
        ),

        (Call::Fstat | Call::Fstatfs, libc::EBADF) => says("the descriptor is not open", "open the file"),
        (Call::Fstat | Call::Fstatfs, libc::ENOMEM) => {
            says("the kernel has no memory for the answer", "try again later")
        }
        (Call::Fstat | Call::Fstatfs, libc::EOVERFLOW) => {
            says("the file is longer than this program's offsets can say", "give a length")
        }

        (Call::Ftruncate, libc::EBADF | libc::EINVAL) => says(
            "the file is not open for writing, or is no regular file",
            "open it with `File::options().read(true).write(true)`",
        ),
        (Call::Ftruncate, libc::EFBIG) => {
            says("the file would be longer than its file system allows", "map less of it")
        }
        (Call::Ftruncate, libc::EINTR) => says("a signal came first", "try again"),
        (Call::Ftruncate, libc::EPERM) => {
            says("the file is sealed against growing (F_SEAL_GROW), or append-only", "leave its length be")
        }
        (Call::Ftruncate, libc::EROFS) => {
            says("the file system is mounted read-only", "extend a copy of the file")
        }
        (Call::Ftruncate, libc::ETXTBSY) => says("the file is being run", "extend a copy of it"),

        // The same for several calls.
        (Call::Mprotect | Call::Advise(_) | Call::Discard(_), libc::ENOMEM) => SPLITTING,
        (Call::Msync | Call::Mincore, libc::ENOMEM) => CHANGED_BEHIND,
        (Call::Advise(_) | Call::Mincore, libc::EAGAIN) => {
            says("the kernel lacks a resource for the moment", "try again")
        }
        (Call::Fstat | Call::Fstatfs | Call::Ftruncate, libc::EIO) => {
            says("the file's device failed", "look at the kernel's log")
        }
        _ => UNLISTED,
    }
}
