//! Operators `new` and `delete`, in every form, under their mangled names (Itanium C++ ABI,
//! `size_t` being `unsigned long`).
//!
//! A failed `new` calls the new-handler for as long as there is one, then throws; the nothrow
//! forms give null. What the C++ runtime has to do is asked of the one that the program has.

use freestone::untyped::{self, MIN_ALIGN};

mod runtime;

/// Requests for memory, as `new` makes them.
#[derive(Clone, Copy)]
struct Request {
    size: usize,
    /// No power of two if that is what the caller gave.
    align: usize,
}

impl Request {
    fn try_once(self) -> *mut u8 {
        untyped::allocate_aligned(self.size, self.align)
    }

    /// Tries until there is memory, or no handler that might make some.
    fn try_with_handler(self) -> *mut u8 {
        loop {
            let pointer = self.try_once();
            if !pointer.is_null() || !self.align.is_power_of_two() || !runtime::call_new_handler() {
                return pointer;
            }
        }
    }
}

/// The end of a throwing `new`'s fast path.
#[cold]
#[inline(never)]
extern "C-unwind" fn new_or_throw(size: usize, align: usize) -> *mut u8 {
    let pointer = Request { size, align }.try_with_handler();
    if pointer.is_null() {
        runtime::throw_bad_alloc();
    }
    pointer
}

/// The end of a nothrow `new`'s fast path. The handler may throw, and only C++ can catch: the
/// runtime's own operator, which calls the throwing one of ours, does.
#[cold]
#[inline(never)]
extern "C-unwind" fn new_or_null(size: usize, align: usize) -> *mut u8 {
    let request = Request { size, align };
    let pointer = request.try_once();
    if !pointer.is_null() || !align.is_power_of_two() || !runtime::has_new_handler() {
        return pointer;
    }
    let answer = if align <= MIN_ALIGN {
        runtime::catching_new(size)
    } else {
        runtime::catching_aligned_new(size, align)
    };
    match answer {
        Some(answer) => answer,
        None => request.try_with_handler(),
    }
}

macro_rules! news {
    ($($name:ident ($($align:ident)? $(, $nothrow:ident)?) => $slow:ident, $what:literal;)*) => { $(
        #[doc = $what]
        #[unsafe(no_mangle)]
        extern "C-unwind" fn $name(
            size: usize,
            $($align: usize,)?
            $($nothrow: *const u8,)?
        ) -> *mut u8 {
            $(let _ = $nothrow;)?
            news!(@body size, $slow $(, $align)?)
        }
    )* };
    (@body $size:ident, $slow:ident) => {
        match untyped::at_hand($size) {
            Some(block) => block.as_ptr(),
            None => $slow($size, MIN_ALIGN),
        }
    };
    (@body $size:ident, $slow:ident, $align:ident) => { $slow($size, $align) };
}

news! {
    _Znwm() => new_or_throw, "`new`";
    _Znam() => new_or_throw, "`new[]`";
    _ZnwmRKSt9nothrow_t(, nothrow) => new_or_null, "`new (nothrow)`";
    _ZnamRKSt9nothrow_t(, nothrow) => new_or_null, "`new[] (nothrow)`";
    _ZnwmSt11align_val_t(align) => new_or_throw, "aligned `new`";
    _ZnamSt11align_val_t(align) => new_or_throw, "aligned `new[]`";
    _ZnwmSt11align_val_tRKSt9nothrow_t(align, nothrow) => new_or_null, "aligned `new (nothrow)`";
    _ZnamSt11align_val_tRKSt9nothrow_t(align, nothrow) => new_or_null, "aligned `new[] (nothrow)`";
}

macro_rules! deletes {
    ($($name:ident ($($unused:ident: $type:ty),*), $what:literal;)*) => { $(
        #[doc = $what]
        ///
        /// # Safety
        /// The caller gives up the block at `pointer`.
        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $name(pointer: *mut u8 $(, $unused: $type)*) {
            $(let _ = $unused;)*
            // SAFETY: forwarded to the caller.
            unsafe { untyped::free(pointer) }
        }
    )* };
}

deletes! {
    _ZdlPv(), "`delete`";
    _ZdaPv(), "`delete[]`";
    _ZdlPvm(size: usize), "sized `delete`";
    _ZdaPvm(size: usize), "sized `delete[]`";
    _ZdlPvRKSt9nothrow_t(nothrow: *const u8), "`delete (nothrow)`";
    _ZdaPvRKSt9nothrow_t(nothrow: *const u8), "`delete[] (nothrow)`";
    _ZdlPvSt11align_val_t(align: usize), "aligned `delete`";
    _ZdaPvSt11align_val_t(align: usize), "aligned `delete[]`";
    _ZdlPvmSt11align_val_t(size: usize, align: usize), "sized, aligned `delete`";
    _ZdaPvmSt11align_val_t(size: usize, align: usize), "sized, aligned `delete[]`";
    _ZdlPvSt11align_val_tRKSt9nothrow_t(align: usize, nothrow: *const u8), "aligned `delete (nothrow)`";
    _ZdaPvSt11align_val_tRKSt9nothrow_t(align: usize, nothrow: *const u8), "aligned `delete[] (nothrow)`";
}
