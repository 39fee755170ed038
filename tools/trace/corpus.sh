#!/usr/bin/env bash
# Records the corpus: programs that Debian has and Rust libraries, each for a few seconds, each cut to at most AT_MOST bytes.
#
#   tools/trace/corpus.sh              all of it, into tools/trace/corpus
#   tools/trace/corpus.sh NAME...      these
#   AT_MOST=1048576 TO=/tmp/c …        longer traces, elsewhere
#
# Needs, on Debian 12: apt-get install gcc g++ ghostscript git jq lua5.4 nodejs perl python3 redis-server \
# redis-tools ripgrep sqlite3
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
to=${TO:-$root/tools/trace/corpus}
at_most=${AT_MOST:-400000}
target=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$to"
cd "$work"

# Recorded as NAME: the program that the rest says.
under() { # NAME COMMAND...
    "$target/release/freestone-trace" record --at-most "$at_most" --output "$to/$1.trace" -- "${@:2}" >/dev/null
}

. "$root/tools/trace/programs.sh"

# Under load until the client is done.
redis() {
    local port=17480
    under redis redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --dir . --logfile log &
    until redis-cli -p $port ping >/dev/null 2>&1; do sleep 0.1; done
    redis-benchmark -h 127.0.0.1 -p $port -q --csv -n 12000 -c 20 -P 8 -r 5000 -d 200 \
        -t set,get,lpush,lrange_100,sadd,hset,zadd >/dev/null
    redis-cli -p $port shutdown nosave
    wait $!
}

programs=(cargo gcc ghostscript git gxx jq lua node perl python redis ripgrep sqlite syn tokio)

command cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p freestone-trace -p freestone-trace-preload
command cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p freestone-versus --bin peer-system
[ $# -gt 0 ] || set -- "${programs[@]}"
for name; do
    case " ${programs[*]} " in *" $name "*) ;; *) echo "no program $name; there are ${programs[*]}" >&2; exit 2 ;; esac
    "$name"
done
du -bc "$to"/*.trace | tail -1
