#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the guest's own kernel, which has what Debian's leave out (docs/design/0004): Debian's source package and
# kernel-iommufd.config over tinyconfig. No root needed. Ten minutes and more on two processors, once.
#
#   build-kernel.sh CACHE_DIR      (as setup/cache.sh has it)
#
# The last line on standard output is the kernel's directory, <CACHE_DIR>/kernel-<key>: vmlinuz, version, lib/modules,
# and uapi/, the headers that say what it offers userspace. The key covers the package's version and our own files.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=setup/cache.sh
. "$here/../setup/cache.sh"
umask 022
config=$here/kernel-iommufd.config
readonly PACKAGE=linux-source-6.12
readonly NEEDED_MIB=3500 # the package, what it unpacks to, and the objects

die() {
    echo "guest kernel: $1" >&2
    exit "${2:-1}"
}

[[ $# -eq 1 && $1 != -* ]] || die "usage: build-kernel.sh CACHE_DIR" 2
open_cache "$1" || die "$cache_obstacle: $cache_remedy"

# apt run as root would complain that its unprivileged user cannot write into the cache.
apt_options=()
((EUID)) || apt_options=(-o APT::Sandbox::User=root)
version=$(apt-cache policy "$PACKAGE" 2>/dev/null | sed -n 's/^  Candidate: //p')
[[ $version == [0-9]* ]] || die "apt knows no package '$PACKAGE': run 'apt-get update' first (as root), with a network"

key=$({ echo "$PACKAGE $version"; gcc --version | head -n 1; cat "$config" "${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-16)
kernel=$cache/kernel-$key
report_if_built() {
    [[ -f $kernel/version ]] || return 1
    echo "$kernel"
}
if report_if_built; then exit 0; fi
take_lock "$cache/kernel.lock" || die "cannot lock $cache/kernel.lock"
if report_if_built; then exit 0; fi # another process built it while this one waited

free=$(df --output=avail -BM -- "$cache" | tail -n 1 | tr -dc '0-9')
((free >= NEEDED_MIB)) || die "building it needs $NEEDED_MIB MiB in $cache, and only $free MiB are free there: \
make room there, or set PCIENIC_CACHE to a directory on a larger disk"

work=$(mktemp -d "$cache/kernel-building.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

echo "guest kernel: downloading $PACKAGE $version" >&2
apt-get "${apt_options[@]}" -q download "$PACKAGE=$version" >apt.log 2>&1 || die "$(tail -n 5 apt.log)
guest kernel: the package could not be downloaded: check the network, run 'apt-get update', and try again"
dpkg-deb --fsys-tarfile ./*.deb | tar -x
# Half of the source is drivers that no guest has; their Kconfig files stay, because the others name them.
tar -xJf usr/src/"$PACKAGE".tar.xz --exclude='*/drivers/gpu/*.[chS]' --exclude='*/sound/*.[chS]' \
    --exclude='*/drivers/net/wireless/*.[ch]' --exclude='*/drivers/media/*.[ch]' --exclude='*.rst' --exclude='*.dts*'
rm -f ./*.deb usr/src/"$PACKAGE".tar.xz
cd "$PACKAGE"

compiler=gcc
! command -v ccache >/dev/null || compiler="ccache gcc"
# Nothing of the day or the machine in it: the same source gives the same kernel.
build() {
    make -j"${PCIENIC_JOBS:-$(nproc)}" CC="$compiler" HOSTCC="$compiler" KBUILD_BUILD_TIMESTAMP=1970-01-01 \
        KBUILD_BUILD_USER=pcienic KBUILD_BUILD_HOST=pcienic "$@"
}
echo "guest kernel: configuring" >&2
build -s tinyconfig >&2
scripts/kconfig/merge_config.sh -m .config "$config" >/dev/null
build -s olddefconfig >&2
# olddefconfig drops what depends on something that is missing without a word.
while IFS='=' read -r name value; do
    if [[ $value == n ]]; then
        ! grep -q "^$name=" .config || die "$name is on, and $config turns it off"
    else
        grep -q "^$name=$value\$" .config || die "$name=$value of $config is not in force: something it depends on is missing"
    fi
done < <(grep '^CONFIG_' "$config")

echo "guest kernel: compiling" >&2
build bzImage modules >&2
result=$work/result
mkdir -p "$result"
build -s INSTALL_MOD_PATH="$result" INSTALL_MOD_STRIP=1 modules_install >&2
build -s headers >&2
cp arch/x86/boot/bzImage "$result/vmlinuz"
rm -f "$result"/lib/modules/*/build "$result"/lib/modules/*/source
mkdir -p "$result/uapi/linux"
cp usr/include/linux/{vfio,iommufd}.h "$result/uapi/linux/"
build -s kernelrelease >"$result/version"
mv "$result" "$kernel"
echo "$kernel"
