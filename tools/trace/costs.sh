#!/usr/bin/env bash
# What recording costs: processor time with and without the recorder, and bytes a call, as Markdown.
#
#   tools/trace/costs.sh [NAME...]    REPEAT=5: runs of each, of which the least counts
#
# `loop` is the worst case: a program that does nothing but replace blocks.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
library=$target/release/libfreestone_trace_preload.so
TIMEFORMAT='%U %S'

# The least processor time of a command, in milliseconds. The functions of programs.sh have their names.
least() { # COMMAND...
    local run
    for run in $(seq "${REPEAT:-5}"); do
        rm -rf "$work/recording"/* "$work/database"
        { time command "$@" >/dev/null 2>&1; } 2>>times
    done
    awk '{ ms = ($1 + $2) * 1000; if (NR == 1 || ms < least) least = ms } END { print least }' times
    rm times
}

under() { # NAME COMMAND...
    local bare recorded
    mkdir -p recording
    bare=$(least "${@:2}")
    recorded=$(least env "ALLOCATION_TRACE=$work/recording" "LD_PRELOAD=$library" "${@:2}")
    "$target/release/freestone-trace" pack recording -o "$1.trace" 2>said
    # That of the most calls is the one that was packed.
    awk -v name="$1" -v bare="$bare" -v recorded="$recorded" \
        -v raw="$(find recording -printf '%s\n' | sort -n | tail -1)" -v packed="$(stat -c %s "$1.trace")" \
        '/ calls by / { for (i = 1; i <= NF; i++) if ($i == "of") { calls = $(i + 1); gsub(",", "", calls) }
            printf "| `%s` | %d | %.0f ms | %.0f ms | %.2f | %.2f | %.2f |\n", name, calls, bare, recorded,
                recorded / bare, raw / calls, packed / calls }' said
}

loop() {
    cat >loop.c <<'C'
#include <stdlib.h>
int main(void) {
    static void *blocks[1000];
    unsigned random = 1;
    for (long i = 0; i < 3000000; i++) {
        random = random * 1103515245 + 12345;
        int place = (random >> 8) % 1000;
        free(blocks[place]);
        blocks[place] = malloc(16 + (random >> 20) % 500);
    }
}
C
    command gcc -O2 -fno-builtin -o loop loop.c
    under loop ./loop
}

. "$root/tools/trace/programs.sh"

command cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p freestone-trace -p freestone-trace-preload
echo "| program | calls | alone | recorded | ratio | bytes a call while recorded | packed |"
echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
[ $# -gt 0 ] || set -- cargo gcc ghostscript git gxx jq lua node perl python ripgrep sqlite loop
for name; do
    "$name"
done
