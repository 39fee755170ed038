//! The address of a new mapping: any, near or at a requested one, aligned, between guards.

use core::ffi::c_int;

use super::error::{Call, Error, Refusal};
use super::span::Span;
use crate::base::address::{align_down, align_up};
use crate::os::{self, calls::FileAt};

/// Times that the hole in a reservation is made anew when another thread's mapping falls into
/// it: each time takes a collision within microseconds.
const ATTEMPTS: usize = 16;

/// The requested address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Address {
    Anywhere,
    Hint(usize),
    Exactly(usize),
}

/// The pages to be mapped.
pub(super) struct Request<'f> {
    pub(super) bytes: usize,
    pub(super) protection: c_int,
    pub(super) flags: c_int,
    pub(super) file: FileAt<'f>,
    /// How errors are to be read.
    pub(super) call: Call,
}

/// Address, alignment and guards of the pages. All in bytes, and whole pages.
pub(super) struct Surroundings {
    pub(super) address: Address,
    pub(super) guard_before: usize,
    pub(super) guard_after: usize,
    /// A power of two; the page, if no more is wanted.
    pub(super) align: usize,
    pub(super) page: usize,
}

/// A mapping and its guards, which adjoin it.
pub(super) struct Placed {
    pub(super) guard_before: Span,
    pub(super) body: Span,
    pub(super) guard_after: Span,
}

pub(super) fn place(request: &Request<'_>, around: &Surroundings) -> Result<Placed, Error> {
    if let Address::Exactly(address) = around.address
        && (address == 0 || align_down(address, around.align) != address)
    {
        return Err(Refusal::Misaligned.into());
    }
    if around.guard_before == 0 && around.guard_after == 0 && around.align <= around.page {
        let mut body = map(request, around.address)?;
        let guard_before = Span::empty(body.start());
        let guard_after = body.split_off(request.bytes);
        return Ok(Placed { guard_before, body, guard_after });
    }
    let mut attempts = match around.address {
        Address::Exactly(_) => 1,
        Address::Anywhere | Address::Hint(_) => ATTEMPTS,
    };
    loop {
        match place_in_reservation(request, around) {
            Err(error) if collided(&error) && attempts > 1 => attempts = attempts.saturating_sub(1),
            answer => return answer,
        }
    }
}

fn collided(error: &Error) -> bool {
    match error {
        Error::Kernel { errno, .. } => errno.number() == libc::EEXIST,
        Error::Refused(refusal) => *refusal == Refusal::NotPlaced,
    }
}

/// Reserves everything, makes a hole for the body and maps into the hole.
///
/// Mapping over the reservation (`MAP_FIXED`) would spare the hole, but when it fails the old
/// mapping may be gone (mmap(2)), and cleaning up could then unmap what another thread
/// has just put there. Only ranges that are certainly owned are unmapped.
fn place_in_reservation(request: &Request<'_>, around: &Surroundings) -> Result<Placed, Error> {
    let &Surroundings { address, guard_before, guard_after, align, page } = around;
    let slack = align.saturating_sub(page);
    let span = [request.bytes, guard_before, guard_after, slack]
        .iter()
        .try_fold(0_usize, |sum, bytes| sum.checked_add(*bytes))
        .filter(|span| isize::try_from(*span).is_ok())
        .ok_or(Refusal::TooLong)?;
    let reservation = map(
        &Request {
            bytes: span,
            protection: libc::PROT_NONE,
            flags: libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            file: None,
            call: request.call,
        },
        match address {
            Address::Anywhere => Address::Anywhere,
            Address::Hint(address) => Address::Hint(address.saturating_sub(guard_before)),
            Address::Exactly(address) => Address::Exactly(
                address.checked_sub(guard_before).filter(|start| *start != 0).ok_or(Refusal::Misaligned)?,
            ),
        },
    )?;
    // The body starts on the first aligned address that leaves room for the guard before it.
    let start = reservation.start().addr().get();
    let body_start = align_up(start.saturating_add(guard_before), align);
    let (_slack, rest) = reservation.split(body_start.saturating_sub(guard_before).saturating_sub(start));
    let (guard_before, rest) = rest.split(guard_before);
    let (hole, rest) = rest.split(request.bytes);
    let (guard_after, _slack) = rest.split(guard_after);
    hole.unmap().map_err(|(_, errno)| Error::of(Call::Munmap)(errno))?;
    let body = map(request, Address::Exactly(body_start))?;
    Ok(Placed { guard_before, body, guard_after })
}

fn map(request: &Request<'_>, address: Address) -> Result<Span, Error> {
    let (address, extra) = match address {
        Address::Anywhere => (0, 0),
        Address::Hint(address) => (address, 0),
        Address::Exactly(address) => (address, libc::MAP_FIXED_NOREPLACE),
    };
    let start =
        os::calls::map_at(address, request.bytes, request.protection, request.flags | extra, request.file)
            .map_err(Error::of(request.call))?;
    // SAFETY: the kernel has just mapped it, for this request alone.
    let span = unsafe { Span::own(start, request.bytes) };
    // A kernel older than 4.17 does not know the flag, and takes the address for a hint.
    if extra != 0 && span.start().addr().get() != address {
        return Err(Refusal::NotPlaced.into());
    }
    Ok(span)
}
