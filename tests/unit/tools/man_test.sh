#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# man_test.sh TOOL PAGE: the manual page names every option and every command that the tool has.
set -euo pipefail

tool=$1
page=$2
failed=0

# names_in ARGUMENT...: what the help for these arguments lists, options and commands
names_in() {
    "$tool" "$@" --help | grep -oE '^  (-[a-zA-Z],)?--?[a-zA-Z][a-z-]*' | tr ',' '\n' | tr -d ' '
}

commands=$("$tool" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
text=$(sed 's/[\]//g' "$page")
for name in $(names_in; for command in $commands; do names_in "$command"; done | sort -u) $commands; do
    grep -qE -- "\*([^*]*[ ,])?$name([ ,][^*]*)?\*" <<<"$text" || {
        echo "FAILED: ${tool##*/} has '$name', ${page##*/} does not mention it"
        failed=1
    }
done
exit "$failed"
