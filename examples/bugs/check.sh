#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh bug TOOL PROGRAM SOURCE PATTERN [no-lines]
# check.sh fixed TOOL PROGRAM
# check.sh table TABLE SOURCE...: each has a line in the table, and a cure
#
# TOOL: run (the library itself), leaks (RUNNEL_LEAKS), locks (RUNNEL_LOCKS), tsan, asan (the program is built with it).
# A bug must be reported: PATTERN, a basic regular expression, occurs, the exit status is the tool's, and the
# report has SOURCE with the number of each line that is marked BLAMED in it, unless no-lines says that nothing
# tells lines here. Its cure must end with status 0 and without a word, with leaks and locks looked for too.
set -u
kind=$1
if [ "$kind" = table ]; then
    table=$2
    shift 2
    for source; do
        case $source in *-fixed.c) source=${source%-fixed.c}.c ;; esac
        grep -q "/bugs/$source)" "$table" || { echo "check.sh: not in $table: $source"; exit 1; }
        [ -e "${0%/*}/${source%.c}-fixed.c" ] || { echo "check.sh: no cure of $source"; exit 1; }
    done
    exit 0
fi
tool=$2
program=$3
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

RUNNEL_LEAKS=0
RUNNEL_LOCKS=0
[ "$kind" = bug ] || RUNNEL_LEAKS=fatal RUNNEL_LOCKS=fatal
[ "$tool" != leaks ] || RUNNEL_LEAKS=fatal
[ "$tool" != locks ] || RUNNEL_LOCKS=fatal
TSAN_OPTIONS=exitcode=66
ASAN_OPTIONS=exitcode=23:detect_leaks=0:detect_stack_use_after_return=1
export RUNNEL_LEAKS RUNNEL_LOCKS TSAN_OPTIONS ASAN_OPTIONS

(ulimit -c 0 && exec timeout 60 "$program") >"$dir/said" 2>&1 </dev/null
status=$?
fail()
{
    echo "check.sh: ${program##*/}: $1; it said:"
    cat "$dir/said"
    exit 1
}

if [ "$kind" = fixed ]; then
    [ "$status" -eq 0 ] || fail "exit status $status"
    [ ! -s "$dir/said" ] || fail "not silent"
    exit 0
fi
source=$4
pattern=$5
grep -q -- "$pattern" "$dir/said" || fail "nothing like: $pattern"
case $tool in
tsan) [ "$status" -eq 66 ] || fail "exit status $status, not 66" ;;
asan) [ "$status" -eq 23 ] || fail "exit status $status, not 23" ;;
dump) [ "$status" -eq 0 ] || fail "exit status $status" ;;
*) [ "$status" -eq 2 ] || fail "exit status $status, not 2" ;;
esac
[ "${6-}" != no-lines ] || exit 0
lines=$(grep -n "/\* BLAMED \*/" "$source" | cut -d: -f1)
[ -n "$lines" ] || fail "no line is marked in $source"
for line in $lines; do
    grep -q "${source##*/}:$line\([^0-9]\|\$\)" "$dir/said" || fail "line $line is not blamed"
done
