//! The constructor. It runs before all others (the library is linked with `-z initfirst`), so
//! that the handlers which the first allocation leaves with `fork` are the outermost: other
//! libraries' handlers may allocate, and run while no lock of ours is held.

use core::ffi::{CStr, c_char, c_int};

use freestone::untyped;

/// What misuse leads to: `abort`, the default, or `report`, a line on standard error alone.
const ON_MISUSE: &CStr = c"FREESTONE_ON_MISUSE";

type Constructor = extern "C-unwind" fn(c_int, *const *const c_char, *const *const c_char);

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: Constructor = start;

extern "C-unwind" fn start(_: c_int, _: *const *const c_char, environment: *const *const c_char) {
    // SAFETY: frees what was just allocated.
    unsafe { untyped::free(untyped::allocate_aligned(1, 1)) };
    // The C library's own pointer is not set yet in a glibc program; other libraries pass
    // constructors no arguments, but have set theirs.
    #[cfg(not(target_env = "gnu"))]
    let environment = {
        let _ = environment;
        unsafe extern "C" {
            static environ: *const *const c_char;
        }
        // SAFETY: set before constructors run, and changed by the program's own threads only.
        unsafe { environ }
    };
    if is_privileged() {
        return;
    }
    // SAFETY: the environment at the start of the program.
    if unsafe { variable(environment, ON_MISUSE) } == Some(c"report") {
        untyped::report_misuse_only();
    }
}

/// Whether the program has rights that its caller may not have: the caller's environment is
/// then not to be trusted (getauxval(3), `AT_SECURE`).
fn is_privileged() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The value of `name` in `environment`.
///
/// # Safety
/// `environment` is null or a null-terminated array of C strings that stay as they are.
unsafe fn variable(mut environment: *const *const c_char, name: &CStr) -> Option<&'static CStr> {
    let name = name.to_bytes();
    if environment.is_null() {
        return None;
    }
    loop {
        // SAFETY: the array ends with a null pointer, which ends the walk.
        let entry = unsafe { *environment };
        if entry.is_null() {
            return None;
        }
        // SAFETY: entries are C strings.
        let entry = unsafe { CStr::from_ptr(entry) };
        if let Some(value) = entry.to_bytes_with_nul().strip_prefix(name)
            && let Some(value) = value.strip_prefix(b"=")
        {
            return CStr::from_bytes_with_nul(value).ok();
        }
        environment = environment.wrapping_add(1);
    }
}
