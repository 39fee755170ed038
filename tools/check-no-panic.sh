#!/bin/sh
# Fails if the release library refers to the panic machinery: nothing that the allocator runs
# may unwind, or allocate in order to say why. Says which functions do. CARGO_TARGET_DIR counts.
set -eu
cd "$(dirname "$0")/.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/no-panic
panics='panicking|_fail(ed)?$|(index|range|order)_fail|unwrap_failed|expect_failed|rust_begin_unwind'
unwinding='_Unwind_Resume'
failed=0

# Each function of $1 that refers to something that matches $2; $3 says what was looked at.
check() {
    if ! nm --undefined-only "$1" 2>/dev/null | grep -q ' U '; then
        echo "check-no-panic: $1 has no symbols to look at" >&2
        exit 1
    fi
    found=$(objdump --reloc --demangle "$1" 2>/dev/null | awk -v bad="$2" '
        /^RELOCATION RECORDS FOR/ { section = $4; next }
        # The public mapping floor is on no path of the allocator; it uses std and may drop errors of it.
        # Opening and syncing heaps in files, and making an error of `std` of one of a heap: the same.
        section ~ /freestone3map|freestone5heaps4file|std2io5error|std..io..error|core..error..Error/ { next }
        section ~ /^\[\.text/ && $3 " " $4 " " $5 ~ bad { sub(/[-+]0x[0-9a-f]+$/, ""); $1 = $2 = ""; print section $0 }
    ' | sort -u)
    if [ -n "$found" ]; then
        echo "check-no-panic: $3 refers to the panic machinery:" >&2
        printf '%s\n' "$found" >&2
        failed=1
    fi
}

# The library as users build it; what unwinds through it is for its callers' code, in other units.
export CARGO_TARGET_DIR="$target/default"
cargo rustc --quiet --release --lib --package freestone
check "$target/default/release/libfreestone.rlib" "$panics" "the library"

# As one unit, where the compiler sees that nothing called can unwind.
export CARGO_TARGET_DIR="$target/one-unit"
cargo rustc --quiet --release --lib --package freestone -- -C codegen-units=1
library=$target/one-unit/release/libfreestone.rlib
check "$library" "$panics|$unwinding" "the library as one unit"

# What is inlined into callers is in no library: a caller of each door, with layouts that are
# not known before it runs.
cat >"$target/doors.rs" <<'DOORS'
use std::alloc::{GlobalAlloc, Layout};

static DOOR: freestone::Freestone = freestone::Freestone::new();

#[unsafe(no_mangle)]
pub unsafe fn door_alloc(layout: Layout) -> *mut u8 {
    unsafe { DOOR.alloc(layout) }
}

#[unsafe(no_mangle)]
pub unsafe fn door_alloc_zeroed(layout: Layout) -> *mut u8 {
    unsafe { DOOR.alloc_zeroed(layout) }
}

#[unsafe(no_mangle)]
pub unsafe fn door_dealloc(pointer: *mut u8, layout: Layout) {
    unsafe { DOOR.dealloc(pointer, layout) }
}

#[unsafe(no_mangle)]
pub unsafe fn door_realloc(pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    unsafe { DOOR.realloc(pointer, layout, size) }
}

#[unsafe(no_mangle)]
pub fn door_untyped_allocate(size: usize) -> *mut u8 {
    freestone::untyped::allocate(size)
}

#[unsafe(no_mangle)]
pub unsafe fn door_untyped_free(pointer: *mut u8) {
    unsafe { freestone::untyped::free(pointer) }
}
DOORS
rustc --edition 2024 --crate-type lib --emit "obj=$target/doors.o" -C opt-level=3 -C codegen-units=1 \
    --extern "freestone=$library" -L "dependency=$target/one-unit/release/deps" "$target/doors.rs"
check "$target/doors.o" "$panics|$unwinding" "code inlined into callers"

[ "$failed" = 0 ] && echo "check-no-panic: no panic machinery"
exit "$failed"
