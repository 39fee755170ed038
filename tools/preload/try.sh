#!/bin/bash
# Real programs on Freestone, unmodified: each is run with the system's malloc and then with
# every other one preloaded. What it prints must be the same and its exit status 0; time and
# peak memory are shown side by side. Then once more on Freestone under limits of its address
# space, where it may fail, but only as it does with the system's malloc.
#
#   tools/preload/try.sh [--no-install] [--no-limits] [--rounds=N] [PROGRAM...]
#
# Servers listen on 127.0.0.1 only, for a bounded time, and are stopped at the end.
set -u -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
install=yes limits=yes rounds=3 chosen=()
for argument in "$@"; do
    case $argument in
    --no-install) install=no ;;
    --no-limits) limits=no ;;
    --rounds=*) rounds=${argument#*=} ;;
    -*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
    *) chosen+=("$argument") ;;
    esac
done

# Everything is installed by name; what is there already stays as it is.
packages=(
    time                        # peak memory of a program and all it starts
    libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4 # the peers
    python3 libpython3-stdlib libpython3-testsuite libpython3.11-testsuite # whichever there is
    perl lua5.4 jq gcc g++ sqlite3 git nodejs
    ghostscript poppler-utils
    redis-server                # with redis-benchmark
    postgresql postgresql-contrib # with pgbench
    nginx-light wrk
)
if [ "$install" = yes ]; then
    apt-get update -qq
    # Singly: one unknown name would make it refuse them all.
    for package in "${packages[@]}"; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
            echo "$package could not be installed; what needs it is skipped" >&2
    done
fi

work=$(mktemp -d /tmp/freestone-try.XXXXXX)
chmod 755 "$work"
servers=() # process ids of servers that run
stop_servers() {
    local id
    for id in ${servers[@]+"${servers[@]}"}; do kill "$id" 2>/dev/null; done
    for id in ${servers[@]+"${servers[@]}"}; do wait "$id" 2>/dev/null; done
    servers=()
}
trap 'stop_servers; rm -rf "$work"' EXIT

# The library, built as everybody would, and copied where every user may read it.
library=${PRELOAD_LIBRARY:-}
if [ -z "$library" ]; then
    library=$(cd "$here" && cargo build --release --package freestone-preload \
        --message-format=json-render-diagnostics |
        sed -n 's/.*"filenames":\[.*"\([^"]*libfreestone_preload\.so\)".*/\1/p' | tail -1)
fi
[ -r "$library" ] || { echo "the library was not built" >&2; exit 1; }
install -m 755 "$library" "$work/libfreestone_preload.so"

find_library() { ldconfig -p | awk -v name="$1" '$1 == name { print $NF; exit }'; }
declare -A preload=(
    [freestone]=$work/libfreestone_preload.so
    # Itself first, so that a program linked against another malloc uses the system's too.
    [system]=$(find_library libc.so.6)
    [mimalloc]=$(find_library libmimalloc.so.2)
    [jemalloc]=$(find_library libjemalloc.so.2)
    [tcmalloc]=$(find_library libtcmalloc_minimal.so.4)
)
allocators=(system freestone mimalloc jemalloc tcmalloc)

. "$here/try/programs.sh"
. "$here/try/servers.sh"
[ ${#chosen[@]} -gt 0 ] || chosen=("${programs[@]}")

failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# One run of `run_PROGRAM` in a folder of its own: its output in $work/out/PROGRAM.ALLOCATOR, what it took in
# $seconds and $mebibytes. A server's script times itself, and leaves its figure in `rate`.
one_run() { # PROGRAM ALLOCATOR
    local folder=$work/run status
    rm -rf "$folder" && mkdir -m 777 "$folder" && mkdir -p "$work/out"
    (
        cd "$folder" || exit 1
        export allocator=$2 library=${preload[$2]} work
        export -f under
        /usr/bin/time -q -o "$folder/took" -f "%e %M" \
            bash -c "set -o pipefail; . '$here/try/programs.sh'; . '$here/try/servers.sh'; run_$1"
    ) >"$work/out/$1.$2" 2>"$work/out/$1.$2.err"
    status=$?
    read -r seconds mebibytes < <(tail -1 "$folder/took" 2>/dev/null || echo "0 0")
    [ -r "$folder/peak" ] && mebibytes=$(cat "$folder/peak")
    mebibytes=$((mebibytes / 1024))
    rate=
    [ -r "$folder/rate" ] && rate=$(cat "$folder/rate")
    return $status
}

# Runs a command on the allocator under trial.
under() { env LD_PRELOAD="$library" "$@"; }

try_program() { # PROGRAM
    local program=$1 allocator best_seconds best_rate most round
    if ! "have_$program" >/dev/null 2>&1; then
        printf '%-11s skipped: not installed\n' "$program"
        return
    fi
    [ -d "$work/data/$program" ] || { mkdir -p "$work/data/$program" && (cd "$work/data/$program" && "prepare_$program") ||
        { fail "$program: its data could not be made"; return; }; }
    declare -A times=() rates=() peaks=()
    for round in $(seq "$rounds"); do
        for allocator in "${allocators[@]}"; do
            [ -r "${preload[$allocator]}" ] || continue
            if ! one_run "$program" "$allocator"; then
                # A peer's failure is the peer's; it is told and does not count.
                if [ "$allocator" = freestone ] || [ "$allocator" = system ]; then
                    fail "$program on $allocator:"
                    tail -5 "$work/out/$program.$allocator.err"
                else
                    echo "$program on $allocator ended badly"
                fi
                times[$allocator]=-
                continue
            fi
            if ! cmp -s "$work/out/$program.system" "$work/out/$program.$allocator"; then
                fail "$program prints something else on $allocator"
                diff "$work/out/$program.system" "$work/out/$program.$allocator" | head -5
            fi
            times[$allocator]=$(lesser "${times[$allocator]:-}" "$seconds")
            peaks[$allocator]=$(lesser "${peaks[$allocator]:-}" "$mebibytes")
            [ -z "$rate" ] || rates[$allocator]=$(greater "${rates[$allocator]:-}" "$rate")
        done
    done
    printf '%-11s' "$program"
    for allocator in "${allocators[@]}"; do
        if [ -n "${rates[$allocator]:-}" ]; then
            printf ' %9s/s %5s' "${rates[$allocator]}" "${peaks[$allocator]:--}"
        else
            printf ' %10ss %5s' "${times[$allocator]:--}" "${peaks[$allocator]:--}"
        fi
    done
    echo
    [ "$limits" = no ] || declare -F "limits_$program" >/dev/null || limited "$program"
}

lesser() { [ -n "$1" ] && awk "BEGIN { exit !($1 < $2) }" && echo "$1" || echo "$2"; }
greater() { [ -n "$1" ] && awk "BEGIN { exit !($1 > $2) }" && echo "$1" || echo "$2"; }

# How a run under a limit ended: `done`, `refused` (the program said so and left) or a signal.
ending() {
    case $1 in
    0) echo done ;;
    13[2-9] | 124) echo "signal $(($1 - 128))" ;;
    *) echo refused ;;
    esac
}

# Whether a program's bad end is its own: an abort or a trap after its message, or an end that it
# also has with the system's malloc under this limit or one somewhat smaller.
excused() { # PROGRAM MEBIBYTES ENDING
    local percent
    case $3 in
    "signal 5" | "signal 6") ! grep -qiE 'memory|alloc' "$work/out/$1.freestone.err" || return 0 ;;
    esac
    for percent in 100 95 90 85 80 75 70; do
        (ulimit -v $(($2 * 1024 * percent / 100)) && one_run "$1" system)
        [ "$(ending $?)" != "$3" ] || return 0
    done
    return 1
}

# Under address-space limits. A crash is only allowed where the system's malloc has one as well.
limited() { # PROGRAM
    local program=$1 mebibytes with
    for mebibytes in 2048 512 192 96 48 24; do
        (ulimit -v $((mebibytes * 1024)) && one_run "$program" freestone)
        with=$(ending $?)
        if grep -q '^freestone: ' "$work/out/$program.freestone.err" &&
            ! grep -q 'out of memory in operator new' "$work/out/$program.freestone.err"; then
            fail "$program in $mebibytes MiB: $(grep -m1 '^freestone: ' "$work/out/$program.freestone.err")"
        fi
        if [ "${with#signal}" != "$with" ] && ! excused "$program" "$mebibytes" "$with"; then
            fail "$program in $mebibytes MiB: $with, which it has nowhere near with the system's malloc"
            tail -3 "$work/out/$program.freestone.err"
        fi
        [ "$with" = done ] || break
    done
    printf '%-11s   in %s MiB of addresses: %s\n' "" "$mebibytes" "$with"
}

printf '%-11s' "best of $rounds"
printf ' %11s %5s' system MiB freestone MiB mimalloc MiB jemalloc MiB tcmalloc MiB
echo
for program in "${chosen[@]}"; do try_program "$program"; done
[ "$failures" = 0 ] && echo "every program ran as with the system's malloc" || { echo "$failures failures"; exit 1; }
