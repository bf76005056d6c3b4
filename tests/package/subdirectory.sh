#!/bin/bash
# SPDX-License-Identifier: MIT
# subdirectory.sh CMAKE SOURCE BUILD COMPILER: another project that has this one in a subdirectory gets the library, and no
# tools, tests, installation rules or settings of ours.
set -euo pipefail
cmake=$1 source=$2 build=$3 compiler=$4
here=$(dirname "$(realpath "$0")")

mkdir -p "$build"
rm -rf "$build/build"
# A project that had a build folder before it took this one in.
{
    "$cmake" -S "$here/subdirectory" -B "$build/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_CXX_COMPILER="$compiler" -DPCIENIC="$source" -DWITHOUT_PCIENIC=ON &&
        "$cmake" -DWITHOUT_PCIENIC=OFF "$build/build" && "$cmake" --build "$build/build"
} >"$build/log" 2>&1 || { tail -n 40 "$build/log" >&2; exit 1; }
"$build/build/program"
if grep -q -- -Werror "$build/build/build.ninja"; then echo "warnings are errors in another's project" >&2; exit 1; fi
if find "$build/build" -name 'pcienic-*' -type f | grep .; then echo "tools were built in another's project" >&2; exit 1; fi
if ctest --test-dir "$build/build" -N | grep -E 'unit\.|guest\.'; then echo "tests of ours are in another's project" >&2; exit 1; fi
rm -rf "$build/prefix"
"$cmake" --install "$build/build" --prefix "$build/prefix" >/dev/null
if find "$build/prefix" -type f 2>/dev/null | grep .; then echo "ours was installed with another's project" >&2; exit 1; fi
