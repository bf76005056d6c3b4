#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# completion_test.sh TOOLS_DIR COMPLETION: what bash would offer, for lines as a user types them.
set -euo pipefail

PATH=$1:$PATH
sys=$(mktemp -d)
trap 'rm -rf "$sys"' EXIT
mkdir -p "$sys/bus/pci/drivers/vfio-pci" "$sys/bus/pci/devices/0000:01:00.0"
echo 0x1af4 >"$sys/bus/pci/devices/0000:01:00.0/vendor"
echo 0x10f2 >"$sys/bus/pci/devices/0000:01:00.0/device"
export PCIENIC_COMPLETION_SYS=$sys
# shellcheck source=/dev/null
source "$2"

failed=0

# offers LINE WORD...: exactly these, in any order; a word "..." stands for any number of others.
offers() {
    local line=$1 got want
    shift
    COMP_LINE=$line
    COMP_POINT=${#line}
    COMPREPLY=()
    "$(complete -p "${line%% *}" | sed 's/.*-F \([^ ]*\).*/\1/')"
    got=$(printf '%s\n' "${COMPREPLY[@]}" | sort -u)
    if [[ " $* " == *" ... "* ]]; then
        for want in "$@"; do
            [[ $want == ... ]] || grep -qxF -- "$want" <<<"$got" || { echo "FAILED: '$line' does not offer '$want', but: ${got//$'\n'/ }"; failed=1; }
        done
    elif [[ $got != "$(printf '%s\n' "$@" | sort -u)" ]]; then
        echo "FAILED: '$line' offers '${got//$'\n'/ }', not '$*'"
        failed=1
    fi
}

offers 'pcienic-ctl re' regs read reset restore
offers 'pcienic-ctl --backend sim wr' write
offers 'pcienic-ctl --backend ' auto vfio iommufd uio sysfs vfio-noiommu sim
offers 'pcienic-ctl --ver' --version --verbose
offers 'pcienic-ctl read SCR' SCRATCH SCRATCH64
offers 'pcienic-ctl read scr' SCRATCH SCRATCH64
offers 'pcienic-ctl read ID IRQ_M' IRQ_MASK
offers 'pcienic-ctl set STATUS.' STATUS.READY STATUS.DMA_BUSY STATUS.ERROR STATUS.BUS_MASTER
offers 'pcienic-ctl write IRQ_STATUS.M' IRQ_STATUS.MODE
offers 'pcienic-ctl write SCRATCH=1 : dm' dma
offers 'pcienic-ctl write SCRATCH=1 : dump DMA_R' DMA_RING_BASE DMA_RING_SIZE
offers 'pcienic-ctl write --ver' --verify --version --verbose
offers 'pcienic-ctl bind v' vfio-pci
offers 'pcienic-ctl with v' vfio-pci
offers 'pcienic-ctl with vfio-pci -- /bin/s' /bin/sh ...
offers 'pcienic-ctl doctor 0' 0000:01:00.0
offers 'pcienic-ctl dma ' copy fill verify
offers 'pcienic-ctl dma copy --direction host-' host-to-device host-to-host
offers 'pcienic-ctl trace re' replay
offers 'pcienic-ctl --backend sim trace ' show export replay
offers 'pcienic-ctl trace export --format ' jsonl chrome
offers 'pcienic-ctl trace replay --may' --may-differ
offers 'pcienic-ctl --trace-' --trace-limit --trace-memory
offers 'pcienic-ctl -o j' json jsonl
offers 'pcienic-ctl -o ' table json jsonl tsv raw
offers 'pcienic-irqtest -o ' table json tap
offers 'pcienic-irqtest --backend ' auto vfio iommufd uio vfio-noiommu sim
offers 'pcienic-irqtest --mode ' auto msix msi intx
offers 'pcienic-ctl irq 0 --mode ' msix msi intx
offers 'pcienic-ctl dma copy --vector ' ''
# bash has split the address at its colons and replaces what follows the last one
offers 'pcienic-ctl -s 0000:0' 01:00.0
offers 'pcienic-ctl -s ' 0000:01:00.0
offers 'pcienic-irqtest -s 0000:01:' 00.0
offers 'pcienic-ls -d ' 1af4:10f2
offers 'pcienic-ls -i /bin/s' /bin/sh ...
offers 'pcienic-irqtest --ma' --masked
offers 'pcienic-ls --' --json --output ...
offers 'pcienic-demo 0' 0000:01:00.0
offers 'pcienic-demo -' -h --help

exit "$failed"
