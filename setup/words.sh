# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What a verb was given, looked at before any set-up: a mistake would otherwise show after minutes, or never. Sourced by
# ./pcienic.

# nearest WORD CANDIDATE...: the one that WORD was most likely meant to be, by edits, if one is near.
nearest() {
    printf '%s\n' "${@:2}" | awk -v word="$1" '
        function least(a, b, c) { return a < b ? (a < c ? a : c) : (b < c ? b : c) }
        {
            for (i = 0; i <= length(word); i++) d[i, 0] = i
            for (j = 0; j <= length($0); j++) d[0, j] = j
            for (i = 1; i <= length(word); i++)
                for (j = 1; j <= length($0); j++)
                    d[i, j] = least(d[i - 1, j] + 1, d[i, j - 1] + 1,
                                    d[i - 1, j - 1] + (substr(word, i, 1) != substr($0, j, 1)))
            distance = d[length(word), length($0)]
            # The beginning of a long option is near, too.
            if (word ~ /^--...../ && length($0) > length(word) && d[length(word), length(word)] < distance)
                distance = d[length(word), length(word)]
            if (distance <= 2 && (best == "" || distance < nearest)) { best = $0; nearest = distance }
        }
        END { print best }'
}

# did_you_mean WORD CANDIDATE...: the end of a message.
did_you_mean() {
    local found
    found=$(nearest "$@")
    [[ -z $found ]] || printf '%s' "; did you mean '$found'?"
}

# ctest's options (3.25 to 3.31) that choose tests or say how they run. ctest itself drops a word that it does not know, and
# runs everything. Those with a value take it as a word of its own: ctest drops -Lunit and --label-regex=unit, too.
readonly -A CTEST_VALUES=(
    [-L]=-L [--label-regex]=-L [-LE]=-LE [--label-exclude]=-LE [-R]=-R [--tests-regex]=-R [-E]=-E [--exclude-regex]=-E
    [-FA]=-FA [--fixture-exclude-any]=-FA [-FS]=-FS [--fixture-exclude-setup]=-FS [-FC]=-FC [--fixture-exclude-cleanup]=-FC
    [-I]=-I [--tests-information]=-I [--tests-from-file]=--tests-from-file [--exclude-from-file]=--exclude-from-file
    [-C]=-C [--build-config]=-C [-j]=-j [--parallel]=-j [-O]=-O [--output-log]=-O [--repeat]=--repeat
    [--repeat-until-fail]=--repeat [--timeout]=--timeout [--stop-time]=--stop-time [--test-load]=--test-load
    [--max-width]=--max-width [--interactive-debug-mode]=--interactive-debug-mode
    [--resource-spec-file]=--resource-spec-file [--test-output-size-passed]=--test-output-size-passed
    [--test-output-size-failed]=--test-output-size-failed [--test-output-truncation]=--test-output-truncation
)
readonly CTEST_FLAGS=(-V --verbose -VV --extra-verbose --debug --progress -Q --quiet -F -N --show-only -U --union --rerun-failed
    --output-on-failure --stop-on-failure --schedule-random --print-labels --no-label-summary --no-subproject-summary
    --no-compress-output --force-new-ctest-process --show-only=human --show-only=json-v1 --no-tests=error --no-tests=ignore)
# Those that ./pcienic test gives itself.
readonly CTEST_OURS=(--test-dir --output-junit --preset)
# ctest takes several of these together; of others the last would win without a word.
readonly CTEST_REPEATABLE=(-L -LE)

# among WORD CANDIDATE...
among() {
    local candidate
    for candidate in "${@:2}"; do [[ $1 != "$candidate" ]] || return 0; done
    return 1
}

# test_options ARGUMENT...: sets `look_again`, `until_fail` and `ctest_words`.
test_options() {
    local word short
    local -A given=()
    local -a known=(--look-again --until-fail "${!CTEST_VALUES[@]}" "${CTEST_FLAGS[@]}")
    look_again=0 until_fail='' ctest_words=()
    while [[ $# -gt 0 ]]; do
        word=$1
        shift
        case $word in
            --look-again)
                ((!look_again)) || usage_error "test --look-again was given twice"
                look_again=1
                continue
                ;;
            --until-fail | --until-fail=*)
                [[ -z $until_fail ]] || usage_error "test $word: --until-fail $until_fail was given already"
                if [[ $word == --until-fail ]]; then
                    [[ $# -gt 0 ]] || usage_error "test --until-fail needs a number"
                    until_fail=$1
                    shift
                else
                    until_fail=${word#*=}
                fi
                [[ $until_fail =~ ^[1-9][0-9]{0,8}$ ]] || usage_error "test --until-fail ${until_fail@Q}: a number of times is expected"
                continue
                ;;
        esac
        if among "$word" "${CTEST_FLAGS[@]}" || [[ $word =~ ^(-j|--parallel=)[0-9]+$ ]]; then
            # 3.25 does not know the second.
            [[ $word != --parallel=* ]] || word=-j${word#*=}
            ctest_words+=("$word")
        elif [[ -n $word && -n ${CTEST_VALUES[$word]:-} ]]; then
            short=${CTEST_VALUES[$word]}
            [[ $# -gt 0 && -n $1 ]] || usage_error "test $word needs a value"
            ! among "${1%%=*}" "${known[@]}" || usage_error "test $word needs a value, and $1 is another option"
            [[ -z ${given[$short]:-} ]] || among "$short" "${CTEST_REPEATABLE[@]}" ||
                usage_error "test $word $1: ${given[$short]} was given already, and ctest would heed one of them"
            given[$short]="$word $1"
            ctest_words+=("$word" "$1")
            shift
        elif among "${word%%=*}" "${CTEST_OURS[@]}"; then
            usage_error "test gives ctest ${word%%=*} itself: the tests run in build, and their report is build/junit.xml"
        elif [[ $word == *=* && -n ${CTEST_VALUES[${word%%=*}]:-} ]]; then
            usage_error "test $word: ctest takes the value as a word of its own: ${word%%=*} ${word#*=}"
        elif [[ $word =~ ^(-LE|-FA|-FS|-FC|-L|-R|-E|-I|-C)(.+)$ ]]; then
            usage_error "test $word: ctest takes the value as a word of its own: ${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
        elif [[ $word == -* ]]; then
            usage_error "test does not know '$word', and nor does ctest$(did_you_mean "$word" "${known[@]}")"
        else
            usage_error "test takes options, and '$word' is none; did you mean -L ${word@Q} (a label) or -R ${word@Q} (a name)?"
        fi
    done
    [[ -z $until_fail || -z ${given[--repeat]:-} ]] ||
        usage_error "test --until-fail $until_fail and ${given[--repeat]}: leave out one"
    [[ -z ${given[--repeat]:-} || ${given[--repeat]} =~ ^--repeat\ (until-fail|until-pass|after-timeout):[0-9]+$|^--repeat-until-fail\ [0-9]+$ ]] ||
        usage_error "test ${given[--repeat]}: until-fail:N, until-pass:N or after-timeout:N is expected"
}

# check_kernel VERB KERNEL: the guest's builder has the names, and says them in its usage.
check_kernel() {
    local names
    names=$("$checkout/guest-image/build.sh" --help 2>/dev/null | sed -n 's/.*--kernel \([a-z0-9.|]*\)\].*/\1/p') || true
    [[ -z $names || "|$names|" == *"|$2|"* ]] || usage_error "$1 --kernel $2: ${names//|/, }"
}

# runner_options VERB ARGUMENT...: of run and shell. What the runner would refuse is refused now, by itself.
runner_options() {
    local verb=$1 word said status=0
    local -a words=()
    local -i dashes=0
    shift
    for word; do
        if [[ $word == -- ]]; then
            dashes=1
            break
        fi
        words+=("$word")
    done
    [[ $verb != run ]] || ((dashes)) || among --help "${words[@]}" || among -h "${words[@]}" ||
        usage_error "run needs a command behind --, as in: ./pcienic run -- pcienic-ls"
    # Without Python the packages are missing, and so are minutes to lose.
    [[ -x /usr/bin/python3 ]] || return 0
    said=$(vmrun --parse-only "$verb" "$@") || status=$?
    ((status == 0)) || exit "$status"
    if [[ -n $said ]]; then # it was asked for help
        printf '%s\n' "$said"
        exit 0
    fi
    while ((${#words[@]})); do
        case ${words[0]} in
            --kernel) check_kernel "$verb" "${words[1]}" ;;
            --kernel=*) check_kernel "$verb" "${words[0]#*=}" ;;
            --qemu | --append) words=("${words[@]:1}") ;;
        esac
        words=("${words[@]:1}")
    done
}
