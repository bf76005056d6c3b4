#!/bin/bash
# SPDX-License-Identifier: MIT
# setpci that finds no device to write to warns, and exits with 0: a script that checks the status believes that it wrote.
#
# Seen with Debian's pciutils 1:3.13.0-2 (trixie) and 1:3.15.0-2 (forky), reading and writing alike:
#   $ setpci -s 7f:1f.7 COMMAND.w=0000:0000; echo $?
#   setpci: Warning: No devices selected for operation group 1.
#   0
# With -f (fast mode) the warning is gone as well. pcienic-ctl exits with an error where there is no such device.
# The write changes no bit (its mask is 0), if a device should be there after all.
# Status 0: as seen; 1: no longer so; 2: the packages cannot be had.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/packages.bash"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

debian_packages "$work/3.13" trixie pciutils=1:3.13.0-2
debian_packages "$work/3.15" forky pciutils=1:3.15.0-2

as_seen=0
for version in 3.13 3.15; do
    status=0
    said=$(program_of "$work/$version" usr/bin/setpci -s 7f:1f.7 COMMAND.w=0000:0000 2>&1) || status=$?
    printf '%s: status %s: %s\n' "$version" "$status" "$said"
    [[ $status == 0 && $said == *"No devices selected for operation group 1"* ]] || as_seen=1
    status=0
    said=$(program_of "$work/$version" usr/bin/setpci -f -s 7f:1f.7 COMMAND.w=0000:0000 2>&1) || status=$?
    printf '%s -f: status %s: %s\n' "$version" "$status" "${said:-nothing said}"
    [[ $status == 0 && -z $said ]] || as_seen=1
done
exit "$as_seen"
