#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# zsh_completion_test.sh TOOLS_DIR FUNCTIONS_DIR: what zsh offers, for lines as a user types them. zsh completes in its
# line editor only, so it runs in a pseudo-terminal of its own, and says what it would add.
set -euo pipefail

command -v zsh >/dev/null || { echo "there is no zsh: install it with your package manager"; exit 77; }
export PATH=$1:$PATH FUNCTIONS=$2
sys=$(mktemp -d)
trap 'rm -rf "$sys"' EXIT
mkdir -p "$sys/bus/pci/drivers/vfio-pci" "$sys/bus/pci/devices/0000:01:00.0"
echo 0x1af4 >"$sys/bus/pci/devices/0000:01:00.0/vendor"
echo 0x10f2 >"$sys/bus/pci/devices/0000:01:00.0/device"
export PCIENIC_COMPLETION_SYS=$sys
: >"$sys/pci.ids"
cat >"$sys/rc" <<'RC'
PS1= PROMPT_EOL_MARK=
unsetopt auto_list auto_menu beep prompt_sp zle_bracketed_paste 2>/dev/null
fpath=($FUNCTIONS $fpath)
autoload -Uz compinit && compinit -u -D
bindkey '^I' complete-word
null-line() { BUFFER=; print -n '\0'; }
compadd() {
    local -a own=("${(@)@[1,(i)--]}") # the words that are offered may look like options
    [[ " $own " != *" -"[OAD]" "* ]] || { builtin compadd "$@"; return; }
    local -a hits
    builtin compadd -A hits "$@"
    [[ ${#hits} == 0 ]] || print -l -- "offer:"${^hits}
    builtin compadd "$@"
}
zle -N null-line
bindkey '^Z' null-line
zle-line-init() { zle -D zle-line-init; print -n 'ready\0'; } # before it, ^Z would suspend and flush
zle -N zle-line-init
RC
cat >"$sys/ask" <<'ASK'
zmodload zsh/zpty
zpty asked zsh -f -i
zpty -w asked "stty -echo; source $1/rc"
zpty -r asked text '*ready'$'\0' || exit 1
shift
for line; do
    print -r -- "line:$line"
    zpty -w -n asked "$line"$'\t\x1a'
    zpty -r asked text '*'$'\0'
    print -r -- "${text//$'\r'/}" | grep -a -o 'offer:[^[:cntrl:]]*' | sort -u
done
zpty -d asked
ASK

failed=0
lines=() wanted=()

# offers LINE WORD...: exactly these, in any order; a word "..." stands for any number of others.
offers() {
    lines+=("$1")
    shift
    wanted+=("$*")
}

offers 'pcienic-ctl re' regs read reset restore
offers 'pcienic-ctl --backend sim wr' write
offers 'pcienic-ctl --backend ' auto vfio iommufd uio sysfs vfio-noiommu sim
offers 'pcienic-ctl --ver' --version --verbose
offers 'pcienic-ctl read scr' SCRATCH SCRATCH64
offers 'pcienic-ctl set STATUS.' STATUS.READY STATUS.DMA_BUSY STATUS.ERROR STATUS.BUS_MASTER
offers 'pcienic-ctl write SCRATCH=1 : dm' dma
offers 'pcienic-ctl write --ver' --verify --version --verbose
offers 'pcienic-ctl bind v' vfio-pci
offers 'pcienic-ctl doctor 0' 0000:01:00.0
offers 'pcienic-ctl dma ' copy fill verify
offers 'pcienic-ctl dma copy --direction host-' host-to-device host-to-host
offers 'pcienic-ctl trace re' replay
offers 'pcienic-ctl trace export --format ' jsonl chrome
offers 'pcienic-ctl -o j' json jsonl
offers 'pcienic-ctl -s 0000:0' 0000:01:00.0
offers 'pcienic-ls -d ' 1af4:10f2
offers 'pcienic-irqtest --ma' --masked
offers 'pcienic-irqtest -o ' table json tap
offers 'pcienic-ls --' --json --output ...
offers "pcienic-ls -i $sys/pc" pci.ids
offers "pcienic-ls -F $sys/pc" pci.ids
offers 'pcienic-demo 0' 0000:01:00.0

zsh -f "$sys/ask" "$sys" "${lines[@]}" >"$sys/answers"
for index in "${!lines[@]}"; do
    line=${lines[index]}
    read -ra want <<<"${wanted[index]}"
    got=$(awk -v "line=line:$line" '/^line:/ { on = $0 == line; next } on { sub(/^offer:/, ""); print }' "$sys/answers")
    if [[ " ${want[*]} " == *" ... "* ]]; then
        for word in "${want[@]}"; do
            [[ $word == ... ]] || grep -qxF -- "$word" <<<"$got" || { echo "FAILED: '$line' does not offer '$word', but: ${got//$'\n'/ }"; failed=1; }
        done
    elif [[ $got != "$(printf '%s\n' "${want[@]}" | sort -u)" ]]; then
        echo "FAILED: '$line' offers '${got//$'\n'/ }', not '${want[*]}'"
        failed=1
    fi
done
exit "$failed"
