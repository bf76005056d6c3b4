#!/bin/bash
# SPDX-License-Identifier: MIT
# checked.sh CMAKE PREFIX SOURCE BUILD COMPILER: the ways to the checked build that packages.md gives. The library that is
# installed is the same for both.
set -euo pipefail
cmake=$1 prefix=$2 source=$3 build=$4 compiler=$5

rm -rf "$build"
mkdir -p "$build"
PKG_CONFIG_PATH=$(find "$prefix" -name uiovfio.pc -printf '%h\n')
export PKG_CONFIG_PATH
read -ra cflags <<<"$(pkg-config --cflags uiovfio)"
read -ra libs <<<"$(pkg-config --libs uiovfio)"

# by_cmake NAME OPTION..., by_hand NAME OPTION...: make $build/NAME/mistaken.
by_cmake() {
    {
        "$cmake" -S "$source" -B "$build/$1" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" "${@:2}" &&
            "$cmake" --build "$build/$1"
    } >"$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
}
by_hand() {
    mkdir "$build/$1"
    "$compiler" -std=c++20 "${@:2}" "${cflags[@]}" "$source/main.cpp" -o "$build/$1/mistaken" "${libs[@]}"
}

failed=0
# ends NAME STATUS TEXT: how the program ends, and what it says.
ends() {
    local status=0 said
    said=$(ulimit -c 0; "$build/$1/mistaken" 2>&1) || status=$?
    if [[ $status != "$2" || $said != *"$3"* ]]; then
        printf 'FAILED: %s ended with %s and said: %s\n' "$1" "$status" "$said"
        failed=1
    fi
}

by_cmake plain
ends plain 0 ffffffff
by_cmake checked -DUIOVFIO_CHECKED=ON
ends checked 134 "beyond its end"
by_hand plain-by-hand
ends plain-by-hand 0 ffffffff
by_hand checked-by-hand -DUIOVFIO_CHECKED
ends checked-by-hand 134 "beyond its end"
exit "$failed"
