#!/bin/bash
# SPDX-License-Identifier: MIT
# shared_library.sh CMAKE SOURCE BUILD COMPILER: the library alone, shared, built where there is no Python, libpci, CLI11,
# nlohmann_json, GoogleTest or Boost; what it shows of itself, and programs that use it.
set -euo pipefail
cmake=$1 source=$2 build=$3 compiler=$4
here=$(dirname "$(realpath "$0")")
prefix=$build/prefix

mkdir -p "$build"
without=()
for package in CLI11 nlohmann_json GTest Boost PkgConfig ZLIB; do without+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON"); done
{
    "$cmake" -S "$source" -B "$build/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" \
        -DPCIENIC_TOOLS=OFF -DBUILD_SHARED_LIBS=ON -DPCIENIC_PYTHON=/nonexistent -DCMAKE_INSTALL_PREFIX="$prefix" \
        "${without[@]}" && "$cmake" --build "$build/build"
} >"$build/log" 2>&1 || { tail -n 40 "$build/log" >&2; exit 1; }
rm -rf "$prefix"
"$cmake" --install "$build/build" >/dev/null

# One of the tools stands for all: they are made by one function. It finds the libraries by itself, wherever they lie.
{
    "$cmake" -S "$source" -B "$build/tools" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" \
        -DBUILD_SHARED_LIBS=ON -DBUILD_TESTING=OFF && "$cmake" --build "$build/tools" --target pcienic-demo
} >"$build/log" 2>&1 || { tail -n 40 "$build/log" >&2; exit 1; }
rm -rf "$build/tools-prefix" "$build/moved"
for part in uio-vfio-lib/cmake_install.cmake tools/demo/cmake_install.cmake; do
    "$cmake" -DCMAKE_INSTALL_PREFIX="$build/tools-prefix" -P "$build/tools/$part" >/dev/null
done
mv "$build/tools-prefix" "$build/moved"

failed=0
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    failed=1
}

"$build/moved/bin/pcienic-demo" --help >/dev/null || fail "an installed tool does not find its libraries"
for name in uiovfio pcienic_driver; do
    library=$(find "$prefix" -name "lib$name.so")
    [[ $library ]] || { fail "no lib$name.so is installed"; continue; }
    soname=$(readelf -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
    [[ $soname =~ ^lib$name\.so\.[0-9]+\.[0-9]+$ ]] || fail "lib$name.so has the soname '$soname'"
    [[ -e ${library%/*}/$soname ]] || fail "$soname is not installed"
    nm -DC --defined-only "$library" | sed 's/^[0-9a-f]* *//' >"$build/$name.symbols"
done
grep -q 'T uiovfio::Device::open(' "$build/uiovfio.symbols" || fail "Device::open is hidden"
grep -q 'T pcienic::Driver::Driver(' "$build/pcienic_driver.symbols" || fail "pcienic::Driver is hidden"
# The device's core, which is in C, and what only the library's own files know.
if grep -E '^[TDB] (pcienic_|uiovfio::detail::(Binding|VfioDevice|Guard|read_text|is_name|lacks_))' "$build"/*.symbols; then
    fail "these are to be hidden"
fi

# A program and a plug-in of its own, both of which use it: they have one error category, and one type of error.
LD_LIBRARY_PATH=$(dirname "$(find "$prefix" -name libuiovfio.so)")
export LD_LIBRARY_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name uiovfio.pc)")
export PKG_CONFIG_PATH
read -ra flags <<<"$(pkg-config --cflags --libs uiovfio)"
hidden=(-std=c++20 -fvisibility=hidden)
"$compiler" "${hidden[@]}" -shared -fPIC "$here/plugin/plugin.cpp" -o "$build/plugin.so" "${flags[@]}" || fail "the plug-in"
"$compiler" "${hidden[@]}" "$here/plugin/main.cpp" -o "$build/program" "${flags[@]}" -ldl || fail "the program"
"$build/program" "$build/plugin.so" || fail "the program with the plug-in ended with $?"

mkdir -p "$build/consumer"
if ! {
    "$cmake" -S "$here/plugin" -B "$build/consumer" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" &&
        "$cmake" --build "$build/consumer"
} >"$build/log" 2>&1; then
    cat "$build/log" >&2
    fail "find_package"
fi
"$build/consumer/program" "$build/consumer/plugin.so" || fail "the program that CMake built ended with $?"
exit "$failed"
