# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# QEMU with our devices, from the source package of the machine's own suite. Sourced by ./pcienic.
#
#   $cache/qemu-src-VERSION/source   the package's source, with the overlay applied
#   $cache/qemu-src-VERSION/build    its build tree, kept: an edit to one of our files costs one compilation and a link
#   $cache/qemu-source-CODENAME      a link to the former: which version this machine's suite gave
#   $cache/qemu-KEY/                 the finished programs; KEY covers everything that they are made from

# Each has a list of devices in setup/qemu-devices/TARGET.mak.
readonly QEMU_TARGETS=(x86_64-softmmu)

# Only what a guest with an IOMMU needs. Firmware comes from packages; QEMU's own code is built without debug
# information, which halves the build, and ours with it.
# PCIENIC_QEMU_OPTIONS has more for configure, split at blanks and line breaks: --enable-sanitizers. A cache of its own (PCIENIC_CACHE)
# then keeps the usual build tree as it is.
read -r -d '' -a more_qemu_options <<<"${PCIENIC_QEMU_OPTIONS:-}" || true
readonly QEMU_OPTIONS=(
    --without-default-features --without-default-devices
    --enable-tcg --enable-kvm --enable-slirp --enable-fdt=system --enable-trace-backends=log
    --disable-docs --disable-werror --disable-debug-info --disable-install-blobs
    "${more_qemu_options[@]}"
)

# Everything of ours that goes into QEMU, by its path in the checkout.
qemu_inputs() {
    (cd -- "$checkout" && find qemu-device/{core,qemu,steps,overlay,registers} setup/qemu-devices \
        -type f -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z)
}

# qemu_key VERSION: names the finished programs. Paths count relative to the checkout, so that clones share them.
qemu_key() {
    {
        printf '%s\n' "$1" "${QEMU_TARGETS[@]}" "${QEMU_OPTIONS[@]}"
        qemu_inputs | (cd -- "$checkout" && xargs -0 sha256sum)
    } | sha256sum | cut -c 1-16
}

# apt options that make DIRECTORY apt's whole state: this machine's sources with deb turned into deb-src. Nothing of the
# machine's own apt is changed, and no root is needed. Options of a source (signed-by, an embedded key) are kept.
private_apt() {
    local directory=$1 list parts file
    mkdir -p "$directory"/{lists/partial,cache/archives/partial,sources}
    # Some machines have hooks that only root can run.
    cat >"$directory/apt.conf" <<EOF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$directory/sources";
Dir::State::Lists "$directory/lists";
Dir::Cache "$directory/cache";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
EOF
    eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
    for file in "$list" "$parts"*.list; do
        [[ ! -f $file ]] || sed -nE 's/^[[:space:]]*deb([[:space:]])/deb-src\1/p' "$file" \
            >"$directory/sources/$(basename "$file" .list).list"
    done
    for file in "$parts"*.sources; do
        [[ ! -f $file ]] || sed -E '/^Types[[:space:]]*:/Is/:.*/: deb-src/' "$file" \
            >"$directory/sources/$(basename "$file")"
    done
}

# The newest version of the source package qemu in the distribution's own suites: its release, security and updates,
# but not backports, which may need a newer meson than this machine has, nor anybody else's packages.
newest_qemu_version() {
    local conf=$1 file version newest=
    # shellcheck disable=SC2016 # apt expands $(...), not the shell
    while IFS='|' read -r origin codename file; do
        [[ $origin == "$distribution" ]] || continue
        [[ $codename == "$suite" || $codename == "$suite-security" || $codename == "$suite-updates" ]] || continue
        while read -r version; do
            if [[ -z $newest ]] || dpkg --compare-versions "$version" gt "$newest"; then newest=$version; fi
        done < <(/usr/lib/apt/apt-helper cat-file "$file" |
            awk '/^Package: / { ours = $2 == "qemu" } /^Version: / && ours { print $2 }')
    done < <(apt-get -c "$conf" indextargets --format '$(ORIGIN)|$(CODENAME)|$(FILENAME)' 'Created-By: Sources')
    printf '%s\n' "$newest"
}

# fetch_qemu WORK: leaves the unpacked source in WORK/source and its version in WORK/version.
fetch_qemu() {
    local work=$1 version
    private_apt "$work/apt"
    # What counts is whether Debian's own suites are there: the exit status also reflects third parties' sources.
    apt-get -c "$work/apt/apt.conf" update || true
    version=$(newest_qemu_version "$work/apt/apt.conf")
    if [[ -z $version ]]; then
        printf '%s\n' "no source package qemu in apt's sources for $distribution $suite (see the lines above)"
        return 1
    fi
    printf 'QEMU %s\n' "$version"
    # apt checks what it downloads against the archive's signature; dpkg-source would check the maintainer's, whose key
    # this machine need not have.
    (cd "$work" && apt-get -c "$work/apt/apt.conf" source --download-only --only-source "qemu=$version")
    dpkg-source --no-check -x "$work"/qemu_*.dsc "$work/source"
    rm -rf -- "$work/apt" "$work"/qemu_*
    printf '%s\n' "${version#*:}" >"$work/version"
}

# copy_qemu WORK: the same from the tree that PCIENIC_QEMU_SRC names, which is not written to.
copy_qemu() {
    local work=$1
    # Owner and modes are not the tree's: what is in the cache is for its owner to write to.
    umask 022
    mkdir "$work/source"
    tar -C "$PCIENIC_QEMU_SRC" --exclude=./.git --exclude=./build -cf - . |
        tar -C "$work/source" --no-same-owner --no-same-permissions -xf -
    printf '%s\n' "$qemu_version" >"$work/version"
}

# Sets qemu_version and qemu_tree, fetching or copying the source when it is not there yet.
find_qemu_source() {
    local work
    if [[ -n ${PCIENIC_QEMU_SRC:-} ]]; then
        # find and tar would take -name for an option.
        [[ $PCIENIC_QEMU_SRC == /* ]] || PCIENIC_QEMU_SRC=$PWD/$PCIENIC_QEMU_SRC
        [[ -f $PCIENIC_QEMU_SRC/VERSION && -f $PCIENIC_QEMU_SRC/hw/Kconfig ]] ||
            die "PCIENIC_QEMU_SRC=$PCIENIC_QEMU_SRC is not a QEMU source tree: it has no VERSION and hw/Kconfig" \
                "name the top of an unpacked QEMU source, or unset it for this machine's own source package"
        # Names, sizes and times stand for the content: reading a QEMU tree takes longer than everything else here.
        qemu_version=$(<"$PCIENIC_QEMU_SRC/VERSION")-$(find "$PCIENIC_QEMU_SRC/" \( -name .git -o -path '*/build' \) \
            -prune -o -type f -printf '%P %s %T@\n' | LC_ALL=C sort | sha256sum | cut -c 1-12)
        qemu_tree=$cache/qemu-src-$qemu_version
        [[ ${qemu_tree##*/} =~ $CACHE_SOURCES ]] ||
            die "the VERSION of PCIENIC_QEMU_SRC=$PCIENIC_QEMU_SRC says ${qemu_version%-*}, which is no version" \
                "name the top of an unpacked QEMU source, or unset it for this machine's own source package"
    elif [[ -e $cache/qemu-source-$suite ]]; then
        qemu_tree=$cache/$(readlink -- "$cache/qemu-source-$suite")
        qemu_version=${qemu_tree##*/qemu-src-}
    fi
    [[ -z ${qemu_tree:-} || ! -d $qemu_tree ]] || return 0

    need_space "$cache" 1200 "QEMU's source and its build"
    work=$(mktemp -d "$cache/tmp/pcienic-qemu-src.XXXXXXXXXX")
    if [[ -n ${PCIENIC_QEMU_SRC:-} ]]; then
        step "copying QEMU's source from $PCIENIC_QEMU_SRC" qemu-source copy_qemu "$work"
    else
        step "fetching QEMU's source package" qemu-source fetch_qemu "$work"
        qemu_version=$(<"$work/version")
        qemu_tree=$cache/qemu-src-$qemu_version
    fi
    # The same version may be there already, from before a `clean` of the link.
    if [[ -d $qemu_tree ]]; then rm -rf -- "$work"; else mv -T -- "$work" "$qemu_tree"; fi
    if [[ -z ${PCIENIC_QEMU_SRC:-} ]]; then
        ln -sfnT "qemu-src-$qemu_version" "$cache/tmp/qemu-source" && mv -T "$cache/tmp/qemu-source" "$cache/qemu-source-$suite"
    fi
}

# An optional configure argument, if this QEMU's configure knows it.
if_known() { ! grep -qE -- "^ *$1[)=*]" "$qemu_tree/source/configure" || printf '%s\n' "$2"; }

configure_qemu() {
    local target joined
    local -a extra=()
    mapfile -t extra < <(if_known --meson --meson=/usr/bin/meson; if_known --disable-download --disable-download)
    for target in "${QEMU_TARGETS[@]}"; do
        extra+=("--with-devices-${target%-softmmu}=pcienic")
    done
    printf -v joined '%s,' "${QEMU_TARGETS[@]}"
    rm -rf -- "$qemu_tree/build"
    mkdir "$qemu_tree/build"
    cd "$qemu_tree/build"
    ../source/configure --cc="ccache gcc" --cxx="ccache g++" --target-list="${joined%,}" "${QEMU_OPTIONS[@]}" "${extra[@]}"
}

# device_list TARGET: setup/qemu-devices/TARGET.mak for this QEMU, which refuses a symbol that its Kconfig files lack: a
# line marked "if known" is left out then. Any other is QEMU's to refuse, as a symbol misspelt.
device_list() {
    local line symbol
    while IFS= read -r line; do
        if [[ $line =~ ^CONFIG_([A-Z0-9_]+)=.*"# if known" ]]; then
            symbol=${BASH_REMATCH[1]}
            grep -rqsx --include=Kconfig "config $symbol" "$qemu_tree/source/hw" || continue
        fi
        printf '%s\n' "$line"
    done <"$checkout/setup/qemu-devices/$1.mak"
}

# The overlay and the device lists, into the kept tree. A list keeps its time if it has not changed.
apply_overlay() {
    local target list
    for target in "${QEMU_TARGETS[@]}"; do
        list=$qemu_tree/source/configs/devices/$target/pcienic.mak
        device_list "$target" >"$list.new"
        if cmp -s "$list.new" "$list"; then rm -- "$list.new"; else mv -- "$list.new" "$list"; fi
    done
    /usr/bin/python3 "$checkout/qemu-device/overlay/apply.py" "$qemu_tree/source"
}

compile_qemu() {
    cd "$qemu_tree/build"
    # The cache's own path out of ccache's keys: another cache directory still hits.
    CCACHE_BASEDIR=$cache nice ninja -j "$(jobs_wanted)" "$@"
}

# What a run that was killed left behind: there are no others of these names while the lock is held.
remove_leavings() {
    local name
    local -a entries
    cache_entries "$cache/tmp" || die "$cache_obstacle" "$cache_remedy"
    for name in "${entries[@]}"; do
        # A guest and a Boost are made under other locks, or none.
        [[ $name == *guest.* || $name == *boost.* ]] || ! cache_made_inside "$cache" tmp "$name" || rm -rf -- "$cache/tmp/$name"
    done
}

build_qemu() {
    local target work options
    local -a programs=()
    for target in "${QEMU_TARGETS[@]}"; do programs+=("qemu-system-${target%-softmmu}"); done
    remove_leavings
    find_qemu_source
    qemu_directory=$cache/qemu-$(qemu_key "$qemu_version")
    if use_qemu; then return 0; fi
    need_space "$cache" 400 "building QEMU"
    step "adding the devices to QEMU $qemu_version" qemu-overlay apply_overlay
    options=$(printf '%s\n' "${QEMU_TARGETS[@]}" "${QEMU_OPTIONS[@]}")
    # Written when configure has succeeded, so that a killed one is run again.
    if [[ $(cat "$qemu_tree/configured" 2>/dev/null) != "$options" || ! -f $qemu_tree/build/build.ninja ]]; then
        rm -f -- "$qemu_tree/configured"
        step "configuring QEMU $qemu_version" qemu-configure configure_qemu
        printf '%s\n' "$options" >"$qemu_tree/configured"
    fi
    step "compiling QEMU $qemu_version" qemu-compile compile_qemu "${programs[@]}"
    work=$(mktemp -d "$cache/tmp/pcienic-qemu.XXXXXXXXXX")
    # Not by a substitution: bash 5.2 takes a & of the path for what was matched.
    (cd -- "$qemu_tree/build" && cp -- "${programs[@]}" "$work/")
    printf 'QEMU %s\n%s\n' "$qemu_version" "$options" >"$work/about"
    mv -T -- "$work" "$qemu_directory"
    use_qemu || die "cannot lock $qemu_directory/about" "run this again"
    prune_qemu
}

# Holds the finished QEMU, if it is there, for as long as this process and those that it starts live.
use_qemu() {
    local lock
    [[ -f $qemu_directory/about ]] && take_lock "$qemu_directory/about" --shared && touch -- "$qemu_directory"
}

# Each edit of a device leaves a finished QEMU behind. Those used last are kept, ten of them, and those that are in use.
prune_qemu() {
    local name lock
    while IFS= read -r -d '' name; do
        [[ $name =~ ^qemu-$CACHE_KEY$ ]] || continue
        take_lock "$cache/$name/about" --nonblock || continue
        rm -rf -- "${cache:?}/$name"
        exec {lock}>&-
    done < <(find "$cache" -mindepth 1 -maxdepth 1 -type d -regextype posix-extended -regex ".*/qemu-$CACHE_KEY" -printf '%T@ %f\0' |
        sort -zrn | tail -zn +11 | cut -zd ' ' -f 2-)
}

# The user's own QEMU, found in PATH or by its path; nothing of it is built.
take_given_qemu() {
    local given said
    given=$(type -P -- "$PCIENIC_QEMU" && printf .) ||
        die "PCIENIC_QEMU=$PCIENIC_QEMU is not there, or not executable" "name a qemu-system program, or unset it to have QEMU built"
    given=${given%$'\n.'}
    [[ $given == /* ]] || given=$PWD/$given
    said=$("$given" --version 2>&1 </dev/null | head -n 1) || true
    [[ $said == "QEMU emulator version "* ]] ||
        die "PCIENIC_QEMU=$PCIENIC_QEMU is no qemu-system program: its --version says '$said'" \
            "name a qemu-system program, or unset it to have QEMU built"
    PCIENIC_QEMU=$(realpath -sz -- "$given" | tr '\0' /)
    export PCIENIC_QEMU=${PCIENIC_QEMU%/}
}

setup_qemu() {
    if [[ -n ${PCIENIC_QEMU:-} ]]; then
        take_given_qemu
        return
    fi
    local qemu_version='' qemu_tree='' qemu_directory='' distribution suite
    distribution=$(os_release NAME)
    distribution=${distribution%% *}
    suite=$(os_release VERSION_CODENAME)
    with_lock "$cache/qemu.lock" QEMU build_qemu
    # The first target is what the guests of `test`, `run` and `shell` run on.
    export PCIENIC_QEMU=$qemu_directory/qemu-system-${QEMU_TARGETS[0]%-softmmu}
    # For what its source tree has besides: checkpatch.pl.
    export PCIENIC_QEMU_TREE=$qemu_tree/source
}
