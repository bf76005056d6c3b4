# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Our own library, tools and tests, and the guest that runs them. Sourced by ./pcienic.

configure_build() {
    cd "$checkout"
    cmake --preset default
}

# setup_build TARGET...: targets of the build folder; `all` includes the tests in their three flavours.
setup_build() {
    if [[ ! -f $build/build.ninja ]]; then
        need_space "$checkout" 1500 "compiling the library, the tools and the tests"
        step "configuring the build" configure configure_build
    fi
    step "compiling $1" compile nice cmake --build "$build" --parallel "$(jobs_wanted)" --target "$@"
}

build_guest() { "$checkout/guest-image/build.sh" "$cache" >"$cache/tmp/guest-directory.$$"; }

setup_guest() {
    local answer=$cache/tmp/guest-directory.$$
    step "building the guest" guest build_guest
    PCIENIC_GUEST=$(tail -n 1 "$answer")
    rm -f -- "$answer"
    [[ -d $PCIENIC_GUEST ]] || die "guest-image/build.sh named no directory" "see $cache/logs/guest.log"
    export PCIENIC_GUEST
}
