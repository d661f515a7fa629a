#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh BUILD_DIR [PATH]: run rnsum over a real tree, compare its list with that of sha256sum over
# the same files, and print the times of both. Exit status 0: the lists are equal, byte for byte.

set -eu
LC_ALL=C
export LC_ALL

build=${1:?usage: demo.sh BUILD_DIR [PATH]}
tree=${2:-/usr/share}
case $tree in
-*) tree=./$tree ;; # not an option
esac
rnsum=$build/examples/rnsum/rnsum

if [ ! -x "$rnsum" ]; then
    echo "rnsum demo: $rnsum is not there; build it first (it needs libssl-dev)" >&2
    exit 2
fi
if [ ! -e "$tree" ]; then
    echo "rnsum demo: $tree is not there" >&2
    exit 2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

jobs=$(nproc)

with_rnsum() {
    "$rnsum" "$tree"
}
with_rnsum_j1() {
    "$rnsum" -j 1 "$tree"
}
with_sha256sum() {
    find -H "$tree" -type f -print0 | sort -z | xargs -0 -r sha256sum --
}
with_xargs_p() { # its lines come in any order: timed, not compared
    find -H "$tree" -type f -print0 | sort -z | xargs -0 -r -n 64 -P "$jobs" sha256sum --
}

# timed NAME ROUND: run with_NAME; its output in $work/NAME.out, milliseconds added to $work/NAME.ms
timed() {
    status=0
    from=$(date +%s%N)
    "with_$1" >"$work/$1.out" 2>"$work/$1.err" || status=$?
    to=$(date +%s%N)
    echo $(((to - from) / 1000000)) >>"$work/$1.ms"
    echo "$status" >"$work/$1.status"
}

median() {
    sort -n "$work/$1.ms" | sed -n 2p
}

seconds() {
    awk -v ms="$1" 'BEGIN { printf "%.2f s", ms / 1000 }'
}

ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / (b > 0 ? b : 1) }'
}

echo "rnsum $tree, once to fill the page cache:"
with_rnsum >"$work/first.out" || true # what cannot be read is said; both skip it
files=$(wc -l <"$work/first.out")
echo "$files files listed; now three rounds of each"

for round in 1 2 3; do
    for name in rnsum rnsum_j1 sha256sum xargs_p; do
        timed "$name"
    done
done

r=$(median rnsum)
s=$(median sha256sum)
x=$(median xargs_p)
r1=$(median rnsum_j1)
echo
printf '%-42s %s\n' "find | sort | xargs sha256sum" "$(seconds "$s")"
printf '%-42s %s\n' "find | sort | xargs -P $jobs sha256sum" "$(seconds "$x")"
printf '%-42s %s\n' "rnsum -j 1" "$(seconds "$r1")"
printf '%-42s %s\n' "rnsum -j $jobs" "$(seconds "$r")"
echo "medians of three, page cache warm, $jobs processors"
echo "rnsum is $(ratio "$s" "$r") times as fast as sha256sum, $(ratio "$x" "$r") times as xargs -P"
echo "with one worker, $(ratio "$s" "$r1") times: libcrypto's SHA-256, and one process for all files"

for name in rnsum sha256sum; do
    if [ "$(cat "$work/$name.status")" != 0 ]; then
        echo "$name could not read everything (exit status $(cat "$work/$name.status")):"
        head -n 3 "$work/$name.err"
    fi
done
if cmp -s "$work/rnsum.out" "$work/sha256sum.out"; then
    echo "the two lists are equal, byte for byte"
else
    echo "THE LISTS DIFFER (has the tree changed meanwhile?):"
    diff "$work/sha256sum.out" "$work/rnsum.out" | head -n 10
    exit 1
fi
