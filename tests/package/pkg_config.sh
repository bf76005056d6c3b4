#!/bin/bash
# SPDX-License-Identifier: MIT
# pkg_config.sh PREFIX CONSUMER BUILD COMPILER: builds the consumer by hand, with the flags that pkg-config gives.
set -euo pipefail
prefix=$1 consumer=$2 build=$3 compiler=$4

pc=$(find "$prefix" -name uiovfio.pc -printf '%h\n')
[ -n "$pc" ] || { echo "no uiovfio.pc is installed" >&2; exit 1; }
export PKG_CONFIG_PATH=$pc
mkdir -p "$build"
read -ra cflags <<<"$(pkg-config --cflags uiovfio)"
read -ra libs <<<"$(pkg-config --libs uiovfio)"
"$compiler" -std=c++20 "${cflags[@]}" "$consumer/main.cpp" -o "$build/consumer" "${libs[@]}"
"$build/consumer"

# Without any shared library, if the machine has static ones of what it is linked with.
if [[ -e $(pkg-config --variable=libdir fmt)/libfmt.a ]]; then
    read -ra libs <<<"$(pkg-config --static --libs uiovfio)"
    "$compiler" -std=c++20 -static "${cflags[@]}" "$consumer/main.cpp" -o "$build/consumer-static" "${libs[@]}"
    "$build/consumer-static"
fi
