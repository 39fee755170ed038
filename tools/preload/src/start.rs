//! The constructor. It runs before all others (`-z initfirst`), so the options are read and the
//! first heap exists before any code of the program runs. In the archive it runs in the order of
//! the linker, which may be later: the first allocation then does the same.

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
