#!/bin/bash
# SPDX-License-Identifier: MIT
# compilers.sh SOURCE GENERATED: the public headers and the examples compile with every supported compiler that is here,
# and with every Boost: the machine's, and those that fetch_boost.sh has unpacked. Ends with 77 if all do that are here,
# and one of those is missing that docs/reference/packages.md names.
# compilers.sh --list: which are here, and which are missing.
set -euo pipefail
source=${1:-} generated=${2:-}
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/../../setup/cache.sh"
cache_directory
open_cache "$cache" || { printf '%s\n%s\n' "$cache_obstacle" "$cache_remedy" >&2; exit 1; }

named_compilers=(g++-12 g++-14 clang++-19)
named_boosts=(1.81 1.83 1.92)
compilers=()
for compiler in "${named_compilers[@]}" g++-13 g++-15; do
    ! command -v "$compiler" >/dev/null || compilers+=("$compiler")
done

# version_of [FOLDER]: the version of the Boost in that folder, or of the machine's; nothing if there is none.
version_of() {
    local version
    version=$(echo '#include <boost/version.hpp>' | c++ -E -dM ${1:+"-I$1"} -x c++ - 2>/dev/null |
        sed -n 's/^#define BOOST_LIB_VERSION "\(.*\)"/\1/p') || true
    echo "${version//_/.}"
}
declare -A boosts=() # the version, and the folder of its headers
machines=$(version_of)
for folder in "$cache"/boost-*/usr/include; do [[ ! -e $folder ]] || boosts[$(version_of "$folder")]=$folder; done
[[ -z $machines ]] || boosts[$machines]=

failed=0 missing=0
for compiler in "${compilers[@]}"; do
    for boost in "${!boosts[@]}"; do
        printf '%s, Boost %s\n' "$compiler" "$boost"
        [[ $source != --list ]] || continue
        includes=(-I"$source/uio-vfio-lib/include" -I"$source/uio-vfio-lib/drivers/pcienic/include" -I"$generated")
        [[ -z ${boosts[$boost]} ]] || includes=(-I"${boosts[$boost]}" "${includes[@]}")
        for standard in 20 23; do
            {
                printf '#include <%s>\n' uiovfio/uiovfio.hpp uiovfio/sim.hpp uiovfio/asio.hpp uiovfio/asio_hybrid.hpp \
                    pcienic/driver.hpp pcienic/dma_async.hpp pcienic/replay.hpp
                printf '#include "%s"\n' "$source"/examples/nvme.cpp
            } | "$compiler" -x c++ -std=c++$standard -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fsyntax-only \
                "${includes[@]}" - || failed=1
            "$compiler" -std=c++$standard -Wall -Wextra -Werror -fsyntax-only "${includes[@]}" "$source/examples/edu.cpp" ||
                failed=1
        done
    done
done
for compiler in "${named_compilers[@]}"; do
    for boost in "${named_boosts[@]}"; do
        if [[ " ${compilers[*]} " != *" $compiler "* || ! -v boosts[$boost] ]]; then
            printf 'not here: %s, Boost %s\n' "$compiler" "$boost"
            missing=1
        fi
    done
done
((failed == 0)) || exit 1
[[ $source == --list ]] || ((missing == 0)) || exit 77
