#!/bin/sh
# Runs seeded bugs and a clean program under AddressSanitizer and under valgrind, each with the
# feature that tells it of freed blocks. Says what was found; fails if a bug was missed, or
# something was found where there is nothing. CARGO_TARGET_DIR counts.
set -eu
cd "$(dirname "$0")/.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/sanitizers
host=$(rustc -vV | sed -n 's/^host: //p')
failed=0

# Runs "$2 program case" for each case; $1 names the tool, $3 is what it says of a bug.
try() {
    for bug in clean small large untyped; do
        if said=$($2 "$program" "$bug" 2>&1); then status=0; else status=$?; fi
        if [ "$bug" = clean ]; then
            [ "$status" = 0 ] && verdict="clean" || { verdict="FAILED: a false report"; failed=1; }
        elif printf '%s' "$said" | grep -q "$3"; then
            verdict="found"
        elif [ "$status" = 139 ]; then
            verdict="found (SIGSEGV)"
        else
            verdict="FAILED: missed"
            failed=1
        fi
        echo "$1: $bug: $verdict"
        case $verdict in FAILED*) printf '%s\n' "$said" | head -30 ;; esac
    done
}

# The sanitizer's flag is no stable one; the compiler is.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers" CARGO_TARGET_DIR="$target/asan" \
    cargo build --quiet --release --example use_after_free --features asan --target "$host"
program=$target/asan/$host/release/examples/use_after_free
try AddressSanitizer "env ASAN_OPTIONS=detect_leaks=0" "use-after-poison"

RUSTFLAGS="-Cdwarf-version=4" CARGO_TARGET_DIR="$target/valgrind" \
    cargo build --quiet --release --example use_after_free --features valgrind
program=$target/valgrind/release/examples/use_after_free
try valgrind "valgrind --quiet --error-exitcode=99" "Invalid read of size 8"

exit "$failed"
