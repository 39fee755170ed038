#!/bin/sh
# Fuzzes the allocator: fuzz/run.sh [arguments of libFuzzer], by default for ten minutes. Stable
# Rust; the flags are what makes coverage visible. FEATURES=seeded-bug seeds a bug. What the
# fuzzer finds is kept in the target folder; MERGE=1 adds to fuzz/corpus what covers more of the code.
# TARGET=trace_reader fuzzes the reader of traces instead, from nothing.
set -eu
cd "$(dirname "$0")"

export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --target "$host" ${FEATURES:+--features "$FEATURES"}
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
name=${TARGET:-operations}
program=$target/$host/release/$name

corpus=corpus
work=$target/corpus
if [ "$name" != operations ]; then
    corpus=$target/corpus-$name-kept
    work=$target/corpus-$name
fi
mkdir -p "$corpus" "$work" "$target/artifacts"
if [ "${MERGE:-}" = 1 ]; then
    "$program" -merge=1 -use_counters=0 "$corpus" "$work"
    exit
fi
[ $# -gt 0 ] || set -- -max_total_time=600
"$program" -artifact_prefix="$target/artifacts/" -max_len=512 -timeout=60 -rss_limit_mb=4096 "$@" "$work" "$corpus"
