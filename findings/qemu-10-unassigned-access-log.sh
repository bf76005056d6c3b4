#!/bin/bash
# SPDX-License-Identifier: MIT
# QEMU 10 no longer logs an access that reaches no device with `-d guest_errors`: that takes `-d invalid_mem`, a word with
# which QEMU 7.2 ends.
#
# Seen with Debian's qemu-system-x86 1:7.2+dfsg-7+deb12u18+b3 (bookworm) and 1:10.0.13+ds-0+deb13u1 (trixie), reading an address
# at which nothing is:
#   7.2.22  -d guest_errors: Invalid read at addr 0xFEB00000, size 4, region '(null)', reason: rejected
#   7.2.22  -d invalid_mem:  prints its list of words and exits with 1
#   10.0.13 -d guest_errors: logs nothing
#   10.0.13 -d invalid_mem:  Invalid read at addr 0xFEB00000, size 4, region '(null)', reason: rejected
# So a test that looks for such accesses in QEMU's log passes without looking on the newer one, and no word does for both.
# Our runner asks `-d help` first. Neither version needs a guest for this: the monitor reads the address.
# Status 0: as seen; 1: no longer so; 2: the packages cannot be had.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/packages.bash"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

debian_packages "$work/7.2" "bookworm bookworm-updates bookworm-security" qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3
debian_packages "$work/10.0" "trixie trixie-updates trixie-security" qemu-system-x86=1:10.0.13+ds-0+deb13u1

# log VERSION WORD: what QEMU logs of the read, "refused" if it does not start, nothing if it logs nothing.
log() {
    local from=$work/$1 said status=0
    said=$(printf 'xp /1xw 0xfeb00000\nquit\n' |
        QEMU_MODULE_DIR=$from/usr/lib/x86_64-linux-gnu/qemu program_of "$from" usr/bin/qemu-system-x86_64 \
            -L "$from/usr/share/seabios" -L "$from/usr/share/qemu" -machine q35 -accel tcg -nodefaults -display none \
            -S -monitor stdio -d "$2" 2>&1) || status=$?
    if ((status != 0)); then
        # What it prints then is its list of words.
        [[ $said == *guest_errors* ]] && echo refused || printf 'status %s: %s\n' "$status" "$said"
    elif [[ $said != *"Cannot access memory"* ]]; then
        echo "the monitor did not read"
    else
        grep -o 'Invalid read at addr.*' <<<"$said" | tr -d '\r' || true
    fi
}

as_seen=0
# expect VERSION WORD BEGINNING: an empty beginning stands for an empty log.
expect() {
    local logged
    logged=$(log "$1" "$2")
    printf '%-5s -d %-13s %s\n' "$1" "$2:" "${logged:-nothing}"
    if [[ -n $3 ]]; then [[ $logged == "$3"* ]] || as_seen=1; else [[ -z $logged ]] || as_seen=1; fi
}
expect 7.2 guest_errors 'Invalid read at addr 0xFEB00000, size 4'
expect 7.2 invalid_mem refused
expect 10.0 guest_errors ''
expect 10.0 invalid_mem 'Invalid read at addr 0xFEB00000, size 4'
exit "$as_seen"
