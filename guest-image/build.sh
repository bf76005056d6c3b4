#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the guest: a Debian kernel and an initramfs with the userland that every run needs. No root needed: the packages
# come through apt (which verifies them) into a directory of our own, and nothing of the host's root file system is used.
#
#   build.sh CACHE_DIR [--kernel KERNEL]      (CACHE_DIR as setup/cache.sh has it)
#
# The last line on standard output is the image's directory, <CACHE_DIR>/guest-<key>: vmlinuz, base.cpio.gz, manifest.json,
# and with a kernel of our own uapi/, its headers for userspace.
# The key covers the packages' versions and everything in this directory that ends up in the image.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=setup/cache.sh
. "$here/../setup/cache.sh"
# The image's files have these modes in the guest, no matter which user builds it.
umask 022
inputs=("$here/build.sh" "$here/init" "$here/run-suite" "$here/as-user" "$here/packages" "$here/modules" "$here/build-kernel.sh"
    "$here/kernel-iommufd.config")

die() {
    echo "guest image: $1" >&2
    exit "${2:-1}"
}

# All that differs between architectures, by Debian's names of them. A kernel's words: where it comes from (the package
# that depends on the newest version, a pattern for the package itself, or build-kernel.sh), and the MiB that building an
# image with it takes at its peak (the packages, what they unpack to, and the image).
declare -A kernels
case $(dpkg --print-architecture) in
    amd64)
        arch=x86_64
        kernels=([cloud]="depends:linux-image-cloud-amd64 400" [amd64]="depends:linux-image-amd64 800"
            [6.12]="newest:linux-image-6\\.12\\.[0-9.]+\\+.*-cloud-amd64 400" [iommufd]="build:build-kernel.sh 400")
        kernel_names="cloud (small, the default), amd64 (Debian's generic one), 6.12 (Debian's cloud kernel of that version) \
or iommufd (built here: with IOMMUFD, VFIO device nodes and no-IOMMU mode)"
        loader=usr/lib64/ld-linux-x86-64.so.2
        libraries=usr/lib/x86_64-linux-gnu
        ;;
    *) die "no guest for $(dpkg --print-architecture) yet: it needs a row in the table at the head of ${BASH_SOURCE[0]}" ;;
esac

usage="usage: build.sh CACHE_DIR [--kernel $(sort <<<"${!kernels[*]}" | tr ' ' '|')]"
cache='' kernel=cloud
while (($#)); do
    case $1 in
        --kernel) [[ $# -ge 2 ]] || die "--kernel needs a value; $usage" 2; kernel=$2; shift ;;
        --kernel=*) kernel=${1#*=} ;;
        -h | --help) echo "$usage"; exit 0 ;;
        -*) die "unknown option $1; $usage" 2 ;;
        *) [[ -z $cache ]] || die "one cache directory only; $usage" 2; cache=$1 ;;
    esac
    shift
done
[[ -n $cache ]] || die "no cache directory given; $usage" 2
[[ -n ${kernels[$kernel]:-} ]] || die "unknown kernel '$kernel': $kernel_names" 2
read -r kernel_origin needed_mib <<<"${kernels[$kernel]}"

space_remedy="make room there, or set PCIENIC_CACHE to a directory on a larger disk"
free_mib() { df --output=avail -BM -- "$cache" | tail -n 1 | tr -dc '0-9'; }

# Whatever ended this, what was made so far goes; most programs do not say what to do about a full disk.
work=''
clean_up() {
    local status=$?
    ((status == 0)) || [[ ! -d $cache ]] || (($(free_mib) > 1)) ||
        echo "guest image: the disk that holds $cache is full: $space_remedy" >&2
    [[ -z $work ]] || rm -rf "$work"
}
trap clean_up EXIT

open_cache "$cache" || die "$cache_obstacle: $cache_remedy"

word_list() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

# apt run as root would complain that its unprivileged user cannot write into the cache.
apt_options=()
((EUID)) || apt_options=(-o APT::Sandbox::User=root)

# Resolving versions takes apt more than a second, so the answer is remembered for as long as apt's lists stay the same.
lists=$(apt-config shell lists Dir::State::lists/d | sed "s/^lists='\(.*\)'$/\1/")
inputs_key=$({
    echo "$kernel"
    cat "${inputs[@]}"
    stat -c '%n %s %Y' "$lists"/*_Packages* 2>/dev/null || true
} | sha256sum | cut -c1-16)
resolved=$cache/guest-resolved-$inputs_key
report_if_built() {
    local image
    [[ -s $resolved ]] || return 1
    image=$cache/$(<"$resolved")
    [[ -f $image/manifest.json ]] || return 1
    echo "$image"
}
if report_if_built; then exit 0; fi

# Before the lock, and under one of its own: it takes minutes, in which other images can be built.
own_kernel=''
[[ $kernel_origin != build:* ]] || own_kernel=$("$here/${kernel_origin#*:}" "$cache" | tail -n 1)

take_lock "$cache/guest.lock" || die "cannot lock $cache/guest.lock"
if report_if_built; then exit 0; fi # another process built it while this one waited

work=$(mktemp -d "$cache/guest-building.XXXXXX")
mkdir -p "$work/debs/partial" "$work/system/usr/lib" "$work/root"

kernel_version_package=''
case $kernel_origin in
    depends:*)
        kernel_version_package=$({ apt-cache depends --important "${kernel_origin#*:}" 2>/dev/null || true; } |
            sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
        ;;
    newest:*)
        kernel_version_package=$({ apt-cache pkgnames linux-image- 2>/dev/null || true; } |
            grep -Ex "${kernel_origin#*:}" | sort -V | tail -n 1 || true)
        ;;
esac
[[ -n $kernel_version_package$own_kernel ]] ||
    die "apt knows no package '${kernel_origin#*:}': run 'apt-get update' first (as root), with a network"

# With an empty dpkg status apt lists the whole closure, as NAME_VERSION_ARCH.deb, whatever this machine has installed.
mapfile -t userland_names < <(word_list "$here/packages")
userland=$(apt-get "${apt_options[@]}" -o Dir::State::status=/dev/null -o Dir::Cache::archives="$work/debs" \
    -o Debug::NoLocking=1 -o APT::Install-Recommends=0 -qq -y --print-uris install "${userland_names[@]}" 2>"$work/apt.log") ||
    die "$(cat "$work/apt.log")
guest image: apt could not resolve ${userland_names[*]}: run 'apt-get update' first (as root), with a network"
kernel_uri=
[[ -z $kernel_version_package ]] ||
    kernel_uri=$(apt-get "${apt_options[@]}" -qq --print-uris download "$kernel_version_package")
mapfile -t packages < <(printf '%s\n%s\n' "$userland" "$kernel_uri" |
    awk '/^\x27/ {gsub("%3a", ":", $2); split($2, part, "_"); print part[1] "=" part[2]}' | sort)

key=$({ echo "$kernel $(basename "$own_kernel")"; printf '%s\n' "${packages[@]}"; cat "${inputs[@]}"; } | sha256sum | cut -c1-16)
image=guest-$key
if [[ ! -f $cache/$image/manifest.json ]]; then
    free=$(free_mib)
    ((free >= needed_mib)) ||
        die "building it needs $needed_mib MiB in $cache, and only $free MiB are free there: $space_remedy"
    echo "guest image: downloading ${#packages[@]} packages (${kernel_version_package:+$kernel_version_package and }a userland)" >&2
    (cd "$work/debs" && apt-get "${apt_options[@]}" -q download "${packages[@]}") >"$work/apt.log" 2>&1 ||
        die "$(tail -n 5 "$work/apt.log")
guest image: the packages could not be downloaded: check the network, run 'apt-get update', and try again"

    # One tree with a merged /usr, whichever way a package lays out its files.
    for directory in bin sbin lib lib64; do
        mkdir -p "$work/system/usr/$directory"
        ln -s "usr/$directory" "$work/system/$directory"
    done
    for deb in "$work"/debs/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-same-owner -C "$work/system"
    done
    system=$work/system root=$work/root
    if [[ -n $own_kernel ]]; then
        mkdir -p "$system/boot"
        cp "$own_kernel/vmlinuz" "$system/boot/vmlinuz-$(<"$own_kernel/version")"
        cp -r "$own_kernel/lib/modules" "$system/usr/lib/"
    fi
    version=$(cd "$system/usr/lib/modules" && echo *)
    run() { # PROGRAM ARGV0 ARGS...: a program of the packages, with their libraries, not the host's
        "$system/$loader" --library-path "$system/$libraries" --argv0 "$2" "$system/$1" "${@:3}"
    }
    kmod=usr/bin/kmod

    for directory in bin lib lib64; do
        mkdir -p "$root/usr/$directory"
        ln -s "usr/$directory" "$root/$directory"
    done
    ln -s usr/bin "$root/sbin"
    ln -s bin "$root/usr/sbin"
    mkdir -p "$root"/{dev,etc,proc,root,run,sys,tmp,usr/share/misc}
    ln -s /proc/mounts "$root/etc/mtab"

    install -m 755 "$(find "$system/usr/bin" "$system/usr/sbin" -name busybox | head -n 1)" "$root/usr/bin/busybox"
    while read -r applet; do ln -s busybox "$root/usr/bin/$applet"; done < <("$root/usr/bin/busybox" --list | grep -vx busybox)
    for program in lspci setpci kmod; do
        found=$(cd "$system" && find usr/bin usr/sbin -type f -name "$program" | head -n 1)
        install -m 755 "$system/$found" "$root/usr/bin/$program"
        needed=$("$system/$loader" --library-path "$system/$libraries" --list "$system/$found" | awk '$2 == "=>" {print $3}')
        for library in $needed; do install -D -m 755 "$library" "$root${library#"$system"}"; done
    done
    install -D -m 755 "$system/$loader" "$root/$loader"
    for name in modprobe depmod insmod rmmod lsmod modinfo; do ln -sf kmod "$root/usr/bin/$name"; done
    install -m 644 "$(find "$system/usr/share/misc" -name 'pci.ids*' | head -n 1)" "$root/usr/share/misc/"

    # Which modules each one needs is modprobe's answer: it changes from kernel to kernel.
    run "$kmod" depmod -b "$system" "$version"
    while read -r module necessity; do
        if ! needed=$(run "$kmod" modprobe -d "$system" -S "$version" --show-depends "$module" 2>/dev/null); then
            [[ $necessity == optional ]] || die "kernel $version has no module $module"
            continue
        fi
        while read -r kind path _; do
            [[ $kind == insmod ]] || continue # "builtin": this kernel needs no module for it
            install -D -m 644 "$path" "$root/usr/lib/modules/$version/${path#*"/modules/$version/"}"
        done <<<"$needed"
    done < <(word_list "$here/modules")
    for list in modules.builtin modules.order; do
        install -m 644 "$system/usr/lib/modules/$version/$list" "$root/usr/lib/modules/$version/"
    done
    if [[ -e $system/usr/lib/modules/$version/modules.builtin.modinfo ]]; then
        install -m 644 "$system/usr/lib/modules/$version/modules.builtin.modinfo" "$root/usr/lib/modules/$version/"
    fi
    run "$kmod" depmod -b "$root" "$version"

    install -m 755 "$here/init" "$root/init"
    install -D -m 755 -t "$root/usr/libexec/pcienic-guest" "$here/run-suite" "$here/as-user"
    printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'user:x:1000:1000:an ordinary user:/tmp:/bin/sh' >"$root/etc/passwd"
    printf '%s\n' 'root:x:0:' 'user:x:1000:' >"$root/etc/group"

    mkdir -m 700 "$work/image"
    install -m 644 "$system/boot/vmlinuz-$version" "$work/image/vmlinuz"
    [[ -z $own_kernel ]] || cp -r "$own_kernel/uapi" "$work/image/"
    # Sorted, owned by root, one timestamp: the same packages and scripts give the same bytes.
    find "$root" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
    (cd "$root" && find . -mindepth 1 -printf '%P\0' | LC_ALL=C sort -z |
        cpio --null --create --quiet --format=newc --reproducible --owner=+0:+0) | gzip -9n >"$work/image/base.cpio.gz"
    {
        printf '{\n  "schema": "pcienic.guest-image/1",\n  "arch": "%s",\n  "kernel": "%s",\n' "$arch" "$version"
        printf '  "packages": [\n'
        printf '    "%s"\n' "${packages[@]}" | sed '$!s/$/,/'
        printf '  ]\n}\n'
    } >"$work/image/manifest.json"
    rm -rf "${cache:?}/$image"
    mv "$work/image" "$cache/$image"
fi
echo "$image" >"$work/resolved"
mv "$work/resolved" "$resolved"
echo "$cache/$image"
