#!/bin/bash
# SPDX-License-Identifier: MIT
# examples.sh CMAKE PREFIX EXAMPLES BUILD COMPILER: builds a copy of examples/, alone, against the installed package.
set -euo pipefail
cmake=$1 prefix=$2 examples=$3 build=$4 compiler=$5

rm -rf "$build"
mkdir -p "$build"
cp -r "$examples" "$build/source"
{
    "$cmake" -S "$build/source" -B "$build/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" &&
        "$cmake" --build "$build/build"
} >"$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
for example in edu nvme; do
    # Without a device they say what they need, each in its own way.
    status=0
    said=$("$build/build/$example" too many arguments by far 2>&1) || status=$?
    [[ $status = 2 && $said = "usage: $example"* ]] || { echo "$example ended with $status and said: $said" >&2; exit 1; }
done
