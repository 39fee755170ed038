#!/usr/bin/env bash
# Every figure about recordings in one command, on a machine that does nothing else: the table for
# BENCHMARKS.md, the rank correlations and the table of costs for README.md. About 15 minutes on 2 cores.
#
#   tools/trace/figures.sh [FOLDER]    where they go; target/trace-figures by default
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
to=${1:-${CARGO_TARGET_DIR:-$root/target}/trace-figures}
mkdir -p "$to"
cargo run --release --quiet --manifest-path "$root/Cargo.toml" -p freestone-versus -- \
    --only trace/ --output "$to/versus" >"$to/versus.txt"
REPEAT=${REPEAT:-9} "$root/tools/trace/agreement.sh" >"$to/agreement.txt" 2>&1
REPEAT=${REPEAT:-9} "$root/tools/trace/costs.sh" >"$to/costs.md"
tail -3 "$to/agreement.txt"
echo "in $to: versus/table.md, agreement.txt, costs.md"
