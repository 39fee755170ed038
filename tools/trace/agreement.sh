#!/usr/bin/env bash
# Says for each program of the corpus whether its replay ranks allocators as it does itself, with the
# libraries that Debian has: apt-get install libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4
#
#   tools/trace/agreement.sh [NAME...]    REPEAT=5: runs with each allocator
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

libraries=()
for pair in jemalloc=libjemalloc.so.2 mimalloc=libmimalloc.so.2 tcmalloc=libtcmalloc_minimal.so.4; do
    path=$(PATH=$PATH:/sbin ldconfig -p | awk -v name="${pair#*=}" '$1 == name { print $NF; exit }')
    [ -z "$path" ] || libraries+=(--library "${pair%%=*}=$path")
done

under() { # NAME COMMAND...
    local tool=$target/release/freestone-trace
    printf '\n%s\n' "$1"
    "$tool" record --output "$1.trace" -- "${@:2}" >/dev/null 2>&1
    "$tool" agree "$1.trace" --repeat "${REPEAT:-5}" "${libraries[@]}" -- "${@:2}"
}

. "$root/tools/trace/programs.sh"

command cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p freestone-trace \
    -p freestone-trace-preload -p freestone-preload
# What takes its time from the allocator, and does the same each time.
[ $# -gt 0 ] || set -- gcc gxx jq lua perl python
for name; do
    "$name"
done | tee "$work/said"
awk '/^rank correlation/ { sum[$3] += $NF; count[$3]++ }
    END { for (what in sum) printf "mean rank correlation, %s %.2f of %d programs\n", what, sum[what] / count[what], count[what] }' "$work/said"
