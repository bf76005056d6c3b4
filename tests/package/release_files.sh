#!/bin/bash
# SPDX-License-Identifier: MIT
# release_files.sh SOURCE PREFIX: what is installed is found by what looks for it: man, bash and zsh.
set -euo pipefail
source=$1 prefix=$2
export PATH=$prefix/bin:$PATH

failed=0
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    failed=1
}

tools=("$prefix"/bin/*)
[[ ${#tools[@]} -ge 4 ]] || fail "bin/ has ${#tools[@]} tools only"
for tool in "${tools[@]##*/}"; do
    "$tool" --help >/dev/null || fail "$tool --help ends with an error"
    page=$(man -M "$prefix/share/man" -w "$tool" 2>/dev/null) || fail "man finds no page of $tool"
    [[ $page == "$prefix"/* ]] || continue
    complaints=$(MANROFFSEQ='' MANWIDTH=100 man --warnings=w -l "$page" 2>&1 >/dev/null) || true
    [[ -z $complaints ]] || fail "$page: $complaints"
    man -M "$prefix/share/man" -P cat "$tool" | grep -q "^NAME" || fail "$page cannot be shown"
    bash -c ". '$prefix/share/bash-completion/completions/$tool' && complete -p $tool" >/dev/null ||
        fail "bash has no completion of $tool"
    grep -q "^#compdef.* $tool\b" "$prefix/share/zsh/site-functions/_pcienic" || fail "zsh has no completion of $tool"
done
for licence in uiovfio/MIT.txt pcienic/MIT.txt pcienic/GPL-2.0-or-later.txt; do
    cmp "$source/LICENSES/${licence#*/}" "$prefix/share/licenses/$licence" || fail "share/licenses/$licence"
done
if command -v zsh >/dev/null; then
    "$source/tests/unit/tools/zsh_completion_test.sh" "$prefix/bin" "$prefix/share/zsh/site-functions" || failed=1
fi
exit "$failed"
