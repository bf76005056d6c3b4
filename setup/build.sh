# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Our own library, tools and tests, and the guest that runs them. Sourced by ./pcienic.

# In the build folder itself: checkouts may share a cache, and a checkout be built with several.
readonly BUILD_LOCK=.pcienic.lock
# There, too: the presets that it was configured with.
readonly BUILD_PRESETS=.pcienic.presets.json

# And there: held shared by what uses the folder, for as long as it lives, and alone by `clean`. Not the lock above: a build
# need not wait for the tests of another process.
readonly BUILD_USE=.pcienic.use

# Whether the build folder is this checkout's, and not another of the same name. Else sets `build_obstacle`.
build_is_ours() {
    local home name
    local -a entries
    build_obstacle="it is no build folder of cmake's"
    [[ -d $build && ! -L $build ]] || return 1
    if [[ -f $build/CMakeCache.txt ]]; then
        home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt" 2>/dev/null; printf .)
        home=${home%$'\n.'}
        build_obstacle="it is the build folder of ${home@Q}, and not of this checkout"
        [[ $home -ef $checkout ]]
        return
    fi
    cache_entries "$build" || { build_obstacle="it cannot be read"; return 1; }
    # CMake's first configuration may have been stopped: then our lock was there before.
    [[ ! -d $build/CMakeFiles || ! -f $build/$BUILD_LOCK ]] || return 0
    for name in "${entries[@]}"; do [[ $name == "$BUILD_LOCK" || $name == "$BUILD_USE" ]] || return; done
}

# Before anything is built that takes minutes.
check_build() {
    local build_obstacle=
    [[ ! -L $build && ! -e $build ]] || build_is_ours ||
        die "$build is there, and $build_obstacle" "move it away: the build needs that name"
}

# PCIENIC_BUILD: a build folder of the user's own, which nothing is built in.
check_given_build() {
    local real
    [[ -n ${PCIENIC_BUILD:-} ]] || return 0
    real_path "$PCIENIC_BUILD"
    [[ $real == "$build" || -d $real/tools ]] ||
        die "PCIENIC_BUILD=$PCIENIC_BUILD is no finished build folder: it has no tools" \
            "name one that CMake has built, or unset it to have ${build@Q} built"
    export PCIENIC_BUILD=$real
}
build_is_given() { [[ -n ${PCIENIC_BUILD:-} && $PCIENIC_BUILD != "$build" ]]; }
# refuse_given_build VERB
refuse_given_build() {
    ! build_is_given || usage_error "PCIENIC_BUILD=$PCIENIC_BUILD is for demo, run and shell, and $1 uses $build: unset it"
}

configure_build() {
    umask "$users_umask"
    cd "$checkout"
    # The preset says where and how, so that an editor and the front door share one build folder.
    cmake --preset default
    cp -- CMakePresets.json "$build/$BUILD_PRESETS"
}

compile_build() {
    # A folder of before the presets changed would keep the options that it was made with. The files' times do not show
    # it: CMake leaves alone what it need not change.
    if [[ ! -f $build/build.ninja ]] || ! cmp -s -- "$checkout/CMakePresets.json" "$build/$BUILD_PRESETS"; then
        need_space "$checkout" 1500 "compiling the library, the tools and the tests"
        step "configuring the build" "configure-$checkout_id" configure_build
    fi
    step "compiling $1" "compile-$checkout_id" run_compilers "$@"
}

run_compilers() {
    umask "$users_umask"
    nice cmake --build "$build" --parallel "$(jobs_wanted)" --target "$@"
}

# setup_build TARGET...: targets of the build folder; `all` includes the tests in their three flavours.
setup_build() {
    local lock
    check_build
    (umask "$users_umask" && mkdir -p -- "$build") 2>/dev/null || die "cannot create $build" "see that you can write to the checkout"
    take_lock "$build/$BUILD_USE" --shared || die_of_lock "$build/$BUILD_USE"
    with_lock "$build/$BUILD_LOCK" "$build" compile_build "$@"
    export PCIENIC_BUILD=$build
}

run_guest_builder() {
    local answer=$1
    shift
    "$checkout/guest-image/build.sh" "$cache" "$@" >"$answer"
}

# The kernels beside the default one that guest suites boot (KERNEL in tests/guest).
readonly TEST_KERNELS=(6.12 iommufd)

# Here, so that no test has to wait for a kernel's compilation.
setup_test_kernels() {
    local kernel
    for kernel in "${TEST_KERNELS[@]}"; do
        step "building the guest with kernel $kernel" "guest-$kernel" run_guest_builder /dev/null --kernel "$kernel"
    done
}

# PCIENIC_GUEST: an image of the user's own.
check_given_guest() {
    local real name
    [[ -n ${PCIENIC_GUEST:-} ]] || return 0
    real_path "$PCIENIC_GUEST"
    for name in vmlinuz base.cpio.gz; do
        [[ -f $real/$name ]] || die "PCIENIC_GUEST=$PCIENIC_GUEST is no guest image: it has no $name" \
            "name a folder that guest-image/build.sh made, or unset it to have one built"
    done
    export PCIENIC_GUEST=$real
}

setup_guest() {
    local answer
    [[ -z ${PCIENIC_GUEST:-} ]] || return 0
    answer=$(mktemp -- "$cache/tmp/pcienic-guest.XXXXXXXXXX")
    # It locks the cache itself: the runner calls it, too, for another kernel.
    step "building the guest" guest run_guest_builder "$answer"
    # Its last line names the image; what it said before is for people.
    PCIENIC_GUEST=$(tail -n 1 "$answer")
    rm -f -- "$answer"
    [[ -d $PCIENIC_GUEST ]] || die "guest-image/build.sh named no directory" "see $cache/logs/guest.log"
    export PCIENIC_GUEST
}
