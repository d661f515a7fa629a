#!/bin/sh
# SPDX-License-Identifier: MIT
#
# refuse.sh COMPILER INCLUDE_DIR CASES_FILE [CASE...]
#
# Every case of the file must be refused with its text, and must compile without its mistake, under
# C11 and the newest standard that the compiler knows; with RN_LAX where the case says so. Each case is a line
# of the file RUNNEL_TEST_RESULTS, if that is set, as tests/support/main.c writes them.
set -u

cc=$1
include=$2
file=$3
shift 3

case $($cc --version | head -n 1) in
*clang*) family=clang ;;
*) family=gcc ;;
esac
standards='c11 gnu17'
echo 'int x;' | $cc -std=c2x -fsyntax-only -x c - 2>/dev/null && standards="$standards c2x"

# Number, text and bracketed notes of each case, apart by tabs.
list=$(awk '
    /^#(el)?if CASE == / { number = $4 }
    /^ *\/\/= / {
        text = $0; notes = ""
        sub(/^ *\/\/= /, "", text)
        if (match(text, / \[[^]]*\]$/)) {
            notes = substr(text, RSTART + 2, RLENGTH - 3)
            text = substr(text, 1, RSTART - 1)
        }
        print number "\t" text "\t" notes
    }' "$file")
[ -n "$list" ] || { echo "no cases in $file"; exit 1; }
twice=$(printf '%s\n' "$list" | cut -f 1 | sort -n | uniq -d)
[ -z "$twice" ] || { echo "cases that are there twice, so that one of the two is never compiled: $twice"; exit 1; }

[ -z "${RUNNEL_TEST_RESULTS-}" ] || : >"$RUNNEL_TEST_RESULTS"
failures=0
count=0
tab=$(printf '\t')
fail()
{
    failures=$((failures + 1))
    echo "case $number ($std): $1"
    [ $# -lt 2 ] || printf '%s\n' "$2" | sed 's/^/    /' | head -n 12
}

while IFS=$tab read -r number text notes; do
    flags=
    lax=false
    skip=false
    case $notes in
    *'gcc only'*) [ $family = gcc ] || skip=true ;;
    *'clang only'*) [ $family = clang ] || skip=true ;;
    *lax*) lax=true ;;
    *) flags=$notes ;;
    esac
    $skip && continue
    if [ $# -gt 0 ]; then
        case " $* " in
        *" $number "*) ;;
        *) continue ;;
        esac
    fi
    count=$((count + 1))
    before=$failures
    for std in $standards; do
        base="-std=$std -I$include -c -o /dev/null $flags -DCASE=$number"
        # shellcheck disable=SC2086
        if output=$(LC_ALL=C $cc $base -DMISTAKE "$file" 2>&1); then
            fail 'compiles, although it must not'
        else
            found=false
            rest=$text
            while [ -n "$rest" ]; do
                form=${rest%%|*}
                case $rest in
                *'|'*) rest=${rest#*|} ;;
                *) rest= ;;
                esac
                case $output in
                *"$form"*) found=true ;;
                esac
            done
            $found || fail "refused, but not with \"$text\":" "$output"
        fi
        # shellcheck disable=SC2086
        output=$(LC_ALL=C $cc $base "$file" 2>&1) ||
            fail 'does not compile without the mistake either:' "$output"
        if $lax && [ $std = c11 ]; then
            # Some compilers make errors of these by themselves; RN_LAX only leaves them alone.
            # shellcheck disable=SC2086
            output=$(LC_ALL=C $cc $base -DLAX -DMISTAKE -Wno-error=incompatible-pointer-types \
                -Wno-error=int-conversion "$file" 2>&1) ||
                fail 'RN_LAX does not let it through:' "$output"
        fi
    done
    [ "$failures" -eq "$before" ] && state=pass || state=fail
    [ -z "${RUNNEL_TEST_RESULTS-}" ] || echo "refuse:$number $state" >>"$RUNNEL_TEST_RESULTS"
done <<END
$list
END

echo "$cc: $count cases, $failures failures"
[ $failures -eq 0 ] && [ $count -gt 0 ]
