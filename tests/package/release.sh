#!/bin/bash
# SPDX-License-Identifier: MIT
# release.sh CMAKE SOURCE BUILD PREFIX: the preset `release` compiles here without a warning, and is installed.
set -euo pipefail
cmake=$1 source=$2 build=$3 prefix=$4

mkdir -p "$build"
{
    (cd "$source" && "$cmake" --preset release -B "$build" --install-prefix "$prefix") && "$cmake" --build "$build"
} >"$build/log" 2>&1 || { tail -n 40 "$build/log" >&2; exit 1; }
if grep -q -- -Werror "$build/build.ninja"; then
    echo "warnings are errors in a build that is installed" >&2
    exit 1
fi
if grep -A 5 'warning:' "$build/log"; then exit 1; fi
rm -rf "$prefix"
"$cmake" --install "$build" >/dev/null
