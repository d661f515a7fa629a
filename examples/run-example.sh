#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run-example.sh EXPECTED PROGRAM [ARGUMENT...]
#
# Runs the program and fails unless its standard output equals the file EXPECTED, its standard error
# is empty, and its exit status is 0.

expected=$1
shift

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

"$@" </dev/null >"$dir/out" 2>"$dir/err"
status=$?
result=0

if [ "$status" -ne 0 ]; then
    echo "exit status $status, expected 0"
    result=1
fi
if ! diff -u --label expected --label actual "$expected" "$dir/out"; then
    result=1
fi
if [ -s "$dir/err" ]; then
    echo "standard error, expected to be empty:"
    cat "$dir/err"
    result=1
fi
exit $result
