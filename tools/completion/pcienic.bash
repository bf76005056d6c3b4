# SPDX-License-Identifier: MIT
# bash completion of the pcienic tools. Options and commands come from --help, registers and fields from
# `pcienic-ctl regs`, addresses and drivers from sysfs, so that nothing here can fall behind the tools.
# Needs nothing but bash: the line is read as it stands, because bash's own words are split at : and =.
# shellcheck shell=bash

_pcienic_sys=${PCIENIC_COMPLETION_SYS:-/sys}

# Sets words (up to the cursor) and cur, the unfinished last one.
_pcienic_line() {
    local line=${COMP_LINE:0:COMP_POINT}
    read -ra words <<<"$line"
    cur=
    if [[ $line != *[[:space:]] ]]; then
        cur=${words[-1]}
        unset 'words[-1]'
    fi
}

# Offers those of the given words that begin as cur does, ignoring case; bash replaces only what follows : or =.
_pcienic_offer() {
    local word breaks='' kept=''
    [[ $COMP_WORDBREAKS != *:* ]] || breaks+=:
    [[ $COMP_WORDBREAKS != *=* ]] || breaks+='='
    [[ -z $breaks || $cur != *["$breaks"]* ]] || kept=${cur%"${cur##*["$breaks"]}"}
    for word in "$@"; do
        if [[ ${word,,} == "${cur,,}"* ]]; then COMPREPLY+=("${word#"$kept"}"); fi
    done
}

_pcienic_options() {
    # shellcheck disable=SC2046 # words are wanted
    _pcienic_offer $("$@" --help 2>/dev/null | grep -oE '^  (-[a-zA-Z],)?--?[a-zA-Z][a-z-]*' | tr ',' '\n')
}

_pcienic_commands() { "$1" --help 2>/dev/null | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p'; }

_pcienic_addresses() {
    local device
    for device in "$_pcienic_sys"/bus/pci/devices/*; do [[ ! -e $device ]] || echo "${device##*/}"; done
}

_pcienic_identities() {
    local device vendor id
    for device in "$_pcienic_sys"/bus/pci/devices/*; do
        [[ -r $device/vendor ]] || continue
        read -r vendor <"$device/vendor"
        read -r id <"$device/device"
        echo "${vendor#0x}:${id#0x}"
    done
}

_pcienic_drivers() {
    local driver
    for driver in "$_pcienic_sys"/bus/pci/drivers/*; do [[ ! -e $driver ]] || echo "${driver##*/}"; done
}

# What the tool's own help lists for an option; fails if it lists nothing.
_pcienic_choices() {
    local line values
    line=$("${words[0]}" --help 2>/dev/null | grep -E -- "^  (-.,)?$1(,--[a-z-]+)? [A-Z]+:\{") || return
    line=${line#*\{}
    IFS=, read -ra values <<<"${line%%\}*}"
    _pcienic_offer "${values[@]}"
}

# The value of an option that all tools know; fails where the word before is none of them.
_pcienic_value() {
    # shellcheck disable=SC2046 # words are wanted
    case $1 in
        -s | --slot) _pcienic_offer $(_pcienic_addresses) ;;
        -d | --device) _pcienic_offer $(_pcienic_identities) ;;
        -o | --output | --color | --backend | --via) _pcienic_choices "$1" || true ;;
        --mode) _pcienic_choices "$1" || _pcienic_offer msix msi intx ;; # an operation's, in pcienic-ctl
        --bar) _pcienic_offer 0 1 2 3 4 5 ;;
        --direction) _pcienic_offer host-to-device device-to-host host-to-host host device ;;
        --format) _pcienic_offer jsonl chrome ;;
        --in | --out | --bin | --trace | --resolve | -F | -i) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        --timeout | --interval | --grace | --count | --size | --offset | --pattern | --vector | --vectors) ;;
        --trace-limit | --trace-memory | --memory | --may-differ) ;;
        *) return 1 ;;
    esac
}

_pcienic_registers() {
    # shellcheck disable=SC2046 # words are wanted
    if [[ $cur == *.* ]]; then
        _pcienic_offer $("$1" regs --fields -o raw "${cur%%.*}" 2>/dev/null)
    else
        _pcienic_offer $("$1" regs -o raw 2>/dev/null)
    fi
    compopt -o nospace 2>/dev/null || true # a field or a value may follow
}

_pcienic_ctl() {
    local words commands cur command='' word i
    _pcienic_line
    COMPREPLY=()
    _pcienic_value "${words[-1]}" && return
    mapfile -t commands < <(_pcienic_commands "${words[0]}")
    for ((i = 1; i < ${#words[@]}; i++)); do
        word=${words[i]}
        [[ $word == : ]] && command=
        [[ -z $command && " ${commands[*]} " == *" $word "* ]] && command=$word
    done
    if [[ $command == with && " ${words[*]} " == *' -- '* ]]; then
        mapfile -t COMPREPLY < <(compgen -c -f -- "$cur")
        return
    fi
    if [[ $cur == -* ]]; then
        [[ -z $command ]] || _pcienic_options "${words[0]}" "$command"
        _pcienic_options "${words[0]}"
        return
    fi
    # shellcheck disable=SC2046 # words are wanted
    case $command in
        '') _pcienic_offer "${commands[@]}" ;;
        regs | read | write | set | clear | toggle | dump | wait | watch) _pcienic_registers "${words[0]}" ;;
        bind | with) _pcienic_offer $(_pcienic_drivers) ;;
        doctor) _pcienic_offer $(_pcienic_addresses) ;;
        dma) _pcienic_offer copy fill verify ;;
        trace)
            if [[ ${words[-1]} == trace ]]; then
                _pcienic_offer show export replay
            else
                mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            fi
            ;;
        run | diff) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    esac
}

_pcienic_plain() {
    local words cur
    _pcienic_line
    COMPREPLY=()
    _pcienic_value "${words[-1]}" || _pcienic_options "${words[0]}"
}

_pcienic_demo() {
    local words cur
    _pcienic_line
    COMPREPLY=()
    # shellcheck disable=SC2046 # words are wanted
    if [[ $cur == -* ]]; then _pcienic_options "${words[0]}"; else _pcienic_offer $(_pcienic_addresses); fi
}

complete -F _pcienic_ctl pcienic-ctl
complete -F _pcienic_plain pcienic-ls pcienic-irqtest
complete -F _pcienic_demo pcienic-demo
