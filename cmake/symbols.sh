#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The exported symbols of the library: what the headers declare, what the version script lists and
# what the shared library defines are three views of one list. This makes the second from the first
# and checks all three. PART is runnel for librunnel itself, else the folder of an optional part, whose one
# header is include/runnel/PART.h and whose version script src/PART/PART.map.
#
#   symbols.sh names PART            the names that the public headers mark with RN__API
#   symbols.sh map PART              a version script with those names
#   symbols.sh write                 make every version script anew
#   symbols.sh tested                every exported function has its name in some test
#   symbols.sh check PART LIBRARY CC [compiler flags...]
#                                    compare headers, version script and LIBRARY's dynamic symbols;
#                                    CC tells which declarations exist on its CPU
set -eu
LC_ALL=C
export LC_ALL
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# Declarations marked with $1 -> names. Joins lines, cuts at ; { }, takes away every balanced pair
# of parentheses or brackets, innermost first: the name is then the last word that is not an
# attribute.
declared()
{
    tr '\n' ' ' | tr ';{}' '\n\n\n' | awk -v mark="$1" '
        {
            at = index($0, mark)
            if (!at)
                next
            text = substr($0, at + length(mark))
            while (gsub(/\([^()]*\)|\[[^][]*\]/, " ", text))
                ;
            sub(/=.*/, "", text)
            n = split(text, word, /[^A-Za-z0-9_]+/)
            for (i = n; i > 0; i--)
                if (word[i] ~ /^rn_/) {
                    print word[i]
                    break
                }
            if (i == 0) {
                print "symbols.sh: no name in: " $0 > "/dev/stderr"
                exit 1
            }
        }' | sort -u
}

parts()
{
    for script in "$root"/src/*/*.map; do
        [ ! -e "$script" ] || basename "$script" .map
    done
}
map_of()
{
    if [ "$1" = runnel ]; then echo src/runnel.map; else echo "src/$1/$1.map"; fi
}
# headers PART: the names of its headers.
headers()
{
    if [ "$1" != runnel ]; then
        echo "$1.h"
        return
    fi
    for header in "$root"/include/runnel/*.h; do
        name=$(basename "$header" .h)
        [ -e "$root/src/$name/$name.map" ] || echo "$name.h"
    done
}

# Preprocessor lines and comments say nothing about declarations.
names()
{
    headers "$1" | while read -r header; do cat "$root/include/runnel/$header"; done |
        awk '/^[ \t]*#/ || more { more = /\\$/; next } { print }' |
        tr '\n' '\001' | sed 's,/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/,,g' | tr '\001' '\n' |
        declared RN__API
}

map()
{
    cat <<'END'
# SPDX-License-Identifier: MIT
#
# The exported symbols, all that the headers mark with RN__API. Made by ./dev symbols; the test
# "symbols" compares it with the headers and the library.
RUNNEL_0 {
global:
END
    names "$1" | sed 's/.*/    &;/'
    cat <<'END'
local:
    *;
};
END
}

# same TITLE A TITLE B: compare two sorted lists of names.
same()
{
    if cmp -s "$2" "$4"; then
        echo "$1 and $3 agree: $(wc -l <"$2") names"
        return
    fi
    comm -23 "$2" "$4" | sed "s/^/only in $1: /"
    comm -13 "$2" "$4" | sed "s/^/only in $3: /"
    bad=1
}

write()
{
    for part in runnel $(parts); do
        script=$root/$(map_of "$part")
        map "$part" >"$script.new"
        mv "$script.new" "$script"
    done
}

# Names that begin with rn__ stand behind macros, whose tests are theirs.
tested()
{
    untested=
    for part in runnel $(parts); do
        for name in $(names "$part" | grep -v '^rn__'); do
            grep -rqw --include='*.c' --include='*.h' --include='*.cc' -- "$name" "$root/tests" || untested="$untested $name"
        done
    done
    for name in $untested; do echo "in no test: $name"; done
    [ -z "$untested" ]
}

check()
{
    part=$1
    library=$2
    shift 2
    script=$(map_of "$part")
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT INT TERM
    bad=0

    names "$part" >"$dir/headers"
    sed -n 's/^ *\(rn_[A-Za-z0-9_]*\);.*/\1/p' "$root/$script" | sort >"$dir/map"
    same "the headers" "$dir/headers" "$script" "$dir/map"

    # A part's header brings in the core's declarations, which are not the part's.
    headers "$part" | sed 's,.*,#include <runnel/&>,' >"$dir/all.c"
    "$@" -I"$root/include" -E -P "$dir/all.c" | declared '__attribute__((visibility("default")))' |
        comm -12 - "$dir/headers" >"$dir/here"
    # The version's own name shows up as an absolute symbol (A); the @@ suffix is its mark.
    "${NM:-nm}" -D --defined-only "$library" |
        awk '$(NF - 1) != "A" { sub(/@.*/, "", $NF); print $NF }' | sort -u >"$dir/library"
    same "the headers for this CPU" "$dir/here" "the library" "$dir/library"
    exit "$bad"
}

case ${1-} in
names) names "${2-runnel}" ;;
map) map "${2-runnel}" ;;
write) write ;;
tested) tested ;;
check) shift; check "$@" ;;
*) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
esac
