//! What can't be mapped says so in words of its own, whatever number its driver answers: no file is
//! explained by a sandbox that there is not.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use freestone::map::{Error, Mapping};

/// Maps one byte. The error, where there is one.
fn refusal(file: &impl AsFd) -> Option<Error> {
    Mapping::file(file).len(1).map().err()
}

fn assert_explained(error: &Error, what: &str) {
    let text = error.to_string();
    assert!(!text.contains("seccomp") && !text.contains("does not list"), "{what}: {text}");
}

#[test]
fn a_file_that_is_made_when_it_is_read_can_not_be_mapped() {
    let version = File::open("/proc/version").expect("opens");
    let error = refusal(&version).expect("it has no pages");
    assert_eq!((error.call_name(), error.errno_name()), (Some("mmap"), Some("EIO")), "{error}");
    assert!(error.meaning().contains("can't be mapped"), "{error}");
    assert!(error.remedy().contains("read it"), "{error}");
}

fn files_in(directory: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).expect("Linux has these directories");
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file())
}

/// Opened without waiting; none where that is not allowed.
fn opened(path: &Path) -> Option<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()
}

#[test]
fn every_file_of_the_kernels_is_explained() {
    let mut refused = 0;
    let directories = ["/proc", "/proc/self", "/proc/sys/vm", "/sys/kernel", "/sys/devices/system/cpu"];
    for path in directories.into_iter().flat_map(files_in) {
        if let Some(error) = opened(&path).and_then(|file| refusal(&file)) {
            refused += 1;
            assert_explained(&error, &path.display().to_string());
        }
    }
    assert!(refused > 20, "most of the kernel's files can't be mapped, and {refused} were refused");
}

#[test]
fn every_kind_of_descriptor_is_explained() {
    // SAFETY: no memory is passed, and each descriptor is this test's own.
    let made = unsafe {
        [
            ("eventfd", libc::eventfd(0, libc::EFD_CLOEXEC)),
            ("epoll", libc::epoll_create1(libc::EPOLL_CLOEXEC)),
            ("timerfd", libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC)),
            ("inotify", libc::inotify_init1(libc::IN_CLOEXEC)),
        ]
    };
    for (name, descriptor) in made {
        assert!(descriptor >= 0, "{name}");
        // SAFETY: just opened, and nobody else's.
        let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
        assert_explained(&refusal(&file).expect("it has no pages"), name);
    }
    for path in ["/dev/null", "/dev/urandom", "/dev/full", "/"] {
        if let Some(error) = refusal(&File::open(path).expect("opens")) {
            assert_explained(&error, path);
        }
    }
}
