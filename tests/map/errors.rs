//! Every error that can be brought about here: its call, its name, and words that fit the case.

use std::fs::{self, File};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::support::{WELL, file, in_child, limit, page};
use freestone::map::{Error, FileKind, Mapping, Placement, Protection, Refusal};

#[track_caller]
fn assert_error(error: Error, call: &str, errno: &str, words: &str) {
    assert_eq!((error.call_name(), error.errno_name()), (Some(call), Some(errno)), "{error}");
    assert!(error.meaning().contains(words), "{words:?} is not in: {error}");
    assert!(!error.remedy().is_empty());
    let text = error.to_string();
    assert!(text.starts_with(&format!("{call} failed with {errno}: ")), "{text}");
}

fn writable(file: &File) -> Result<Mapping, Error> {
    Mapping::file(file).shared().protection(Protection::READ_WRITE).map()
}

#[test]
fn eacces_by_how_the_file_is_open() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("file");
    fs::write(&path, "content").expect("a file can be written");
    let read_only = File::open(&path).expect("opens");
    assert_error(writable(&read_only).expect_err("read-only"), "mmap", "EACCES", "reading and writing");
    let write_only = File::options().write(true).open(&path).expect("opens");
    let error = Mapping::file(&write_only).map().expect_err("write-only");
    assert_error(error, "mmap", "EACCES", "not open for reading");
    let mut mapping = Mapping::file(&read_only).shared().map().expect("reading is fine");
    let error = mapping.protect(Protection::READ_WRITE).expect_err("read-only");
    assert_error(error, "mprotect", "EACCES", "open for reading only");
    assert_eq!(mapping.protection(), Protection::READ);
}

#[test]
fn ebadf_for_a_path_alone() {
    // Not by the standard library, which with musl takes this flag for an access mode of its own.
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::open(c"/proc/self/exe".as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: the descriptor is new, and nobody else's.
    let path = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    assert_error(Mapping::file(&path).len(1).map().expect_err("no contents"), "mmap", "EBADF", "O_PATH");
}

#[test]
fn enodev_for_what_has_no_pages() {
    let (reader, _writer) = io::pipe().expect("a pipe can be made");
    assert_error(Mapping::file(&reader).len(1).map().expect_err("a pipe"), "mmap", "ENODEV", "pipe");
    let directory = File::open("/").expect("opens");
    assert_error(
        Mapping::file(&directory).len(1).map().expect_err("a directory"),
        "mmap",
        "ENODEV",
        "directory",
    );
    let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("a socket can be made");
    assert_error(Mapping::file(&socket).len(1).map().expect_err("a socket"), "mmap", "ENODEV", "socket");
}

#[test]
fn a_missing_length_says_of_what() {
    let (reader, _writer) = io::pipe().expect("a pipe can be made");
    let directory = File::open("/").expect("opens");
    let device = File::open("/dev/null").expect("opens");
    for (builder, kind, words) in [
        (Mapping::file(&reader), FileKind::Pipe, "a pipe"),
        (Mapping::file(&directory), FileKind::Directory, "a directory"),
        (Mapping::file(&device), FileKind::CharacterDevice, "a terminal or another device"),
    ] {
        let error = builder.map().expect_err("no length");
        assert_eq!(error, Error::Refused(Refusal::NoLength(kind)));
        assert_eq!((error.call_name(), error.errno()), (None, None));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn einval_for_nothing() {
    assert_error(Mapping::anonymous(0).map().expect_err("nothing"), "mmap", "EINVAL", "length is 0");
    assert_error(Mapping::file(&file(b"")).map().expect_err("nothing"), "mmap", "EINVAL", "file is empty");
    let beyond = Mapping::file(&file(b"x")).offset(1 << 20).map().expect_err("nothing");
    assert_error(beyond, "mmap", "EINVAL", "at or before the offset");
    let guarded = Mapping::anonymous(0).guard_after(1).map().expect_err("nothing");
    assert_error(guarded, "mmap", "EINVAL", "length is 0");
}

#[test]
fn eoverflow_beyond_the_longest_file() {
    let error = Mapping::file(&file(b"x")).offset(i64::MAX as u64 - 1).len(page()).map();
    assert_error(error.expect_err("too far"), "mmap", "EOVERFLOW", "longest file");
    let error = Mapping::file(&file(b"x")).offset(u64::MAX - 1).len(1).map().expect_err("too far");
    assert_eq!(error, Error::Refused(Refusal::TooLong));
    assert_eq!(Mapping::anonymous(usize::MAX).map().expect_err("too long"), Error::Refused(Refusal::TooLong));
}

#[test]
fn enomem_by_the_limits() {
    let error =
        Mapping::anonymous(isize::MAX as usize - page()).map().expect_err("more than any machine maps");
    assert_error(error, "mmap", "ENOMEM", "no room");
    let ending = in_child(|| {
        limit(libc::RLIMIT_AS, 1 << 30);
        let error = Mapping::anonymous(1 << 31).map().expect_err("beyond the limit");
        assert_error(error, "mmap", "ENOMEM", "RLIMIT_AS");
        let error = Mapping::anonymous(1).guard_after(1 << 31).map().expect_err("beyond the limit");
        assert_error(error, "mmap", "ENOMEM", "RLIMIT_AS");
    });
    assert_eq!(ending, WELL);
}

#[test]
fn eperm_for_a_sealed_file() {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"sealed".as_ptr(), libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0);
    // SAFETY: the descriptor is new, and nobody else's.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(1).expect("it can be extended");
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_WRITE | libc::F_SEAL_GROW) }, 0);
    assert_error(writable(&file).expect_err("sealed"), "mmap", "EPERM", "sealed");
    let error = Mapping::file(&file).len(2).extend_file().map().expect_err("sealed");
    assert_error(error, "ftruncate", "EPERM", "sealed");
}

#[test]
fn ftruncate_says_why_a_file_cannot_grow() {
    let read_only = File::open("/proc/self/exe").expect("opens");
    let error = Mapping::file(&read_only).len(1 << 40).extend_file().map().expect_err("read-only");
    assert_error(error, "ftruncate", "EINVAL", "not open for writing");
}

#[test]
fn efault_when_a_part_was_treated_differently() {
    let mut mapping = Mapping::anonymous(3 * page()).map().expect("maps");
    mapping.advise(page()..2 * page(), freestone::map::Advice::DontDump).expect("advises");
    let error = mapping.resize(4 * page(), Placement::MayMove).expect_err("three mappings to the kernel");
    assert_error(error, "mremap", "EFAULT", "several to the kernel");
    mapping.advise(.., freestone::map::Advice::DontDump).expect("advises");
    mapping.resize(4 * page(), Placement::MayMove).expect("alike again");
}

#[test]
fn errors_become_io_errors_with_their_kind() {
    let kind = |error: Error| io::Error::from(error).kind();
    assert_eq!(kind(Mapping::anonymous(0).map().expect_err("nothing")), io::ErrorKind::InvalidInput);
    let error = Mapping::anonymous(isize::MAX as usize - page()).map().expect_err("too much");
    assert_eq!(kind(error), io::ErrorKind::OutOfMemory);
    assert_eq!(io::Error::from(error).to_string(), error.to_string());
}
