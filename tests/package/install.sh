#!/bin/bash
# SPDX-License-Identifier: MIT
# install.sh CMAKE BUILD PREFIX: installs the library alone, and looks whether every file that it promises is there.
set -euo pipefail
cmake=$1 build=$2 prefix=$3

rm -rf "$prefix"
"$cmake" --install "$build" --component uiovfio --prefix "$prefix" >/dev/null
missing=0
checkout=$(dirname "$0")/../..
headers=("$checkout"/uio-vfio-lib/include/uiovfio/*.hpp)
[ ${#headers[@]} -gt 20 ] || { echo "the library's headers are not where they were" >&2; exit 1; }
for file in "${headers[@]/#*\//include/uiovfio/}" include/pcienic/{driver,registers,register_table,replay}.hpp; do
    [ -s "$prefix/$file" ] || { echo "$file is not installed" >&2; missing=1; }
done
# What is private stays at home.
if grep -rlE '#include "(backend|guarded|text|vfio_calls)' "$prefix/include"; then
    echo "these public headers include private ones" >&2
    missing=1
fi
# The package may be moved: nothing in it names the place where it was built.
if grep -rl --include='*.cmake' --include='*.pc' -F "$build" "$prefix"; then
    echo "these files name the build folder" >&2
    missing=1
fi
exit $missing
