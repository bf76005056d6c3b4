# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# ./pcienic bench: its options, a boot for each kernel, and what is left of it. Sourced by ./pcienic.

bench_output=
bench_compare=
bench_kernels=()
bench_words=()

# bench_options ARGUMENT...: a mistake here would otherwise show after minutes of set-up.
bench_options() {
    local option
    local output='' real
    while [[ $# -gt 0 ]]; do
        option=$1
        shift
        case $option in
            --quick)
                bench_words+=(--quick)
                continue
                ;;
            --only | --kernel | --output | --compare) ;;
            *) usage_error "bench does not know '$option': --quick, --only, --kernel, --output, --compare" ;;
        esac
        [[ $# -gt 0 && -n $1 ]] || usage_error "bench $option needs a value"
        case $option in
            --only)
                [[ $1 =~ ^(registers|config|interrupts|mapping|dma|open)$ ]] ||
                    usage_error "bench --only $1: registers, config, interrupts, mapping, dma or open"
                bench_words+=(--only "$1")
                ;;
            --kernel)
                check_kernel bench "$1"
                bench_kernels+=("$1")
                ;;
            --output)
                [[ -z $output ]] || usage_error "bench --output $1: --output $output was given already"
                output=$1
                ;;
            --compare)
                [[ -z $bench_compare ]] || usage_error "bench --compare $1: --compare $bench_compare was given already"
                bench_compare=$1
                ;;
        esac
        shift
    done
    if [[ -n $bench_compare ]]; then
        [[ -r $bench_compare && ! -d $bench_compare ]] || usage_error "bench --compare $bench_compare: there is no such file"
        # The program that reads the rest of it is not built yet.
        grep -qs '"schema": *"pcienic\.bench/' -- "$bench_compare" ||
            usage_error "bench --compare $bench_compare: it is no bench.json of an earlier run"
        real_path "$bench_compare"
        bench_compare=$real
    fi
    real_path "${output:-$build/bench}"
    bench_output=$real
    [[ ! -e $bench_output || (-d $bench_output && -w $bench_output) ]] ||
        usage_error "bench --output $bench_output: that is no folder to write to"
    [[ ${#bench_kernels[@]} -gt 0 ]] || bench_kernels=("")
}

# What a guest cannot know of itself.
bench_environment() {
    local commit
    printf -- '--env=PCIENIC_BENCH_HOST=%s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | uniq -c | head -n 1 |
        sed -E 's/^ *([0-9]+) /\1 of /')"
    printf -- '--env=PCIENIC_BENCH_QEMU=%s\n' "$("$PCIENIC_QEMU" --version | sed -n 's/^QEMU emulator version //p')"
    commit=$(git -c "safe.directory=$checkout" -C "$checkout" describe --always --dirty 2>/dev/null) || return 0
    printf -- '--env=PCIENIC_BENCH_COMMIT=%s\n' "$commit"
}

# bench_fail STATUS FOLDER RESULT...: ends the program. What was measured took minutes, and is kept.
bench_fail() {
    local status=$1 folder=$2
    shift 2
    if (($#)); then
        say "what was measured before is kept: $build/tools/pcienic-bench show ${*@Q}"
    else
        rm -rf -- "$folder"
    fi
    exit "$status"
}

# Exits 5 if something was allocated that must not be, as pcienic-bench does; what was measured is shown all the same.
bench_run() {
    local kernel folder result status verdict=0
    local -a environment results=() arguments
    umask "$users_umask"
    # Parsed as a whole, now that there is a program for it, and before anything is measured.
    [[ -z $bench_compare ]] || "$build/tools/pcienic-bench" show "$bench_compare" >/dev/null ||
        die "bench --compare $bench_compare: it is no bench.json of an earlier run" "name another, or leave it out"
    if ! mkdir -p -- "$bench_output" || ! folder=$(mktemp -d -- "$bench_output/pcienic-run.XXXXXXXXXX"); then
        die "cannot write to $bench_output" "give another folder with --output"
    fi
    mapfile -t environment < <(bench_environment)
    for kernel in "${bench_kernels[@]}"; do
        result=$folder/${#results[@]}.json
        arguments=(--device pcienic --device pcienic "${environment[@]}")
        [[ -z $kernel ]] || arguments+=(--kernel "$kernel")
        status=0
        (vmrun run "${arguments[@]}" -- pcienic-bench run --json "${bench_words[@]}") >"$result" || status=$?
        # 5 comes with a result.
        if [[ $status -ne 0 && $status -ne 5 ]]; then
            rm -f -- "$result"
            bench_fail "$status" "$folder" "${results[@]}"
        fi
        results+=("$result")
    done
    arguments=(--json "$bench_output/bench.json" --svg "$bench_output")
    [[ -z $bench_compare ]] || arguments+=(--compare "$bench_compare")
    "$build/tools/pcienic-bench" show "${results[@]}" "${arguments[@]}" || verdict=$?
    [[ $verdict -eq 0 || $verdict -eq 5 ]] || bench_fail "$verdict" "$folder" "${results[@]}"
    rm -rf -- "$folder"
    say "bench.json and the pictures are in $bench_output"
    exit "$verdict"
}
