#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh BUILD [ARG...]: bench/run on the programs of the build directory BUILD; without python3, the
# programs alone.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
build=$1
shift
if command -v python3 >/dev/null 2>&1; then
    exec python3 "$here/run" --build "$build" "$@"
fi
echo "bench: python3 is missing: no comparison with Go, ours only" >&2
for program in "$build"/bench/bench_*; do
    "$program"
done
