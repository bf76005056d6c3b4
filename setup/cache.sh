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
readonly CACHE_KEY='[0-9a-f]{16}' CACHE_RANDOM='[A-Za-z0-9]{10}'
readonly CACHE_DIRECTORIES="^(qemu|guest|kernel)-$CACHE_KEY\$"
readonly CACHE_SOURCES='^qemu-src-[0-9][A-Za-z0-9.+~-]*$'
readonly CACHE_BOOSTS='^boost-[0-9]+\.[0-9]+$'
readonly CACHE_FILES="^(guest-(resolved|kvm)-$CACHE_KEY(\.[0-9]+)?|$CACHE_MARK(\.pcienic\.$CACHE_RANDOM)?)\$"
readonly CACHE_LOCKS='^(qemu|guest|kernel|build-[0-9]+)\.lock$'
readonly CACHE_LINKS='^qemu-source-[a-z0-9.]+$'
# Folders that are ours by what is in them.
readonly -A CACHE_FOLDERS=(
    [logs]='^(packages|qemu-(source|overlay|configure|compile)|guest(-(cloud|amd64|6\.12|iommufd))?|(configure|compile)-[0-9]+)\.log$'
    [tmp]="^(pcienic-(qemu(-src)?|guest|boost)\.$CACHE_RANDOM|qemu-source)\$"
    [tidy]='^[0-9a-f]{64}$'
)
# Half-made things whose names somebody may give, too (qemu.backup): they are ours if nothing but this is in them, and if the
# end of the name is no word. The guest's builders make the first two still, earlier versions the others.
readonly -A CACHE_HALF_MADE=(
    [guest-building]='^(debs|system|root|image|apt\.log|resolved)$'
    [kernel-building]='^(usr|result|apt\.log|linux-source-[0-9.]+(_.*\.deb)?)$'
    [tmp/qemu]='^(about|qemu-system-[a-z0-9_]+)$'
    [tmp/qemu-src]='^(source|version|apt|qemu_.*)$'
    [tmp/boost]='^(lists|archives|sources\.list|unpacked|libboost.*\.deb|(src)?pkgcache\.bin)$'
)

# Sets `cache` to the directory that PCIENIC_CACHE or its defaults name; it need not be there. Not by a substitution, which
# takes line breaks off the end of a path.
cache_directory() {
    local home="${HOME:-}"
    [[ -n $home ]] || home=$(getent passwd "$(id -u)" | cut -d: -f6)
    cache=${PCIENIC_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/pcienic}
    # Other programs would take -name for an option.
    [[ $cache == /* ]] || cache=$PWD/$cache
}

# Why a function below answered with 1, and what helps.
cache_obstacle='' cache_remedy=''
cache_refuse() {
    cache_obstacle=$1 cache_remedy=$2
    return 1
}

# real_path PATH: sets `real` to it without links; PATH need not be there.
real_path() {
    real=$(realpath -mz -- "$1" | tr '\0' '/') || return
    real=${real%/}
}

# cache_entries DIRECTORY: sets `entries` to the names in it. An end mark, which no name is, shows that all were read: what
# cannot be listed is not empty.
cache_entries() {
    local _
    # More than once: find fails, too, if another process has just removed an entry.
    for _ in 1 2 3; do
        mapfile -d '' -t entries < <(find "$1/" -mindepth 1 -maxdepth 1 -printf '%f\0' 2>/dev/null && printf '/\0')
        [[ ${#entries[@]} -eq 0 || ${entries[-1]} != / ]] || break
    done
    [[ ${#entries[@]} -gt 0 && ${entries[-1]} == / ]] || cache_refuse_unread "$1" || return
    unset 'entries[-1]'
}
cache_refuse_unread() {
    local remedy="make it readable: chmod u+rwx ${1@Q}; or set PCIENIC_CACHE to a directory of your own"
    [[ -O $1 ]] || remedy="set PCIENIC_CACHE to a directory of your own, or become the user that it belongs to"
    cache_refuse "$1 cannot be read, so what is in it is not known" "$remedy"
}

# cache_named NAME: whether set-up gives such a name.
cache_named() {
    [[ $1 =~ $CACHE_DIRECTORIES || $1 =~ $CACHE_SOURCES || $1 =~ $CACHE_BOOSTS || $1 =~ $CACHE_FILES || $1 =~ $CACHE_LOCKS ||
        $1 =~ $CACHE_LINKS || -n ${CACHE_FOLDERS[$1]:-} ]]
}

# cache_made DIRECTORY NAME: whether set-up made this entry of the cache: its name, and what kind of thing it is.
cache_made() {
    local path=$1/$2
    if [[ -L $path ]]; then
        [[ $2 =~ $CACHE_LINKS && $(readlink -- "$path") =~ $CACHE_SOURCES ]]
    elif [[ -d $path ]]; then
        [[ $2 =~ $CACHE_DIRECTORIES || -n ${CACHE_FOLDERS[$2]:-} ]] ||
            [[ $2 =~ $CACHE_SOURCES && -d $path/source && -f $path/version ]] ||
            [[ $2 =~ $CACHE_BOOSTS && -d $path/usr/include/boost ]] || cache_half_made "$1" "$2"
    else
        [[ -f $path && ($2 =~ $CACHE_FILES || ($2 =~ $CACHE_LOCKS && ! -s $path)) ]] || cache_half_made "$1" "$2"
    fi
}

# cache_made_inside DIRECTORY FOLDER NAME: the same of an entry of one of CACHE_FOLDERS.
cache_made_inside() {
    local path=$1/$2/$3
    if [[ $2 != tmp ]]; then
        [[ $3 =~ ${CACHE_FOLDERS[$2]} && -f $path && ! -L $path ]]
    else
        [[ $3 =~ ${CACHE_FOLDERS[tmp]} ]] || cache_half_made "$1" "tmp/$3"
    fi
}

# cache_half_made DIRECTORY NAME: see CACHE_HALF_MADE.
cache_half_made() {
    local path=$1/$2 pattern=${CACHE_HALF_MADE[${2%.*}]:-} inner
    local -a entries
    [[ ${2##*.} =~ ^[A-Za-z0-9]{6}$ && ! ${2##*.} =~ ^([a-z]+|[A-Z]?[a-z]+|[A-Z]+|[0-9]+)$ && ! -L $path ]] || return 1
    if [[ ${2%.*} == tmp/guest ]]; then
        # What guest-image/build.sh said to an earlier version: the image's path, at its end.
        [[ -f $path ]] && [[ ! -s $path || $(tail -n 1 -- "$path") =~ /guest-$CACHE_KEY$ ]]
        return
    fi
    if [[ ${2%.*} == "$CACHE_MARK" ]]; then
        [[ -f $path ]] && [[ ! -s $path || $(tail -n 1 -- "$path") == "$CACHE_OWNER" ]]
        return
    fi
    [[ -n $pattern && -d $path ]] && cache_entries "$path" || return
    for inner in "${entries[@]}"; do [[ $inner =~ $pattern ]] || return; done
}

# cache_proves DIRECTORY NAME: whether there is something in it that only set-up makes. A name proves nothing.
cache_proves() {
    local path=$1/$2 line=''
    case $2 in
        qemu-src-*) [[ -f $path/source/VERSION && -f $path/version ]] ;;
        qemu-*) [[ -f $path/about ]] && read -r line <"$path/about" && [[ $line == "QEMU "* ]] ;;
        guest-*) grep -qs '"schema": "pcienic\.guest-image/' "$path/manifest.json" ;;
        kernel-*) [[ -f $path/version && -f $path/vmlinuz && -d $path/lib/modules ]] ;;
        *) false ;;
    esac 2>/dev/null
}

cache_is_marked() {
    local -a lines=()
    [[ -f $1/$CACHE_MARK && ! -L $1/$CACHE_MARK && -r $1/$CACHE_MARK ]] || return 1
    mapfile -t -n 2 lines <"$1/$CACHE_MARK"
    [[ ${lines[1]:-} == "$CACHE_OWNER" ]]
}

# cache_may_be_marked DIRECTORY: it is empty, or an earlier version's, which had no mark: of that name, all in it ours, and
# proof of it in what was built; or another process has marked it meanwhile, which comes before all else that is put into it.
cache_may_be_marked() {
    local name inner foreign='' proved='' own=${1%/}/pcienic
    local -a entries names
    [[ ! -e $own || -d $own ]] || own=${1%/}/pcienic-cache
    [[ ! -f $1/$CACHE_MARK || -r $1/$CACHE_MARK ]] || cache_refuse_unread "$1/$CACHE_MARK" || return
    cache_entries "$1" || return
    names=("${entries[@]}")
    for name in "${names[@]}"; do
        [[ ! $name =~ ^$CACHE_MARK\.pcienic\.$CACHE_RANDOM$ ]] || continue # another process is about to mark it
        foreign=$name
        [[ ${1##*/} == pcienic && $name != "$CACHE_MARK" ]] || break
        cache_made "$1" "$name" || break
        if [[ -n ${CACHE_FOLDERS[$name]:-} ]]; then
            cache_entries "$1/$name" || return
            for inner in "${entries[@]}"; do
                foreign=$name/$inner
                cache_made_inside "$1" "$name" "$inner" || break 2
            done
        elif [[ ! -L $1/$name && -d $1/$name && ! $name =~ $CACHE_BOOSTS ]] && ! cache_half_made "$1" "$name"; then
            cache_proves "$1" "$name" || break
            proved=1
        fi
        foreign=
    done
    if [[ -z $foreign && -z $proved ]]; then
        for name in "${names[@]}"; do
            [[ $name =~ ^$CACHE_MARK\.pcienic\.$CACHE_RANDOM$ ]] || foreign=$name
        done
    fi
    [[ -z $foreign ]] || cache_is_marked "$1" ||
        cache_refuse "$1 is not a cache of pcienic's: there is ${foreign@Q} in it, and no mark of ours" \
            "set PCIENIC_CACHE to a directory that is only for it, such as $own"
}

# cache_is_private DIRECTORY: nobody else can put anything into it. Its programs are run, often by root, and its logs are
# written.
cache_is_private() {
    local owner mode name top me
    local -A made=()
    me=$(id -un 2>/dev/null) || me="user $EUID"
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
                "set PCIENIC_CACHE to a directory of $me's own; or, if what is there can be trusted: chown -R $EUID ${1@Q}"
            return
        elif [[ $mode == d* && $name != */* && ! (-r $1/$name && -x $1/$name) ]]; then
            cache_refuse_unread "$1${name:+/$name}"
            return
        elif [[ $mode == l* ]]; then
            [[ $name =~ $CACHE_LINKS || $name == tmp/qemu-source ]] || cache_refuse_link "$1/$name" || return
        elif [[ $mode == ?????w* || $mode == ????????w* ]]; then
            cache_refuse "not only its owner may write to $1${name:+/$name}, and $me would run what is put there" \
                "set PCIENIC_CACHE to another directory; or, if all that is in this one can be trusted: chmod -R go-w ${1@Q}"
            return
        fi
    done < <(find "$1/" -maxdepth 2 -printf '%U %M %P\0' 2>/dev/null)
}
cache_refuse_link() { cache_refuse "$1 is a link, and the cache is not written through links" "remove the link"; }

# put_cache_mark DIRECTORY: whole or not at all; another process may do the same.
put_cache_mark() {
    local new
    new=$(mktemp -- "$1/$CACHE_MARK.pcienic.XXXXXXXXXX") || return
    if printf '%s\n' "$CACHE_SIGNATURE" "$CACHE_OWNER" >"$new"; then
        # Not every file system has hard links.
        ln -T -- "$new" "$1/$CACHE_MARK" 2>/dev/null || mv -nT -- "$new" "$1/$CACHE_MARK"
    fi
    rm -f -- "$new"
    cache_is_marked "$1"
}

# take_lock FILE [OPTION OF FLOCK]...: sets `lock` to the descriptor that holds it, for this process and those that it starts.
# False if it cannot be had, or with --nonblock not at once; `lock_obstacle` is then empty if another process holds it, else
# it says why it cannot be opened. Whatever process held it may have removed the file: what counts is the one that is there.
# `lock_child` is what waits for it: to be ended by the program's own traps.
lock_obstacle='' lock_child=''
take_lock() {
    local file=$1 status
    shift
    lock_obstacle=''
    while { exec {lock}<>"$file"; } 2>/dev/null; do
        status=0
        # In the background, for a trap to be heard while this waits.
        flock --conflict-exit-code 111 "$@" "$lock" >/dev/null 2>&1 &
        lock_child=$!
        wait_for_child "$lock_child" || status=$?
        lock_child=''
        if ((status)); then
            exec {lock}>&-
            ((status == 111)) || lock_obstacle="its file system has no locks"
            return 1
        fi
        [[ ! $file -ef /proc/self/fd/$lock ]] || return 0
        exec {lock}>&-
    done
    lock_obstacle=$({ : <>"$file"; } 2>&1) || lock_obstacle=${lock_obstacle##*: }
    : "${lock_obstacle:=it cannot be opened}"
    return 1
}

# wait_for_child PID: its status. A signal that has a trap ends `wait` early.
wait_for_child() {
    local status=0
    wait "$1" || status=$?
    while ((status > 128)) && kill -0 "$1" 2>/dev/null; do
        status=0
        wait "$1" || status=$?
    done
    return "$status"
}

# cache_path_is_good PATH: QEMU's configure refuses to work below a path with a blank or a colon; apt's configuration cannot
# have the others in a value.
cache_path_is_good() {
    [[ $1 != *[[:space:]:]* ]] ||
        cache_refuse "the path of the cache, ${1@Q}, has a blank or a colon in it, and QEMU cannot be built there" \
            "set PCIENIC_CACHE to a directory whose path has neither" || return
    [[ $1 != *[\"\\]* ]] ||
        cache_refuse "the path of the cache, ${1@Q}, has a quotation mark or a backslash in it, and apt cannot be used there" \
            "set PCIENIC_CACHE to a directory whose path has neither"
}

# cache_stands_alone PATH: not in the checkout's build folder, which `clean` removes as a whole.
cache_stands_alone() {
    local real build
    real_path "$(dirname -- "${BASH_SOURCE[0]}")/../build" && build=$real && real_path "$1" || return
    [[ $real/ != "$build"/* ]] ||
        cache_refuse "the cache $1 would lie in the build folder $build, which ./pcienic clean removes as a whole" \
            "set PCIENIC_CACHE to a directory outside of it"
}

# cache_refuse_write PATH
cache_refuse_write() {
    local said
    said=$(mktemp -- "$1/pcienic-write.XXXXXXXXXX" 2>&1)
    if [[ -f $said ]]; then
        rm -f -- "$said"
        cache_refuse "cannot write to the cache $1" "make room there"
    elif [[ $said == *"No space left"* || $said == *"quota"* ]]; then
        cache_refuse "cannot write to the cache $1: ${said##*: }" "make room there"
    else
        cache_refuse "cannot write to the cache $1: ${said##*: }" "set PCIENIC_CACHE to a directory that you can write to"
    fi
}

# open_cache DIRECTORY: makes it a cache if it may become one, and holds it for as long as this process and those that
# it starts live. Sets `cache`, its path without links, and `cache_lock`.
open_cache() {
    local lock real name directory=$1
    [[ $directory == /* ]] || directory=$PWD/$directory
    cache_path_is_good "$directory" && cache_stands_alone "$directory" || return
    while :; do
        { (umask 077 && mkdir -p -- "$directory") && real_path "$directory" && cache=$real && [[ -w $cache && -x $cache ]]; } 2>/dev/null ||
            cache_refuse "cannot create the cache $directory, or not write to it" \
                "set PCIENIC_CACHE to a directory that you can write to" || return
        cache_path_is_good "$cache" || return
        if ! cache_is_marked "$cache"; then
            cache_may_be_marked "$cache" && cache_is_private "$cache" || return
            put_cache_mark "$cache" || cache_refuse_write "$cache" || return
        fi
        ! take_lock "$cache/$CACHE_MARK" --shared || break
        # It may just have been cleaned away.
        ! cache_is_marked "$cache" || cache_refuse_lock "$cache/$CACHE_MARK" || return
    done
    # shellcheck disable=SC2034 # for what must not hold it
    cache_lock=$lock
    cache_is_private "$cache" || return
    for name in logs tmp; do
        [[ ! -e $cache/$name || -d $cache/$name ]] ||
            cache_refuse "$cache/$name is no folder, and set-up needs that name for one" "move it away" || return
        (umask 077 && mkdir -p -- "$cache/$name") 2>/dev/null || cache_refuse_write "$cache" || return
    done
    export PCIENIC_CACHE=$cache
}

# cache_refuse_lock FILE: why take_lock could not take it.
cache_refuse_lock() {
    case $lock_obstacle in
        '') cache_refuse "another pcienic is at work in $cache, and needs what is there" "run this again when it has ended" ;;
        *locks) cache_refuse "cannot lock $1: $lock_obstacle" "set PCIENIC_CACHE to a directory whose file system has locks" ;;
        *) cache_refuse "cannot lock $1: $lock_obstacle" \
            "become the user that it belongs to, or set PCIENIC_CACHE to a directory that you can write to" ;;
    esac
}

# hold_cache_alone DIRECTORY: as `clean` needs it. False if anything uses it.
hold_cache_alone() {
    local lock file real
    cache_stands_alone "$1" || return
    real_path "$1" && [[ -d $real && -x $real ]] || cache_refuse "$1 cannot be entered" "look at its permissions" || return
    cache=$real
    cache_is_marked "$cache" || cache_may_be_marked "$cache" || return
    cache_is_private "$cache" || return
    cache_is_marked "$cache" || put_cache_mark "$cache" || cache_refuse_write "$cache" || return
    # An earlier version holds only those that it builds under.
    for file in "$cache/$CACHE_MARK" "$cache"/{qemu,guest,kernel}.lock "$cache"/build-*.lock; do
        [[ ! -f $file ]] || take_lock "$file" --nonblock || cache_refuse_lock "$file" || return
    done
}

# empty_cache REMOVE: removes what set-up put into the cache, which is held alone, and the cache itself if nothing else is
# in it. REMOVE is called as: REMOVE WHAT PATH...
empty_cache() {
    local remove=$1 name inner pass
    local -a inside entries names
    # Locks and mark go last: until then it is a cache, and held.
    for pass in things locks; do
        cache_entries "$cache" || return
        names=("${entries[@]}")
        for name in "${names[@]}"; do
            cache_made "$cache" "$name" || continue
            if [[ -n ${CACHE_FOLDERS[$name]:-} ]]; then
                inside=()
                cache_entries "$cache/$name" || return
                for inner in "${entries[@]}"; do
                    ! cache_made_inside "$cache" "$name" "$inner" || inside+=("$cache/$name/$inner")
                done
                ((${#inside[@]} == 0)) || "$remove" "$cache/$name" "${inside[@]}"
                rmdir -- "$cache/$name" 2>/dev/null || true
            elif [[ $pass == locks || ! ($name =~ $CACHE_LOCKS || $name == "$CACHE_MARK") ]]; then
                "$remove" "$cache/$name" "$cache/$name"
            fi
        done
    done
    rmdir -- "$cache" 2>/dev/null || true
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    cache=${1:-}
    [[ -n $cache ]] || cache_directory
    open_cache "$cache" || { printf '%s\n%s\n' "$cache_obstacle" "$cache_remedy" >&2; exit 1; }
    printf '%s\n' "$cache"
fi
