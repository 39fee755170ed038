//! The constructor. It runs before all others (the library is linked with `-z initfirst`), so
//! that the handlers which the first allocation leaves with `fork` are the outermost: other
//! libraries' handlers may allocate, and run while no lock of ours is held.

use core::ffi::{c_char, c_int};

use freestone::untyped;

type Constructor = extern "C-unwind" fn(c_int, *const *const c_char, *const *const c_char);

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: Constructor = start;

extern "C-unwind" fn start(_: c_int, _: *const *const c_char, environment: *const *const c_char) {
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
    // SAFETY: the environment at the start of the program.
    unsafe { untyped::start(environment) };
    // SAFETY: frees what was just allocated.
    unsafe { untyped::free(untyped::allocate_aligned(1, 1)) };
}
