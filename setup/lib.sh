# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What every step of the set-up shares: messages, the cache, locks, long steps with progress. Sourced by ./pcienic.

readonly EXIT_FAILED=1 EXIT_USAGE=2

# A developer's shell is full of things that change a build: another python, a compiler from a variable, flags, a
# generator. What we build must not depend on them, and apt's and ninja's messages are read by us.
use_plain_environment() {
    unset CC CXX CPP CFLAGS CXXFLAGS CPPFLAGS LDFLAGS LD_LIBRARY_PATH LD_PRELOAD PKG_CONFIG_PATH PKG_CONFIG_LIBDIR \
        PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV MAKEFLAGS NINJA_STATUS NINJAFLAGS CMAKE_GENERATOR \
        CMAKE_TOOLCHAIN_FILE CMAKE_PREFIX_PATH CMAKE_BUILD_TYPE CTEST_OUTPUT_ON_FAILURE GREP_OPTIONS CDPATH
    export PATH="/usr/bin:/bin:/usr/sbin:/sbin:$PATH"
    export LC_ALL=C.UTF-8
}

cache_directory() {
    local home="${HOME:-}"
    [[ -n $home ]] || home=$(getent passwd "$(id -u)" | cut -d: -f6)
    printf '%s\n' "${PCIENIC_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/pcienic}"
}

say() { printf 'pcienic: %s\n' "$*" >&2; }

# die MESSAGE [REMEDY]
die() {
    say "$1"
    [[ $# -lt 2 ]] || printf '         %s\n' "${2//$'\n'/$'\n'         }" >&2
    exit "$EXIT_FAILED"
}

usage_error() {
    say "$1"
    say "see ./pcienic help"
    exit "$EXIT_USAGE"
}

# Creates the cache; everything half-made lives in $cache/tmp and is renamed into place when it is whole.
make_cache() {
    mkdir -p "$cache/logs" "$cache/tmp" 2>/dev/null ||
        die "cannot create the cache $cache" "set PCIENIC_CACHE to a directory that you can write to"
    [[ -w $cache ]] || die "the cache $cache is not writable" "set PCIENIC_CACHE to a directory that you can write to"
    # Paths below it are compiled into caches, links and build trees.
    cache=$(cd -- "$cache" && pwd -P)
    export PCIENIC_CACHE=$cache
}

free_mib() {
    df --output=avail -BM -- "$1" | tail -n 1 | tr -dc '0-9'
}

# need_space DIRECTORY MIB WHAT
need_space() {
    local free
    free=$(free_mib "$1")
    ((free >= $2)) || die "$3 needs $2 MiB in $1, and only $free MiB are free there" \
        "make room there, or set PCIENIC_CACHE to a directory on a larger disk (./pcienic clean removes what pcienic made)"
}

# with_lock NAME WHAT COMMAND...: checkouts share one cache, and two commands one build folder; neither may build the same
# thing at once.
with_lock() {
    local name=$1 what=$2 lock
    shift 2
    exec {lock}>"$cache/$name.lock"
    if ! flock --nonblock "$lock"; then
        say "waiting for another pcienic that is at work on $what"
        flock "$lock"
    fi
    "$@"
    exec {lock}>&-
}

human_seconds() {
    if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}

# Where a step is: ninja's [n/m] when the log has one, else the log's last line.
log_position() {
    local last counter
    last=$(tail -c 2000 -- "$1" 2>/dev/null | tr '\r' '\n' | sed '/^[[:space:]]*$/d' | tail -n 1)
    counter=$(grep -oE '^\[[0-9]+/[0-9]+\]' <<<"$last" || true)
    printf '%s' "${counter:-$last}"
}

step_child=
stop_step() {
    [[ -z $step_child ]] || kill -TERM -- "-$step_child" 2>/dev/null || true
}
trap stop_step EXIT
trap 'echo >&2; exit 130' INT
trap 'exit 143' TERM HUP

# step LABEL LOG COMMAND...
# Runs COMMAND with its output in $cache/logs/LOG.log. Says nothing about what takes less than two seconds; otherwise
# shows where it is and for how long: one live line on a terminal, a line every 20 seconds elsewhere. When COMMAND fails,
# shows the end of the log, what that means where we know, and ends the program.
step() {
    local label=$1 log="$cache/logs/$2.log" status=0 began=$SECONDS shown=0 elapsed live=0 width=100 line
    shift 2
    if [[ -t 2 ]]; then
        live=1
        width=$(tput cols 2>/dev/null || echo 100)
    fi
    : >"$log"
    # A process group of its own: an interrupt stops all of it, compilers included.
    set -m
    ("$@") >"$log" 2>&1 </dev/null &
    step_child=$!
    set +m
    while kill -0 "$step_child" 2>/dev/null; do
        sleep 0.1
        elapsed=$((SECONDS - began))
        if ((live && elapsed > shown)); then
            shown=$elapsed
            line="$label: $(human_seconds "$elapsed"), $(log_position "$log")"
            printf '\r\033[K%s' "${line:0:width-1}" >&2
        elif ((!live && elapsed >= 2 && (shown == 0 || elapsed - shown >= 20))); then
            if ((shown == 0)); then say "$label ..."; else
                say "$label: $(human_seconds "$elapsed"), $(log_position "$log" | cut -c 1-100)"
            fi
            shown=$elapsed
        fi
    done
    wait "$step_child" || status=$?
    step_child=
    elapsed=$((SECONDS - began))
    ((!live)) || printf '\r\033[K' >&2
    if ((status != 0)); then
        say "$label: failed after $(human_seconds "$elapsed"). The end of $log:"
        # A compiler's command line would push the error out of sight.
        tail -n 15 -- "$log" | cut -c 1-300 | sed 's/^/    /' >&2
        explain_failure "$log"
        exit "$EXIT_FAILED"
    fi
    ((elapsed < 2)) || say "$label: done in $(human_seconds "$elapsed")"
}

# Failures whose message in the log does not say what to do about them.
explain_failure() {
    local log=$1
    if grep -qE 'No space left on device|not have enough free space|write error' "$log"; then
        say "a disk is full: make room, or set PCIENIC_CACHE to a directory on a larger disk"
    elif grep -qE 'Could not get lock|dpkg frontend lock' "$log"; then
        say "another program held apt's lock for ten minutes: wait until it has ended, then run this again"
    elif grep -qE 'Packages need to be removed but remove is disabled' "$log"; then
        say "apt would have to remove packages of this machine (named above, often another Boost): remove them yourself if you can spare them, then run this again"
    elif grep -qE 'dpkg was interrupted' "$log"; then
        say "an earlier installation was interrupted: run 'dpkg --configure -a' as root, then this again"
    elif grep -qE 'Could not resolve|Temporary failure|Could not connect|Unable to connect|Connection (failed|refused|timed out)|Failed to fetch|Network is unreachable' "$log"; then
        say "apt cannot reach its mirror: check the network, the proxy (http_proxy, Acquire::http::Proxy) and apt's sources, then run this again"
    elif grep -qE 'Killed|out of memory|virtual memory exhausted' "$log"; then
        say "a compiler ran out of memory: run this again with PCIENIC_JOBS=1"
    fi
}

# os_release FIELD: what /etc/os-release says.
os_release() { sed -n "s/^$1=//p" /etc/os-release | tr -d '"'; }

jobs_wanted() { printf '%s\n' "${PCIENIC_JOBS:-$(nproc)}"; }
