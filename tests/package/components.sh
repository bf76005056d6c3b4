#!/bin/bash
# SPDX-License-Identifier: MIT
# components.sh CMAKE PREFIX BUILD COMPILER: what find_package does with components, with Boost and without.
set -euo pipefail
cmake=$1 prefix=$2 build=$3 compiler=$4

rm -rf "$build"
failed=0

# expect NAME STATUS TEXT LINES [OPTION...]: a project of these lines is configured, or refused with this text.
expect() {
    local name=$1 status=$2 text=$3 lines=$4 got=0 log
    shift 4
    mkdir -p "$build/$name"
    printf 'cmake_minimum_required(VERSION 3.25)\nproject(asks LANGUAGES CXX)\n%s\n' "$lines" >"$build/$name/CMakeLists.txt"
    log=$("$cmake" -S "$build/$name" -B "$build/$name/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" \
        "$@" 2>&1) || got=1
    log=$(tr -s ' \n' ' ' <<<"$log")
    if [[ $got != "$status" || $log != *"$text"* ]]; then
        printf 'FAILED: %s ended with %s and said: %s\n' "$name" "$got" "$log"
        failed=1
    fi
}

# shows TARGET: lines that say whether there is such a target.
shows() { printf 'if(TARGET %s)\n  message(STATUS "there is %s")\nelse()\n  message(STATUS "there is no %s")\nendif()\n' "$1" "$1" "$1"; }

no_boost=-DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON
expect library 0 "there is uiovfio::uiovfio" "find_package(uiovfio REQUIRED)
$(shows uiovfio::uiovfio)" "$no_boost"
expect driver 0 "there is uiovfio::pcienic" "find_package(uiovfio REQUIRED COMPONENTS pcienic)
$(shows uiovfio::pcienic)" "$no_boost"
expect asio 0 "there is uiovfio::asio" "find_package(uiovfio REQUIRED COMPONENTS asio)
$(shows uiovfio::asio)"
expect asio-without-boost 1 "The component asio needs the headers of Boost, 1.81 or later" \
    "find_package(uiovfio REQUIRED COMPONENTS asio)" "$no_boost"
expect no-asio-without-boost 0 "there is no uiovfio::asio" "find_package(uiovfio REQUIRED)
$(shows uiovfio::asio)" "$no_boost"
expect optional-asio-without-boost 0 "there is no uiovfio::asio" "find_package(uiovfio REQUIRED OPTIONAL_COMPONENTS asio)
$(shows uiovfio::asio)" "$no_boost"
expect unknown 1 "uiovfio has no component windows: there are asio and pcienic" \
    "find_package(uiovfio REQUIRED COMPONENTS windows)"
expect old 1 "version: 0.1.0" "find_package(uiovfio 0.9 REQUIRED)"
exit "$failed"
