#!/bin/sh
# Runs every test program under ThreadSanitizer, one after another, and fails where it finds a race or where
# a program fails that is not named below with the reason why it cannot run so.
#
#   tools/tsan.sh [TEST…]
#
# The standard library is rebuilt, so that what it does with memory is seen. RUSTC names a compiler with:
#   its library's sources,            SYSROOT/lib/rustlib/src/rust (rustup component add rust-src);
#   the sanitizer's runtime,          SYSROOT/lib/rustlib/HOST/lib/librustc-*_rt.tsan.a (rustup's toolchains have it).
# Default: the rustc that cargo would use. CARGO_TARGET_DIR counts. TSAN_SECONDS is the time limit of one program,
# default 300; TSAN_LOGS a folder for what each program says, default TARGET/tsan/logs.
set -eu
cd "$(dirname "$0")/.."

# NAME REASON: a program that is not run, or tests of one that are left out: "NAME::PART" is every test of NAME with
# PART in its name.
excluded() {
    cat <<'LIST'
heaps::file maps memory where the sanitizer has its own, which ends the process ("mmap at bad address")
heaps::out_of_core maps a file's heap as well
heaps::shared::who_is_killed_in_a_sync_leaves_a_whole_file maps a file's heap as well
zero_size::blocks_of_heaps_of_every_kind maps a file's heap as well
heaps::release::a_purge_gives_the_pages_back counts resident bytes, of which the sanitizer's shadow has most
aligned_beyond_length counts resident bytes, and mappings
growth_small_steps::a_large_block_grows_with_few_calls counts resident bytes
idle_owners::a_purge_gives_back_what_an_owner_has_freed_in_part counts resident bytes
idle_owners::are_reused counts resident bytes
ended_threads counts resident bytes
memory_goes_back counts resident bytes
purge counts resident bytes
purge_inside_slabs counts resident bytes
rhythm counts resident bytes and page faults
short_threads::memory_stays_flat counts resident bytes, and the sanitizer remembers each thread
sparse_blocks counts resident bytes
option_mapping_flags::locked_pages_go_back counts resident bytes
stats_kernel compares with /proc/self/smaps, in which the sanitizer's mappings are
zeroed_sparse counts resident bytes
aligned_with_guards::thousands_take_tens_of_mappings counts mappings, to which the sanitizer adds some
many_large_blocks::a_quarter_of_them_at_most counts mappings
map::split::unmapping_at_the_limit_of_mappings_gives_the_mapping_back makes 65,530 mappings before an alarm
map::placement::alignment_costs_no_more_than_its_pages_afterwards finds the sanitizer's shadow where nothing is mapped
map::flags::unreserved_memory_is_not_promised asks for more address space than the sanitizer leaves
map::lock:: asks the kernel what is locked, and the sanitizer makes mlock(2) do nothing
map::advice::discarding_locked_memory_is_einval locks memory
map::sync::invalidating_locked_pages_is_ebusy locks memory
refused_by_kernel refuses calls that the sanitizer makes as well
contents_cost_no_walk counts instructions by single steps, which the sanitizer's own code does not survive
stats_cost counts instructions by single steps
fibers moves stacks between threads, of which the sanitizer is not told
fork_copies copies the process by clone(2), of which the sanitizer is not told: threads seem to go on in the child
plugin builds and loads a library that lacks the sanitizer
tls_destructors allocates in threads that the sanitizer has forgotten, which ends the process inside it
LIST
}

rustc=${RUSTC:-rustc}
host=$($rustc -vV | sed -n 's/^host: //p')
sysroot=$($rustc --print sysroot)
[ -d "$sysroot/lib/rustlib/src/rust/library" ] || { echo "no library sources in $sysroot" >&2; exit 2; }
ls "$sysroot/lib/rustlib/$host/lib/"librustc*_rt.tsan.a >/dev/null 2>&1 ||
    { echo "no runtime of the sanitizer in $sysroot" >&2; exit 2; }

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/tsan
logs=${TSAN_LOGS:-$target/logs}
mkdir -p "$logs"
# The sanitizer's flag and the rebuilding are not stable ones; the compiler is.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread --cfg freestone_plain_count" CARGO_TARGET_DIR="$target"
# Without a choice everything that cargo tests, so that the examples are there that tests run.
which=
if [ $# != 0 ]; then
    for name in "$@"; do [ "$name" = freestone ] && which="$which --lib" || which="$which --test $name"; done
fi
# shellcheck disable=SC2086
cargo test --quiet --no-run --message-format=json $which \
    -Zbuild-std=std,panic_unwind,test --target "$host" >"$logs/build.json"
programs=$(sed -n 's/.*"test":true.*"executable":"\([^"]*\)".*/\1/p' "$logs/build.json" | grep -v /examples/)

failed=0
for program in $programs; do
    name=$(basename "$program")
    name=${name%-*}
    reason=$(excluded | sed -n "s/^$name //p")
    if [ -n "$reason" ]; then
        echo "$name: not run: $reason"
        continue
    fi
    left_out=$(excluded | sed -n "s/^$name::\([^ ]*\) .*/--skip \1/p")
    excluded | sed -n "s/^\($name::[^ ]*\) /\1: not run: /p"
    status=0
    # Faults end the process by their signal, as tests expect of a touched guard; children may start threads.
    # shellcheck disable=SC2086
    TSAN_OPTIONS="exitcode=66 handle_segv=0 handle_sigbus=0 die_after_fork=0 ${TSAN_OPTIONS:-}" RUST_BACKTRACE=0 \
        timeout -k 5 "${TSAN_SECONDS:-300}" "$program" $left_out >"$logs/$name.log" 2>&1 </dev/null || status=$?
    races=$(grep -ac '^SUMMARY: ThreadSanitizer' "$logs/$name.log" || true)
    case $status in
        0) [ "$races" = 0 ] && verdict=clean || verdict="FAILED: $races findings" ;;
        124 | 137) verdict="FAILED: not done within its time" ;;
        *) verdict="FAILED: exit status $status, $races findings" ;;
    esac
    echo "$name: $verdict"
    case $verdict in FAILED*) failed=1 ;; esac
done
exit "$failed"
