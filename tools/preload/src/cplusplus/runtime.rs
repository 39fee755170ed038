//! What only a C++ runtime can do: its new-handler, throwing, catching.
//!
//! A program without C++ has no runtime, so none is linked. libstdc++ or libc++ is found through
//! weak symbols where it was loaded or linked with the program, and otherwise looked up when
//! a `new` has failed, also in runtimes that came with a plug-in and are visible to nobody else.

use core::ffi::{CStr, c_int, c_void};
use core::mem;
use core::ptr::NonNull;

use crate::text::Text;

/// C++ runtimes that may have come with a plug-in.
const RUNTIMES: [&CStr; 3] = [c"libstdc++.so.6", c"libc++abi.so.1", c"libc++.so.1"];

type Handler = unsafe extern "C-unwind" fn();
type GetHandler = unsafe extern "C-unwind" fn() -> Option<Handler>;
type Throw = unsafe extern "C-unwind" fn() -> !;
type New = unsafe extern "C-unwind" fn(usize, *const u8) -> *mut u8;
type AlignedNew = unsafe extern "C-unwind" fn(usize, usize, *const u8) -> *mut u8;

/// The address of a symbol that may not exist, as the linker or loader has found it.
macro_rules! weak {
    ($name:literal) => {{
        let address: *mut c_void;
        // SAFETY: reads an entry of the global offset table, zero where there is no such symbol.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            core::arch::asm!(
                concat!(".weak ", $name),
                concat!("mov {address}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                address = out(reg) address,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            core::arch::asm!(
                concat!(".weak ", $name),
                concat!("adrp {address}, :got:", $name),
                concat!("ldr {address}, [{address}, :got_lo12:", $name, "]"),
                address = out(reg) address,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            address = core::ptr::null_mut();
        }
        NonNull::new(address)
    }};
}

/// The address of `symbol` in what was loaded after this library, or in a plug-in's runtime.
fn look_up(symbol: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: the name is a C string. Not RTLD_DEFAULT, which would find our own operators.
    let next = NonNull::new(unsafe { libc::dlsym(libc::RTLD_NEXT, symbol.as_ptr()) });
    next.or_else(|| RUNTIMES.iter().find_map(|runtime| look_up_in(runtime, symbol)))
}

fn look_up_in(runtime: &CStr, symbol: &CStr) -> Option<NonNull<c_void>> {
    const LOADED_ONLY: c_int = libc::RTLD_LAZY | libc::RTLD_NOLOAD;
    // SAFETY: nothing is loaded, so no constructor runs; the handle is kept, and keeps what
    // the answer points to.
    let handle = NonNull::new(unsafe { libc::dlopen(runtime.as_ptr(), LOADED_ONLY) })?;
    // SAFETY: the handle was just opened and is never closed.
    NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), symbol.as_ptr()) })
}

/// The program's new-handler.
fn new_handler() -> Option<Handler> {
    let get = weak!("_ZSt15get_new_handlerv").or_else(|| look_up(c"_ZSt15get_new_handlerv"))?;
    // SAFETY: that is the type of `std::get_new_handler`; a null handler is none.
    unsafe { mem::transmute::<NonNull<c_void>, GetHandler>(get)() }
}

/// Whether there is a new-handler.
pub(super) fn has_new_handler() -> bool {
    new_handler().is_some()
}

/// Calls the new-handler. False where there is none.
pub(super) fn call_new_handler() -> bool {
    let Some(handler) = new_handler() else { return false };
    // SAFETY: the program has set it for this.
    unsafe { handler() };
    true
}

/// Throws `std::bad_alloc`.
pub(super) fn throw_bad_alloc() -> ! {
    // `std::__throw_bad_alloc()`: libstdc++ and libc++ have it under the same name.
    let throw = weak!("_ZSt17__throw_bad_allocv").or_else(|| look_up(c"_ZSt17__throw_bad_allocv"));
    if let Some(throw) = throw {
        // SAFETY: that is its type.
        unsafe { mem::transmute::<NonNull<c_void>, Throw>(throw)() };
    }
    let mut line = Text::new();
    line.add("freestone: out of memory in operator new, and no C++ runtime to throw with\n");
    line.send(libc::STDERR_FILENO);
    // SAFETY: no preconditions.
    unsafe { libc::abort() }
}

/// What the runtime gets for `std::nothrow`, an empty object that nobody looks at.
static NOTHROW: u8 = 0;

/// The runtime's own `new (nothrow)`, which catches what the handler throws.
pub(super) fn catching_new(size: usize) -> Option<*mut u8> {
    let new = look_up(c"_ZnwmRKSt9nothrow_t")?;
    // SAFETY: that is the operator's type.
    Some(unsafe { mem::transmute::<NonNull<c_void>, New>(new)(size, &raw const NOTHROW) })
}

/// As [`catching_new`], for alignments that `new` does not have by itself.
pub(super) fn catching_aligned_new(size: usize, align: usize) -> Option<*mut u8> {
    let new = look_up(c"_ZnwmSt11align_val_tRKSt9nothrow_t")?;
    // SAFETY: that is the operator's type.
    Some(unsafe { mem::transmute::<NonNull<c_void>, AlignedNew>(new)(size, align, &raw const NOTHROW) })
}
