#!/bin/bash
# SPDX-License-Identifier: MIT
# ./pcienic in a root file system of another Debian release that has nothing of ours. `in_root.sh --help` says how.
set -euo pipefail

usage() {
    cat <<'END'
usage: tests/debian/in_root.sh [--suite SUITE] [--root DIR] [--no-pts] [-- VERB [ARGUMENT]...]

Runs ./pcienic in a fresh Debian root: as a newcomer would, in a clone of what this checkout has
committed. Without VERB: demo, then test. Needs root, debootstrap, and 12 GiB where DIR is.

  --suite SUITE  Debian's release: trixie (default), bookworm, ...
  --root DIR     make the root in DIR, or use the one that an earlier run left there; it is kept.
                 Without it the root is made in a temporary folder, and removed at the end
  --no-pts       without /dev/pts, as in a plain chroot and in some containers

The packages come from the mirror that this machine's apt uses. The exit status is that of
./pcienic. JUnit and logs: build/ in DIR/srv/pcienic. On two cores without KVM the first run
takes an hour and a half, most of it to compile; from then on, with --root, as long as here.
END
}

die() {
    echo "in_root.sh: $1" >&2
    exit 1
}

suite=trixie root='' pts=1
while [[ $# -gt 0 ]]; do
    case $1 in
        --suite | --root)
            [[ $# -gt 1 ]] || die "$1 needs a value: see --help"
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        --no-pts) pts= ;;
        -h | --help)
            usage
            exit 0
            ;;
        --)
            shift
            break
            ;;
        *) die "'$1' is no option: see --help" ;;
    esac
    shift
done

((EUID == 0)) || die "only root can make a root file system: run it with sudo"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

if [[ -z ${IN_ROOT_NAMESPACE:-} ]]; then
    kept=1
    if [[ -z $root ]]; then
        root=$(mktemp -d "${TMPDIR:-/tmp}/pcienic-debian.XXXXXX")
        kept=
    fi
    # Mounts of its own, which end with it however it ends; and no process of the root outlives it.
    options=(--suite "$suite" --root "$root")
    [[ -n $pts ]] || options+=(--no-pts)
    status=0
    IN_ROOT_NAMESPACE=1 unshare --mount --pid --fork --kill-child \
        "${BASH_SOURCE[0]}" "${options[@]}" -- "$@" || status=$?
    [[ -n $kept ]] || rm -rf --one-file-system -- "$root"
    exit "$status"
fi

# repository SUITE: where this machine's apt has Debian's releases of that kind (-security has a place of its own).
repository() {
    # shellcheck disable=SC2016 # apt expands $(...), not the shell
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' 'Created-By: Packages' |
        awk -v security="$1" '$2 == "Debian" && ($3 ~ /-security$/) == security { print $1; exit }'
}

if [[ ! -e $root/etc/debian_version ]]; then
    mirror=$(repository 0)
    [[ -n $mirror ]] || die "this machine's apt has no Debian release to take $suite from"
    debootstrap --variant=minbase "$suite" "$root" "$mirror" >&2
    {
        printf 'deb %s %s main\n' "$mirror" "$suite" "$mirror" "$suite-updates"
        security=$(repository 1)
        [[ -z $security ]] || printf 'deb %s %s main\n' "$security" "$suite-security"
    } >"$root/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(http|https|ftp)[^ ]*::Proxy' >"$root/etc/apt/apt.conf.d/90proxy" || true
fi

cp -L -- /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for node in null zero full random urandom tty kvm; do
    [[ ! -e /dev/$node ]] || { : >"$root/dev/$node" && mount --bind "/dev/$node" "$root/dev/$node"; }
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
if [[ -n $pts ]]; then
    mkdir "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
fi

# What is committed here, and the build folder of an earlier run.
clone=$root/srv/pcienic
if [[ -d $clone/.git ]]; then
    git -C "$clone" fetch --quiet "$checkout" HEAD
    git -C "$clone" reset --quiet --hard FETCH_HEAD
else
    git clone --quiet --no-hardlinks "$checkout" "$clone"
fi

# in_root COMMAND...: with nothing of this machine's environment but what the front door reads.
in_root() {
    local -a environment=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" LC_ALL=C.UTF-8)
    local name
    for name in PCIENIC_ACCEL PCIENIC_JOBS http_proxy https_proxy; do
        [[ -z ${!name:-} ]] || environment+=("$name=${!name}")
    done
    # shellcheck disable=SC2016 # the inner shell expands it
    chroot "$root" env -i "${environment[@]}" sh -c 'cd /srv/pcienic && exec "$@"' sh "$@" </dev/null
}

if [[ $# -gt 0 ]]; then
    in_root ./pcienic "$@"
else
    in_root ./pcienic demo
    in_root ./pcienic test
fi
