//! The process's memory, from proc_pid_statm(5).

/// The process's memory at one moment.
pub(crate) struct Process {
    pub(crate) mapped_bytes: usize,
    pub(crate) resident_bytes: usize,
}

impl Process {
    /// None where /proc is missing.
    pub(crate) fn look() -> Option<Self> {
        let mut line = [0_u8; 128];
        // SAFETY: the name is a C string.
        let file = unsafe { libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if file < 0 {
            return None;
        }
        // SAFETY: the buffer is writable and that long.
        let read = unsafe { libc::read(file, line.as_mut_ptr().cast(), line.len()) };
        // SAFETY: the file was opened above.
        let _ = unsafe { libc::close(file) };
        let mut words = line.get(..usize::try_from(read).ok()?)?.split(|byte| *byte == b' ');
        // SAFETY: no preconditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        let mapped_bytes = decimal(words.next()?)?.checked_mul(page)?;
        let resident_bytes = decimal(words.next()?)?.checked_mul(page)?;
        Some(Self { mapped_bytes, resident_bytes })
    }
}

fn decimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0_usize, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(usize::from(digit))
    })
}
