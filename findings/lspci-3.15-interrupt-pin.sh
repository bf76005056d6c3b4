#!/bin/bash
# SPDX-License-Identifier: MIT
# lspci 3.15.0 names the interrupt pin one letter too far: Interrupt Pin 01, which is INTA, becomes "pin B".
#
# Seen with Debian's pciutils 1:3.13.0-2 (trixie) and 1:3.15.0-2 (forky), on a dump of a function whose Interrupt Pin
# register is 01:
#   3.13.0  Interrupt: pin A routed to IRQ 11
#   3.15.0  Interrupts: pin B routed to IRQ 11
# A script that looks for "Interrupt: pin A" finds nothing in 3.15's output. pcienic-ls prints the pin's own letter.
# Status 0: as seen; 1: no longer so; 2: the packages cannot be had.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/packages.bash"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

debian_packages "$work/3.13" trixie pciutils=1:3.13.0-2
debian_packages "$work/3.15" forky pciutils=1:3.15.0-2
cat >"$work/dump" <<'END'
00:03.0 a network card
00: f4 1a 41 10 06 00 00 00 01 00 00 02 00 00 00 00
10: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
20: 00 00 00 00 00 00 00 00 00 00 00 00 f4 1a 00 11
30: 00 00 00 00 00 00 00 00 00 00 00 00 0b 01 00 00
END

# line VERSION: what that lspci says of the interrupt.
line() { program_of "$work/$1" usr/bin/lspci -F "$work/dump" -vv 2>/dev/null | sed -n 's/^\t\(Interrupt.*\)/\1/p'; }
old=$(line 3.13) new=$(line 3.15)
printf '3.13.0: %s\n3.15.0: %s\n' "$old" "$new"
[[ $old == "Interrupt: pin A routed to IRQ 11" && $new == "Interrupts: pin B routed to IRQ 11" ]]
