#!/bin/bash
# SPDX-License-Identifier: MIT
# fetch_boost.sh SUITE VERSION: unpacks the headers of a Boost that this machine's suite lacks into the cache, where
# compilers.sh finds them; nothing is installed. From the mirror that apt uses here, verified as usual:
#     tests/package/fetch_boost.sh trixie 1.83
#     tests/package/fetch_boost.sh sid 1.92
set -euo pipefail
[[ $# -eq 2 ]] || { sed -n '3,6s/^# //p' "$0" >&2; exit 2; }
suite=$1 version=$2
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/../../setup/cache.sh"
cache_directory
open_cache "$cache" || { printf '%s\n%s\n' "$cache_obstacle" "$cache_remedy" >&2; exit 1; }
target=$cache/boost-$version
[[ ! -e $target && ! -L $target ]] || cache_made "$cache" "${target##*/}" ||
    { echo "$target is there, and it is no unpacked Boost: move it away" >&2; exit 1; }

# shellcheck disable=SC2016 # apt expands $(...), not the shell
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' | grep -v security | head -n 1)
[[ -n $mirror ]] || { echo "apt names no mirror: run 'apt-get update' first" >&2; exit 1; }
work=$(mktemp -d "$cache/tmp/pcienic-boost.XXXXXXXXXX")
trap 'rm -rf -- "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial}
signed=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$signed] $mirror $suite main" >"$work/sources.list"
apt=(apt-get -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" -o APT::Sandbox::User=
    -o Acquire::Languages=none -o Debug::NoLocking=1)
"${apt[@]}" update
(cd "$work" && "${apt[@]}" download "libboost$version-dev")
dpkg-deb -x "$work"/libboost*.deb "$work/unpacked"
rm -rf "$target"
mv "$work/unpacked" "$target"
echo "Boost $version is in $target"
