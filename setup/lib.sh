# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What every step of the set-up shares: messages, the cache, locks, long steps with progress. Sourced by ./pcienic.

readonly EXIT_FAILED=1 EXIT_USAGE=2

# Restored where the user's own files are made: what goes into the cache is for nobody else to write to (make_cache).
users_umask=$(umask)

# shellcheck source=setup/cache.sh
. "$checkout/setup/cache.sh"

# A developer's shell is full of things that change a build: another python, a compiler from a variable, flags, a
# generator. What we build must not depend on them, and apt's and ninja's messages are read by us.
use_plain_environment() {
    unset CC CXX CPP CFLAGS CXXFLAGS CPPFLAGS LDFLAGS LD_LIBRARY_PATH LD_PRELOAD PKG_CONFIG_PATH PKG_CONFIG_LIBDIR \
        PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV MAKEFLAGS NINJA_STATUS NINJAFLAGS CMAKE_GENERATOR \
        CMAKE_TOOLCHAIN_FILE CMAKE_PREFIX_PATH CMAKE_BUILD_TYPE CTEST_OUTPUT_ON_FAILURE GREP_OPTIONS CDPATH
    export PATH="/usr/bin:/bin:/usr/sbin:/sbin:$PATH"
    export LC_ALL=C.UTF-8
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

# Makes the cache ready; everything half-made lives in $cache/tmp and is renamed into place when it is whole.
make_cache() {
    open_cache "$cache" || die "$cache_obstacle" "$cache_remedy"
    # What others could write to, they could have us run.
    umask go-w
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

# die_of_lock FILE: take_lock could not take it, and no other process holds it.
die_of_lock() {
    die "cannot lock $1: ${lock_obstacle:-it was removed}" \
        "see that ${1%/*} is there, that you can write to it and to the file, and that its file system has locks"
}

# with_lock FILE WHAT COMMAND...: checkouts share one cache, and two commands one build folder; neither may build the same
# thing at once.
with_lock() {
    local file=$1 what=$2 lock
    shift 2
    if ! take_lock "$file" --nonblock; then
        [[ -z $lock_obstacle ]] || die_of_lock "$file"
        say "waiting for another pcienic that is at work on $what"
        take_lock "$file" || die_of_lock "$file"
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
# Set for a step that may not be stopped half-way.
step_must_end=

stop_step() {
    local tenths
    [[ -z $lock_child ]] || kill -TERM "$lock_child" 2>/dev/null || true
    [[ -n $step_child ]] || return 0
    kill -TERM -- "-$step_child" 2>/dev/null || true
    # Nothing of it may go on behind the prompt.
    for ((tenths = 0; tenths < 100; tenths++)); do
        kill -0 -- "-$step_child" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$step_child" 2>/dev/null || true
    # Dying takes a moment.
    for ((tenths = 0; tenths < 100; tenths++)); do
        kill -0 -- "-$step_child" 2>/dev/null || return 0
        sleep 0.1
    done
}

# end_by_signal STATUS
end_by_signal() {
    trap '' INT TERM HUP
    echo >&2
    if [[ -n $step_child && -n $step_must_end ]]; then
        say "waiting for $step_must_end, which cannot be stopped half-way"
        while kill -0 "$step_child" 2>/dev/null; do sleep 0.1; done
    fi
    exit "$1"
}
trap stop_step EXIT
trap 'end_by_signal 130' INT
trap 'end_by_signal 143' TERM HUP

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
    # A new file each time, for its owner only.
    rm -f -- "$log" 2>/dev/null || die "$log is no file, and set-up writes its log there" "move it away"
    (umask 077 && : >"$log")
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
    elif grep -qE '^sudo: a (terminal|password) is required' "$log"; then
        say "sudo asks for the password each time on this machine, and the installation has no terminal: run './pcienic setup packages' as root once, then this again"
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
