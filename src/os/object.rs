//! The object file that this code is linked into. A plugin may be unloaded (dlclose(3)). It must
//! stay once the C library has pointers into it that cannot be withdrawn, such as the destructor of
//! a thread key.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

use super::KeepErrno;

// Weak, so that static programs link without a loader, and C libraries that lack one of the
// functions do. A missing symbol reads as null.
core::arch::global_asm!(
    ".weak dladdr",
    ".weak dlopen",
    ".weak _DYNAMIC",
    ".hidden _DYNAMIC",
    ".pushsection .data.rel.freestone,\"aw\",@progbits",
    ".p2align 3",
    ".weak freestone_object",
    ".hidden freestone_object",
    ".type freestone_object,@object",
    ".size freestone_object,24",
    "freestone_object:",
    ".quad dladdr",
    ".quad dlopen",
    ".quad _DYNAMIC",
    ".popsection",
);

/// The loader's functions, and this object's dynamic section.
#[repr(C)]
struct Object {
    address: Option<unsafe extern "C" fn(*const c_void, *mut libc::Dl_info) -> c_int>,
    open: Option<unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void>,
    dynamic: *const Entry,
}

/// An entry of the dynamic section, see elf(5).
#[repr(C)]
struct Entry {
    tag: i64,
    value: u64,
}

/// Only programs have this entry: the loader stores a pointer there for debuggers.
const DT_DEBUG: i64 = 21;
const DT_FLAGS_1: i64 = 0x6fff_fffb;
const DF_1_NODELETE: u64 = 8;

unsafe extern "C" {
    static freestone_object: Object;
}

/// dlopen(3) with `RTLD_NOLOAD | RTLD_NODELETE`: the loader keeps this object for as long as the
/// process lives. Does nothing in a program, or in a library that was linked with `-z nodelete`.
/// May allocate.
pub(crate) fn keep_loaded() {
    // SAFETY: defined above, and written by the loader only, before any code of the object runs.
    let object = unsafe { &freestone_object };
    let (Some(address), Some(open)) = (object.address, object.open) else { return };
    // SAFETY: the loader's own pointer, or null.
    if !unsafe { may_be_unloaded(object.dynamic) } {
        return;
    }
    let _keep = KeepErrno::new();
    let mut info = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    let here = (&raw const freestone_object).cast();
    // SAFETY: the structure is writable for the call.
    if unsafe { address(here, &raw mut info) } != 0 && !info.dli_fname.is_null() {
        // The handle is never closed, which alone keeps the object where `RTLD_NODELETE` is
        // unknown. SAFETY: the name is the loader's own, of an object that is loaded; so none of
        // its code runs.
        unsafe { open(info.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) };
    }
}

/// Whether the object with this dynamic section is a library that the loader may unload.
///
/// # Safety
/// The pointer is null or that of a dynamic section.
unsafe fn may_be_unloaded(mut entry: *const Entry) -> bool {
    loop {
        // SAFETY: the section ends with an entry of tag zero, which ends the walk.
        match unsafe { entry.as_ref() } {
            None | Some(Entry { tag: DT_DEBUG, .. }) => return false,
            Some(Entry { tag: DT_FLAGS_1, value }) if value & DF_1_NODELETE != 0 => return false,
            Some(Entry { tag: 0, .. }) => return true,
            Some(_) => entry = entry.wrapping_add(1),
        }
    }
}
