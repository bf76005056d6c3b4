# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The packages of setup/packages.txt. Sourced by ./pcienic.

# One line for each package wanted, alternatives separated by blanks.
wanted_packages() { sed -e 's/#.*//' -e 's/|/ /g' -e '/^[[:space:]]*$/d' "$checkout/setup/packages.txt"; }

# The lines of wanted_packages of which nothing is installed.
missing_packages() {
    local -A installed=()
    local -a wanted names
    local name status line
    mapfile -t wanted < <(wanted_packages)
    read -r -a names <<<"${wanted[*]}"
    while read -r status name; do
        [[ $status != ?i ]] || installed[$name]=1
    # dpkg-query fails when it does not know one of the names, which is one of the answers.
    done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${names[@]}" 2>/dev/null || true)
    for line in "${wanted[@]}"; do
        for name in $line; do
            [[ -z ${installed[$name]:-} ]] || continue 2
        done
        printf '%s\n' "$line"
    done
}

# Only apt needs root. Neither it nor what it installs may ask questions: its output goes to a log.
apt_as_root() {
    local -a options=(-o DPkg::Lock::Timeout=600)
    export DEBIAN_FRONTEND=noninteractive
    if ((EUID == 0)); then
        apt-get "${options[@]}" "$@"
    else
        # It must not ask now: it has no terminal, and would be stopped for reading one.
        sudo -n env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" "$@"
    fi
}

install_packages() {
    local -a names=()
    local line name
    # A service that a package starts would inherit the lock.
    [[ -z ${cache_lock:-} ]] || exec {cache_lock}>&-
    # What packages leave behind is for everybody.
    umask 022
    # A third party's broken source must not stop us; what matters is whether the installation below succeeds.
    apt_as_root update || true
    while read -r line; do
        for name in $line; do
            if [[ $(apt-cache policy -- "$name" | sed -n 's/^  Candidate: //p') == [0-9]* ]]; then
                names+=("$name")
                continue 2
            fi
        done
        printf 'E: Unable to locate package %s (setup/packages.txt): apt'"'"'s sources do not have it\n' "${line// / or }"
        return 1
    done <<<"$1"
    # --no-remove: what the user has installed is not ours to remove.
    apt_as_root install -y --no-install-recommends --no-remove -- "${names[@]}"
}

setup_packages() {
    local missing count
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        die "this machine has no apt: pcienic installs Debian packages and builds QEMU from Debian's source" \
            "use Debian 12 or 13, for instance in a container"
    fi
    missing=$(missing_packages)
    [[ -n $missing ]] || return 0
    count=$(wc -l <<<"$missing")
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "$count packages are missing, and this is neither root nor a machine with sudo" \
                "as root: apt-get install --no-install-recommends $(awk '{printf "%s ", $1}' <<<"$missing")"
        # The password is asked for here: the installation itself has no terminal.
        sudo -v || die "$count packages are missing, and sudo refused" \
            "as root: apt-get install --no-install-recommends $(awk '{printf "%s ", $1}' <<<"$missing")"
    fi
    need_space / 1500 "installing $count packages"
    step_must_end=apt
    step "installing $count packages" packages install_packages "$missing"
    step_must_end=
    missing=$(missing_packages)
    [[ -z $missing ]] || die "apt reported success, yet these are not installed: ${missing//$'\n'/, }" \
        "see $cache/logs/packages.log"
}
