//! mmap(2).
#![forbid(unsafe_code)]

use super::super::error::Backing;
use super::{Explanation, UNLISTED, says};

pub(super) const fn explain(backing: Backing, errno: i32) -> Explanation {
    match (errno, backing) {
        (libc::EACCES, Backing::SharedFile) => says(
            "a shared mapping that may be written needs a file open for reading and writing, and not append-only",
            "open it with `File::options().read(true).write(true)`, or map it private or read-only",
        ),
        (libc::EACCES, _) => says(
            "the file is not open for reading, which even a mapping only written needs",
            "open it for reading too",
        ),
        (libc::EAGAIN, _) => says(
            "locked memory would exceed RLIMIT_MEMLOCK (or the file is locked)",
            "lock less, raise the limit (ulimit -l), or take CAP_IPC_LOCK",
        ),
        (libc::EBADF, _) => says(
            "the descriptor is none that file contents can be reached through, as one opened with O_PATH",
            "open the file itself, for reading",
        ),
        (libc::EEXIST, _) => says(
            "something is mapped in the range already, and fixed placement refuses to overwrite it",
            "choose another address, or only hint at one",
        ),
        (libc::EINVAL, Backing::HugePages) => says(
            "the length is 0, or the kernel has no huge pages of this size",
            "ask `huge_page_sizes()` which there are",
        ),
        (libc::EINVAL, Backing::Anonymous) => {
            says("the length is 0, or the address is no multiple of the page", "map at least one byte")
        }
        (libc::EINVAL, _) => says(
            "the length is 0: the file is empty, ends at or before the offset, or (as in /proc) has no length; \
             or its driver can't map this part",
            "give a length, and extend the file to it before touching the bytes",
        ),
        (libc::EIO, Backing::PrivateFile | Backing::SharedFile) => says(
            "the file can't be mapped, as most files in /proc, whose contents the kernel makes when they are read",
            "read it into memory instead",
        ),
        (
            libc::ENXIO | libc::EOPNOTSUPP | libc::ENOSYS | libc::EBUSY | libc::EFAULT,
            Backing::PrivateFile | Backing::SharedFile,
        ) => says(
            "the file's driver or file system refused: it can't map this file, or not this part of it",
            "read it into memory instead, or look into its driver's documentation",
        ),
        (libc::ENFILE, _) => says(
            "the system has as many open files as it may have, and shared memory counts as one",
            "close files, or raise fs.file-max",
        ),
        (libc::ENODEV, _) => says(
            "what the descriptor refers to can't be mapped: a directory, pipe, socket or terminal has no pages, \
             and some file systems offer none",
            "read it into memory instead",
        ),
        (libc::ENOMEM, Backing::HugePages) => says(
            "not enough huge pages of this size are reserved and free, or the process's limits are reached",
            "reserve some (vm.nr_hugepages, or hugepages-*/nr_hugepages in /sys/kernel/mm/hugepages), or use \
             `HugePages::Transparent`, which needs none",
        ),
        (libc::ENOMEM, _) => says(
            "no room: the address space, RLIMIT_AS or RLIMIT_DATA, the number of mappings (vm.max_map_count), or \
             what the kernel is ready to promise (vm.overcommit_memory) is used up",
            "map less, unmap something, raise the limit, or ask for no reserve",
        ),
        (libc::EOVERFLOW, _) => says(
            "offset and length reach beyond the longest file there can be",
            "check the offset: it is in bytes",
        ),
        (libc::EPERM, Backing::SharedFile) => says(
            "the file is sealed against writing (F_SEAL_WRITE), lies on a file system mounted noexec, or a \
             security policy forbids it",
            "map it read-only or private; map without execution",
        ),
        (libc::EPERM, _) => says(
            "execution from a file system mounted noexec, an address below vm.mmap_min_addr, or a security policy",
            "map without execution, and at a higher address",
        ),
        (libc::ETXTBSY, _) => {
            says("the file is being run, or written as a program", "map it read-only, or a copy of it")
        }
        _ => UNLISTED,
    }
}
