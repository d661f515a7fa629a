#!/bin/sh
# SPDX-License-Identifier: MIT
#
# smoke.sh PROGRAM...: a few iterations of every benchmark of the programs, on one processor and on
# two. Each benchmark checks its own result. bench_load is run with the servers beside it.
set -eu
for program in "$@"; do
    for procs in 1 2; do
        echo "$(basename "$program") -smoke -procs $procs"
        if [ "$(basename "$program")" = bench_load ]; then
            "$program" "$(dirname "$program")/bench_serve" -smoke -procs "$procs" >/dev/null
            for name in EchoLoad/conns=64 EchoLoad/conns=10000 IdleEcho/conns=10000; do
                "$program" "$(dirname "$program")/bench_epoll" "$(dirname "$program")/bench_serve" \
                    -run "^$name\$" -smoke -procs "$procs" >/dev/null
            done
        else
            "$program" -smoke -procs "$procs" >/dev/null
        fi
    done
done
