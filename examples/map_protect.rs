//! A write to a read-only page: refused as an error, and as a signal that is caught, explained and
//! answered by allowing the write.
//!
//! ```text
//! cargo run --example map_protect
//! ```
//!
//! Garbage collectors and databases use the second way to learn of first writes to pages.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use clap::Parser;
use freestone::map::{Mapping, Protection};

/// Shows a write to a read-only page, caught and explained.
#[derive(Parser)]
#[command(name = "map_protect")]
struct Arguments {}

/// The page that the handler may unlock: its address, and its length in bytes.
static PAGE: AtomicUsize = AtomicUsize::new(0);
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);
/// What the handler was told: the faulting address, and why.
static FAULT: AtomicUsize = AtomicUsize::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("map_protect: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<(), Box<dyn Error>> {
    let mut mapping = Mapping::anonymous(100).map()?;
    mapping.as_mut_slice()?[..5].copy_from_slice(b"hello");
    mapping.protect(Protection::READ)?;
    println!("a page at {:p} that may be read: {}", mapping.as_ptr(), text(&mapping)?);

    match mapping.as_mut_slice() {
        Ok(_) => return Err("a read-only page was lent for writing".into()),
        Err(error) => println!("a slice to write to: {error}"),
    }
    match mapping.write_at(1, b"E") {
        Ok(_) => return Err("a read-only page was written".into()),
        Err(error) => println!("a write by copying: {error}"),
    }

    PAGE_BYTES.store(mapping.mapped_bytes(), Ordering::Relaxed);
    PAGE.store(mapping.as_ptr().addr(), Ordering::Release);
    catch_faults()?;
    // SAFETY: the byte is mapped; the handler makes it writable, and then the write is tried again.
    unsafe { mapping.as_mut_ptr().add(4).write_volatile(b'O') };
    PAGE.store(0, Ordering::Release);
    // The handler went past the mapping, which still calls itself read-only.
    mapping.protect(Protection::READ_WRITE)?;

    println!("a write by an instruction: SIGSEGV at {:#x}, {}", FAULT.load(Ordering::Acquire), why());
    println!("the handler allowed writing, the instruction ran again: {}", text(&mapping)?);
    Ok(())
}

fn text(mapping: &Mapping) -> Result<String, freestone::map::Error> {
    Ok(mapping.as_slice()?[..5].escape_ascii().to_string())
}

/// From sigaction(2).
fn why() -> &'static str {
    /// `SEGV_MAPERR` and `SEGV_ACCERR`.
    const NOTHING_MAPPED: i32 = 1;
    const NOT_ALLOWED: i32 = 2;
    match CODE.load(Ordering::Acquire) {
        NOTHING_MAPPED => "nothing is mapped there (SEGV_MAPERR)",
        NOT_ALLOWED => "the page's protection does not allow it (SEGV_ACCERR)",
        _ => "for a reason that sigaction(2) does not list",
    }
}

fn catch_faults() -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for, and does only what it may.
    match unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Only what a signal handler may do: atomics, and bare system calls.
extern "C" fn on_fault(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid `info`, with an address for SIGSEGV.
    let (address, code) = unsafe { ((*info).si_addr().addr(), (*info).si_code) };
    let page = PAGE.load(Ordering::Acquire);
    let bytes = PAGE_BYTES.load(Ordering::Relaxed);
    if page == 0 || !(page..page + bytes).contains(&address) {
        // Somebody else's fault: without a handler it strikes again, and ends the process as it
        // should.
        // SAFETY: the default action is a valid handler.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        return;
    }
    FAULT.store(address, Ordering::Release);
    CODE.store(code, Ordering::Release);
    // SAFETY: the page is this program's own, and gets more freedom, not less.
    unsafe {
        libc::mprotect(ptr::with_exposed_provenance_mut(page), bytes, libc::PROT_READ | libc::PROT_WRITE)
    };
}
