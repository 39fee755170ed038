//! The file behind a mapping: its length, and making it longer.

use std::os::fd::BorrowedFd;

use super::error::{Call, Error, FileKind, Refusal};
use super::extent::PageBytes;
use crate::os;

/// The pages that mappings of `file` are made of: huge ones in hugetlbfs.
pub(super) fn page_of(file: BorrowedFd<'_>) -> Result<PageBytes, Error> {
    match os::calls::huge_page_of(file).map_err(Error::of(Call::Fstatfs))? {
        Some(bytes) => Ok(PageBytes::new(bytes)?),
        None => Ok(PageBytes::os()),
    }
}

/// Bytes of `file` from `offset` to its end.
pub(super) fn bytes_from(file: BorrowedFd<'_>, offset: u64) -> Result<usize, Error> {
    let facts = os::calls::file_facts(file).map_err(Error::of(Call::Fstat))?;
    if facts.kind == libc::S_IFREG {
        usize::try_from(facts.bytes.saturating_sub(offset)).map_err(|_| Refusal::TooLong.into())
    } else {
        Err(Refusal::NoLength(kind(facts.kind)).into())
    }
}

/// Makes `file` at least `bytes` long. Bytes that another process appends between the two calls are
/// cut off.
pub(super) fn extend(file: BorrowedFd<'_>, bytes: u64) -> Result<(), Error> {
    let facts = os::calls::file_facts(file).map_err(Error::of(Call::Fstat))?;
    if facts.bytes >= bytes {
        return Ok(());
    }
    let bytes = libc::off_t::try_from(bytes).map_err(|_| Refusal::TooLong)?;
    os::calls::set_file_bytes(file, bytes).map_err(Error::of(Call::Ftruncate))
}

const fn kind(mode: libc::mode_t) -> FileKind {
    match mode {
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFIFO => FileKind::Pipe,
        libc::S_IFCHR => FileKind::CharacterDevice,
        libc::S_IFBLK => FileKind::BlockDevice,
        libc::S_IFSOCK => FileKind::Socket,
        _ => FileKind::Other,
    }
}
