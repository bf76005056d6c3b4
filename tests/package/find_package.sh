#!/bin/bash
# SPDX-License-Identifier: MIT
# find_package.sh CMAKE PREFIX CONSUMER BUILD COMPILER: builds the consumer by CMake, against a package that was moved.
set -euo pipefail
cmake=$1 prefix=$2 consumer=$3 build=$4 compiler=$5

rm -rf "$build"
mkdir -p "$build"
cp -r "$prefix" "$build/moved"
"$cmake" -S "$consumer" -B "$build/consumer" -DCMAKE_PREFIX_PATH="$build/moved" -DCMAKE_CXX_COMPILER="$compiler" >"$build/log" ||
    { cat "$build/log" >&2; exit 1; }
"$cmake" --build "$build/consumer" >>"$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
"$build/consumer/consumer"
