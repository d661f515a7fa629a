#!/bin/sh
# SPDX-License-Identifier: MIT
#
# gdb.sh GDB PROGRAM SOURCE LIBRARY-DIR OPTIMISED: goroutines in gdb, with the script that gdb loads by itself from the
# library's folder: in a process, in a core file that "goroutine core" makes, and in one of the kernel's. OPTIMISED is PROGRAM
# compiled as it is released. Exit status 77: gdb cannot trace here.
set -eu
gdb=$1
program=$2
source=$3
libdir=$4
optimised=$5
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
line() { grep -n "$1" "$source" | sed -n '1s/:.*//p'; }
reader_line=$(line "gdb.sh: reader waits")
locker_line=$(line "gdb.sh: locker waits")
bad=0

run_gdb()
{
    timeout 100 "$gdb" -q -nx -batch -iex "add-auto-load-safe-path $libdir" -iex "set width 0" -iex "set confirm off" \
        -iex "set debuginfod enabled off" "$@" >"$dir/said" 2>&1 </dev/null || true
}
# A goroutine that has not run is run all the same if main is off its CPU for long just before the breakpoint.
run_with_unborn()
{
    for _ in 1 2 3 4 5; do
        run_gdb "$@"
        ! grep -q "\"unborn\"" "$dir/said" || break
    done
}
expect()
{
    if ! grep -q -- "$1" "$dir/said"; then
        echo "gdb.sh: $what: nothing like: $1" >&2
        bad=1
    fi
}
expect_not()
{
    if grep -q -- "$1" "$dir/said"; then
        echo "gdb.sh: $what: unexpected: $1" >&2
        bad=1
    fi
}

# The same in all three: what a parked goroutine is and where, its frames, its locals.
look="-ex|info goroutines|-ex|echo ---- all\\n|-ex|goroutine all bt|-ex|echo ---- locals\\n"
look="$look|-ex|goroutine reader frame apply all -q -s info locals|-ex|echo ---- own\\n|-ex|bt -1"
check_parked()
{
    expect "^ *[0-9]* \"reader\" \[chan receive\] deep at .*parked\.c:$reader_line\$"
    expect "^ *[0-9]* {wants=\"the mutex\"} \[sync\.Mutex\.Lock\] locker at .*parked\.c:$locker_line\$"
    expect "\"spinner\" \[running\] thread [0-9]"
    expect "^#[0-9]* .* in deep (depth=0) at .*parked\.c:$reader_line\$"
    expect "^#[0-9]* .* in deep (depth=3) at .*parked\.c:"
    expect "^#[0-9]* .* in reader (depth=3) at "
    expect "^#[0-9]* .* in locker () at .*parked\.c:$locker_line\$"
    expect "spinner () at "
    expect "^local_of_deep = 7\$"
    expect "^local_of_deep = 307\$"
    expect_not "Python Exception"
    expect_not "corrupt stack"
    [ "$bad" -eq 0 ] || { cat "$dir/said" >&2; exit 1; }
}

what="live process"
(
    IFS='|'
    # $look is a list, split at the bars.
    # shellcheck disable=SC2086
    run_with_unborn -ex "break all_are_there" -ex run $look -ex "goroutine core $dir/core.gdb" "$program"
)
if grep -q "ptrace: Operation not permitted\|Could not trace the inferior" "$dir/said"; then
    echo "gdb.sh: gdb may not trace here" >&2
    exit 77
fi
expect "Breakpoint 1, all_are_there () at "
expect "\"unborn\" {request=\"7\"} \[runnable\] never at "
expect "^Saved corefile .* with the stacks of goroutines\$"
check_parked

# Calls that are inlined, of the library's headers and of the program's own functions: the line is the program's.
what="optimised program"
run_gdb -ex "break all_are_there" -ex run -ex "info goroutines" "$optimised"
expect "^ *[0-9]* \"reader\" \[chan receive\] deep at .*parked\.c:$reader_line\$"
expect "^ *[0-9]* {wants=\"the mutex\"} \[sync\.Mutex\.Lock\] locker at .*parked\.c:$locker_line\$"
expect_not "Python Exception"
[ "$bad" -eq 0 ] || { cat "$dir/said" >&2; exit 1; }

what="no process"
run_gdb -ex "info goroutines" -ex "break all_are_there" -ex run -ex kill -ex "echo ---- killed\\n" -ex "info goroutines" \
    -ex "goroutine all bt" -ex "goroutine core $dir/core.none" "$program"
if [ "$(sed -n '/---- killed/,$p' "$dir/said" | grep -c "^runnel: there is no process\$")" -ne 3 ]; then
    echo "gdb.sh: $what: not said three times" >&2
    bad=1
fi
expect_not "Python"
[ "$bad" -eq 0 ] || { cat "$dir/said" >&2; exit 1; }

# The library as it is installed: without debug information and symbols. The program says what it can.
what="stripped library"
mkdir "$dir/lib"
cp -L "$libdir/librunnel.so.0" "$dir/lib/"
for script in "$libdir"/librunnel.so.*-gdb.py; do
    cp "$script" "$dir/lib/librunnel.so.0-gdb.py"
done
if strip "$dir/lib/librunnel.so.0" 2>/dev/null; then
    (
        IFS='|'
        # shellcheck disable=SC2086
        run_with_unborn -iex "add-auto-load-safe-path $dir/lib" -ex "set environment LD_LIBRARY_PATH $dir/lib" \
            -ex "break all_are_there" -ex run -ex "info sharedlibrary librunnel" $look "$program"
    )
    expect "(\*).*$dir/lib/librunnel.so.0\$"
    expect "\"unborn\" {request=\"7\"} \[runnable\] never at "
    check_parked
fi

what="core of gdb's"
(
    IFS='|'
    # shellcheck disable=SC2086
    run_gdb $look "$program" "$dir/core.gdb"
)
check_parked
rm -f "$dir/core.gdb"

what="core of the kernel's"
case $(cat /proc/sys/kernel/core_pattern) in
core) ;;
*) echo "gdb.sh: core files are taken by somebody else; that part is left out"; exit 0 ;;
esac
(cd "$dir" && ulimit -c unlimited && "$program" abort) >"$dir/said" 2>&1 || true
core=$(ls "$dir"/core* 2>/dev/null | head -n 1)
[ -n "$core" ] || { echo "gdb.sh: no core file here; that part is left out"; exit 0; }
(
    IFS='|'
    # shellcheck disable=SC2086
    run_gdb $look "$program" "$core"
)
expect "Program terminated with signal SIGABRT"
check_parked
