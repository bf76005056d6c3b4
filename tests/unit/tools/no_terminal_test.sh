#!/bin/bash
# SPDX-License-Identifier: MIT
# In a root without /dev/pts, as chroots and some containers are, what needs a terminal is skipped, says why, and signals
# nobody.
set -euo pipefail
ctl_test=$1 interruption_test=$2

without_terminals() {
    # shellcheck disable=SC2016 # for the inner shell
    unshare --user --map-root-user --mount --pid --fork --kill-child sh -c 'mount -t tmpfs none /dev/pts && exec "$@"' sh "$@"
}
if ! without_terminals true 2>/dev/null; then
    echo "this machine lets nobody have a mount namespace of its own (unshare)"
    exit 77
fi

said=$(without_terminals "$ctl_test" --gtest_filter='ForegroundTerminal.*')
grep -q 'this machine gives no terminal (forkpty: .*): is /dev/pts mounted?' <<<"$said"
grep -q 'SKIPPED.* 2 tests' <<<"$said"

status=0
said=$(without_terminals /usr/bin/python3 "$interruption_test" 2>&1) || status=$?
((status == 77)) || { echo "$said"; exit 1; }
grep -q 'skipped=3' <<<"$said"
