# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Programs of any Debian release, unpacked into a folder with the libraries that they need, and not installed. Sourced by
# the scripts beside it.

# debian_packages FOLDER "SUITE..." PACKAGE=VERSION...: unpacks exactly these versions, and what they depend on, below
# FOLDER. Ends the script with 2 if they cannot be had. The mirror is the one that this machine's apt uses; apt's own
# state and settings stay as they are.
debian_packages() {
    local folder=$1 suites=$2 suite state mirror package
    shift 2
    mkdir -p "$folder"
    state=$(mktemp -d "$folder/apt.XXXXXX")
    mkdir -p "$state"/{lists/partial,cache/archives/partial}
    : >"$state/status"
    for suite in $suites; do
        # shellcheck disable=SC2016 # apt expands $(...), not the shell
        mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' 'Created-By: Packages' |
            awk -v security="$([[ $suite == *-security ]] && echo 1 || echo 0)" \
                '$2 == "Debian" && ($3 ~ /-security$/) == security { print $1; exit }')
        printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite"
    done >"$state/sources.list"
    # An empty status: nothing counts as installed, so that all libraries come along.
    cat >"$state/apt.conf" <<END
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::Lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
APT::Architecture "amd64";
APT::Install-Recommends "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
    if ! { apt-get -qq -c "$state/apt.conf" update &&
        apt-get -qq -y -c "$state/apt.conf" install --download-only "$@"; } >"$state/log" 2>&1; then
        tail -n 5 "$state/log" >&2
        echo "not to be had from this machine's mirror: $*, in $suites" >&2
        exit 2
    fi
    for package in "$state"/cache/archives/*.deb; do dpkg-deb -x "$package" "$folder"; done
    rm -rf -- "$state"
}

# program_of FOLDER PROGRAM ARGUMENT...: runs a program that was unpacked into FOLDER, with the libraries there.
program_of() {
    local folder=$1 program=$2 loader
    shift 2
    loader=$(find "$folder" -name ld-linux-x86-64.so.2 -type f -print -quit)
    "$loader" --library-path "$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu" "$folder/$program" "$@"
}
