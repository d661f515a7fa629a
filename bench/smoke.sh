#!/bin/sh
# SPDX-License-Identifier: MIT
#
# smoke.sh PROGRAM...: a few iterations of every benchmark of the programs, on one processor and on
# two. Each benchmark checks its own result.
set -eu
for program in "$@"; do
    for procs in 1 2; do
        echo "$(basename "$program") -smoke -procs $procs"
        "$program" -smoke -procs "$procs" >/dev/null
    done
done
