#!/bin/bash
# SPDX-License-Identifier: MIT
# The cache: where it is, whose it is, and what in it is ours. Sourced by the front door, by the guest's builders and by
# tests/package. Run as a program, it makes the cache ready and prints its directory, for those who are not shell:
#
#   cache.sh [DIRECTORY]      (default: as documented for PCIENIC_CACHE)
#
# A directory is a cache if it has our mark, a CACHEDIR.TAG with our own line in it. One without gets the mark only if it is
# empty, or an earlier version's. So a directory that is there for other things is never written to, and never cleaned. The
# mark is a lock as well: what uses the cache holds it shared, and `clean` alone.
set -euo pipefail

readonly CACHE_MARK=CACHEDIR.TAG
# The first line is what backup programs look for; the second says whose it is.
readonly CACHE_SIGNATURE='Signature: 8a477f597d28d172789f06886806bc55'
readonly CACHE_OWNER='# The cache of pcienic. Its ./pcienic clean removes what it put here.'

# What set-up makes, by exact names. `clean` removes nothing else.
readonly CACHE_KEY='[0-9a-f]{16}' CACHE_RANDOM='[A-Za-z0-9]{6}'
readonly CACHE_DIRECTORIES="^((qemu|guest|kernel)-$CACHE_KEY|(guest|kernel)-building\.$CACHE_RANDOM|boost-[0-9]+\.[0-9]+)\$"
readonly CACHE_SOURCES='^qemu-src-[0-9][A-Za-z0-9.+~-]*$'
readonly CACHE_FILES="^(guest-(resolved|kvm)-$CACHE_KEY(\.[0-9]+)?|(qemu|guest|kernel|build-[0-9]+)\.lock|$CACHE_MARK(\.$CACHE_RANDOM)?)\$"
readonly CACHE_LINKS='^qemu-source-[a-z0-9.]+$'
# Folders that are ours by what is in them.
readonly -A CACHE_FOLDERS=(
    [logs]='^(packages|qemu-(source|overlay|configure|compile)|guest(-[a-z0-9.]+)?|(configure|compile)-[0-9]+)\.log$'
    [tmp]="^((qemu(-src)?|guest|boost)\.$CACHE_RANDOM|qemu-source)\$"
    [tidy]='^[0-9a-f]{64}$'
)

# The directory that PCIENIC_CACHE or its defaults name; it need not be there.
cache_directory() {
    local home="${HOME:-}"
    [[ -n $home ]] || home=$(getent passwd "$(id -u)" | cut -d: -f6)
    printf '%s\n' "${PCIENIC_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/pcienic}"
}

# Why a function below answered with 1, and what helps.
cache_obstacle='' cache_remedy=''
cache_refuse() {
    cache_obstacle=$1 cache_remedy=$2
    return 1
}

# cache_entries DIRECTORY: the names in it, each ended by a zero byte.
cache_entries() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\0'; }

# cache_named NAME: whether set-up gives such a name.
cache_named() {
    [[ $1 =~ $CACHE_DIRECTORIES || $1 =~ $CACHE_SOURCES || $1 =~ $CACHE_FILES || $1 =~ $CACHE_LINKS ||
        -n ${CACHE_FOLDERS[$1]:-} ]]
}

# cache_made DIRECTORY NAME: whether set-up made this entry of the cache: its name, and what kind of thing it is.
cache_made() {
    local path=$1/$2
    if [[ -L $path ]]; then
        [[ $2 =~ $CACHE_LINKS && $(readlink -- "$path") =~ $CACHE_SOURCES ]]
    elif [[ -d $path ]]; then
        [[ $2 =~ $CACHE_DIRECTORIES || -n ${CACHE_FOLDERS[$2]:-} ]] ||
            [[ $2 =~ $CACHE_SOURCES && -d $path/source && -f $path/version ]]
    else
        [[ -f $path && $2 =~ $CACHE_FILES ]]
    fi
}

cache_is_marked() {
    local -a lines=()
    [[ -f $1/$CACHE_MARK && ! -L $1/$CACHE_MARK ]] || return 1
    mapfile -t -n 2 lines <"$1/$CACHE_MARK"
    [[ ${lines[1]:-} == "$CACHE_OWNER" ]]
}

# cache_may_be_marked DIRECTORY: it is empty, or an earlier version's, which had no mark: of that name, and all in it ours;
# or another process has marked it meanwhile, which comes before all else that is put into it.
cache_may_be_marked() {
    local name inner foreign
    while IFS= read -r -d '' name; do
        [[ ! $name =~ ^$CACHE_MARK\.$CACHE_RANDOM$ ]] || continue # another process is about to mark it
        foreign=$name
        if [[ ${1##*/} == pcienic && $name != "$CACHE_MARK" ]] && cache_made "$1" "$name"; then
            foreign=
            while [[ -n ${CACHE_FOLDERS[$name]:-} ]] && IFS= read -r -d '' inner; do
                [[ $inner =~ ${CACHE_FOLDERS[$name]} ]] || foreign=$name/$inner
            done < <(cache_entries "$1/$name")
        fi
        [[ -z $foreign ]] || cache_is_marked "$1" ||
            cache_refuse "$1 is not a cache of pcienic's: there is ${foreign@Q} in it, and no mark of ours" \
                "set PCIENIC_CACHE to a directory that is only for it, such as ${1%/}/pcienic" || return
    done < <(cache_entries "$1")
}

# cache_is_private DIRECTORY: nobody else can put anything into it. Its programs are run, often by root, and its logs are
# written.
cache_is_private() {
    local owner mode name top me
    local -A made=()
    me=$(id -un)
    while read -r -d '' owner mode name; do
        top=${name%%/*}
        if [[ -n $top && -z ${made[$top]:-} ]]; then
            made[$top]=no
            ! cache_made "$1" "$top" || made[$top]=yes
        fi
        if [[ -n $top && ${made[$top]} == no ]]; then
            # Somebody else's, unless it stands where we would write.
            [[ $mode != l* ]] || ! cache_named "$name" || cache_refuse_link "$1/$name" || return
        elif ((owner != EUID && owner != 0)); then
            cache_refuse "$1${name:+/$name} belongs to $(id -un -- "$owner" 2>/dev/null || echo "$owner"), and $me would run what is there" \
                "set PCIENIC_CACHE to a directory of $me's own"
            return
        elif [[ $mode == l* ]]; then
            [[ $name =~ $CACHE_LINKS || $name == tmp/qemu-source ]] || cache_refuse_link "$1/$name" || return
        elif [[ $mode == ?????w* || $mode == ????????w* ]]; then
            cache_refuse "not only its owner may write to $1${name:+/$name}, and $me would run what is put there" \
                "set PCIENIC_CACHE to another directory; or, if all that is in this one can be trusted: chmod -R go-w ${1@Q}"
            return
        fi
    done < <(find "$1" -maxdepth 2 -printf '%U %M %P\0')
}
cache_refuse_link() { cache_refuse "$1 is a link, and the cache is not written through links" "remove the link"; }

# put_cache_mark DIRECTORY: whole or not at all; another process may do the same.
put_cache_mark() {
    local new
    new=$(mktemp "$1/$CACHE_MARK.XXXXXX") || return
    if printf '%s\n' "$CACHE_SIGNATURE" "$CACHE_OWNER" >"$new"; then
        # Not every file system has hard links.
        ln -T -- "$new" "$1/$CACHE_MARK" 2>/dev/null || mv -nT -- "$new" "$1/$CACHE_MARK"
    fi
    rm -f -- "$new"
    cache_is_marked "$1"
}

# take_lock FILE [OPTION OF FLOCK]...: sets `lock` to the descriptor that holds it, for this process and those that it starts.
# False where it cannot be had, or cannot be had at once with --nonblock. Whoever held it may have removed the file: what
# counts is the one that is there.
take_lock() {
    local file=$1
    shift
    while { exec {lock}<>"$file"; } 2>/dev/null; do
        if ! flock "$@" "$lock"; then
            exec {lock}>&-
            return 1
        fi
        [[ ! $file -ef /proc/self/fd/$lock ]] || return 0
        exec {lock}>&-
    done
    return 1
}

# cache_path_is_good PATH: QEMU's configure refuses to work below any other.
cache_path_is_good() {
    [[ $1 != *[[:space:]:]* ]] ||
        cache_refuse "the path of the cache, ${1@Q}, has a blank or a colon in it, and QEMU cannot be built there" \
            "set PCIENIC_CACHE to a directory whose path has neither"
}

# open_cache DIRECTORY: makes it a cache where it may become one, and holds it for as long as this process and those that
# it starts live. Sets `cache`, its path without links, and `cache_lock`.
open_cache() {
    local lock
    cache_path_is_good "$1" || return
    while :; do
        { (umask 077 && mkdir -p -- "$1") && cache=$(cd -- "$1" && pwd -P) && [[ -w $cache ]]; } 2>/dev/null ||
            cache_refuse "cannot create the cache $1, or not write to it" \
                "set PCIENIC_CACHE to a directory that you can write to" || return
        cache_path_is_good "$cache" || return
        if ! cache_is_marked "$cache"; then
            cache_may_be_marked "$cache" && cache_is_private "$cache" || return
            put_cache_mark "$cache" || cache_refuse "cannot write to the cache $cache" "make room there" || return
        fi
        ! take_lock "$cache/$CACHE_MARK" --shared || break
        # It may just have been cleaned away.
        ! cache_is_marked "$cache" ||
            cache_refuse "cannot lock $cache/$CACHE_MARK" "set PCIENIC_CACHE to a directory whose file system has locks" || return
    done
    # shellcheck disable=SC2034 # for what must not hold it
    cache_lock=$lock
    cache_is_private "$cache" || return
    (umask 077 && mkdir -p -- "$cache/logs" "$cache/tmp") || cache_refuse "cannot write to the cache $cache" "make room there" || return
    export PCIENIC_CACHE=$cache
}

# hold_cache_alone DIRECTORY: as `clean` needs it. False where anything uses it.
hold_cache_alone() {
    local lock file
    cache=$(cd -- "$1" && pwd -P) || cache_refuse "$1 cannot be entered" "look at its permissions" || return
    cache_is_marked "$cache" || cache_may_be_marked "$cache" || return
    cache_is_private "$cache" || return
    cache_is_marked "$cache" || put_cache_mark "$cache" || cache_refuse "cannot write to the cache $cache" "make room there" || return
    # An earlier version holds only those that it builds under.
    for file in "$cache/$CACHE_MARK" "$cache"/{qemu,guest,kernel}.lock "$cache"/build-*.lock; do
        [[ ! -f $file ]] || take_lock "$file" --nonblock ||
            cache_refuse "another pcienic is at work in $cache, and needs what is there" "run this again when it has ended" || return
    done
}

# empty_cache REMOVE: removes what set-up put into the cache, which is held alone, and the cache itself if nothing else is
# in it. REMOVE is called as: REMOVE WHAT PATH...
empty_cache() {
    local remove=$1 name inner pass
    local -a inside
    # Locks and mark go last: until then it is a cache, and held.
    for pass in things locks; do
        while IFS= read -r -d '' name; do
            cache_made "$cache" "$name" || continue
            if [[ -n ${CACHE_FOLDERS[$name]:-} ]]; then
                inside=()
                while IFS= read -r -d '' inner; do
                    [[ ! $inner =~ ${CACHE_FOLDERS[$name]} ]] || inside+=("$cache/$name/$inner")
                done < <(cache_entries "$cache/$name")
                ((${#inside[@]} == 0)) || "$remove" "$cache/$name" "${inside[@]}"
                rmdir -- "$cache/$name" 2>/dev/null || true
            elif [[ $pass == locks || ! ($name == *.lock || $name == "$CACHE_MARK") ]]; then
                "$remove" "$cache/$name" "$cache/$name"
            fi
        done < <(cache_entries "$cache")
    done
    rmdir -- "$cache" 2>/dev/null || true
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    open_cache "${1:-$(cache_directory)}" || { printf '%s\n%s\n' "$cache_obstacle" "$cache_remedy" >&2; exit 1; }
    printf '%s\n' "$cache"
fi
