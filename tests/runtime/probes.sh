#!/bin/sh
# SPDX-License-Identifier: MIT
#
# probes.sh READELF GDB PROGRAM LIBRARY: the static probes. The library's notes list each with its arguments; and gdb,
# which stops at them, sees what the program counted, with the values it should. GDB may be empty. Exit status 77: gdb
# cannot trace here, and the notes are as they should be.
set -eu
readelf=$1
gdb=$2
program=$3
library=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
bad=0
wrong() { echo "probes.sh: $*" >&2; bad=1; }

# ---- What the file says: provider, name, number of arguments of 8 bytes ----
"$readelf" -n "$library" | awk '
    /Provider:/ { provider = $2 } /Name:/ { name = $2 }
    /Arguments:/ { n = 0; for (i = 2; i <= NF; i++) n += $i ~ /^8@/; print provider, name, n }' |
    sort -u >"$dir/is"
cat >"$dir/expected" <<'END'
runnel block 2
runnel chan_close 3
runnel chan_recv 3
runnel chan_send 3
runnel end 1
runnel handoff 2
runnel park 3
runnel ready 2
runnel run 1
runnel spawn 3
runnel steal 3
runnel unblock 2
runnel yield 1
END
diff "$dir/expected" "$dir/is" >&2 || wrong "the notes of $library are not those (<: expected)"
[ "$bad" -eq 0 ] || exit 1
[ -n "$gdb" ] || { echo "probes.sh: no gdb; that part is left out"; exit 0; }

# ---- What happens: a line for each probe that is passed ----
# watch [ARG]: run the program so, with $stops.
watch()
{
    {
        echo "set width 0"
        echo "set confirm off"
        echo "set debuginfod enabled off"
        echo "set breakpoint pending on"
        echo "set auto-load python-scripts off"
        for stop in $stops; do
            echo "break -probe-stap runnel:$stop"
            echo "commands"
            echo "silent"
            case $stop in # '\n' is gdb's to read
            spawn) printf '%s\n' 'printf "spawn of %d by %d: ", $_probe_arg0, $_probe_arg2' \
                       'output/a $_probe_arg1' 'echo \n' ;;
            park) printf '%s\n' 'printf "park of %d: %s\n", $_probe_arg0, (char *)$_probe_arg1' ;;
            ready) printf '%s\n' 'printf "ready of %d by %d\n", $_probe_arg0, $_probe_arg1' ;;
            chan_*) printf '%s\n' "printf \"$stop %d of %d\\n\", \$_probe_arg1, \$_probe_arg2" ;;
            *) printf '%s\n' "printf \"$stop %d\\n\", \$_probe_arg0" ;;
            esac
            echo "continue"
            echo "end"
        done
        echo "run $*"
    } >"$dir/commands"
    timeout 100 "$gdb" -q -nx -batch -x "$dir/commands" "$program" >"$dir/said" 2>&1 </dev/null || true
    if grep -q "ptrace: Operation not permitted\|Could not trace the inferior" "$dir/said"; then
        echo "probes.sh: gdb may not trace here" >&2
        exit 77
    fi
    grep -q "^counted: " "$dir/said" || { cat "$dir/said" >&2; wrong "the program did not end as it should"; exit 1; }
}
passed() { grep -c "^$1" "$dir/said" || true; }
counted() { sed -n "s/^counted:.* $1 \([0-9]*\).*/\1/p" "$dir/said"; }
# is WHAT NUMBER NUMBER
is() { [ "$2" -eq "$3" ] || wrong "$1: $2, expected $3"; }

stops="spawn park ready yield run end chan_send chan_recv chan_close"
watch
grep "^[a-z_]* .*[0-9]" "$dir/said" >"$dir/events"
is "parks" "$(passed 'park of')" "$(counted parks)"
is "readies" "$(passed 'ready of')" "$(counted readies)"
is "spawned" "$(passed 'spawn of')" "$(counted spawned)"
is "spawned" "$(passed 'spawn of')" 2
is "the adder" "$(passed 'spawn of 2 by 1: .*<adder>')" 1
is "chan_send" "$(passed 'chan_send')" 4
is "chan_recv" "$(passed 'chan_recv')" 5
is "chan_close" "$(passed 'chan_close [01] of 1')" 1
[ "$(passed 'yield 1')" -ge 1 ] || wrong "no yield" # more if gdb keeps it for so long that its time is over
is "ends" "$(passed 'end [12]')" 2
waits=$(passed 'park of 1: sync.WaitGroup.Wait')
[ "$waits" -eq 1 ] || [ "$(passed 'yield 1')" -gt 1 ] || wrong "the wait: $waits, expected 1" # or the adder came first
is "who woke the first" "$(passed 'ready of 1 by 2')" "$(passed 'park of 1: ')"
awk '/^park of/ { sub(":", "", $3); parked[$3]++ }
    /^ready of/ && parked[$3]-- != 1 { print "woken without a wait: " $0; exit 1 }' "$dir/events" >&2 || bad=1
grep -q "^run 1$" "$dir/events" && grep -q "^run 2$" "$dir/events" || wrong "no run of 1 and 2"

stops="steal handoff"
watch many
[ "$(passed steal)" -ge "$(counted steals)" ] || wrong "steals: $(passed steal), counted $(counted steals)"
[ "$(passed handoff)" -ge "$(counted handoffs)" ] || wrong "handoffs: $(passed handoff), counted $(counted handoffs)"
[ "$(counted steals)" -ge 1 ] && [ "$(counted handoffs)" -ge 1 ] || wrong "the program does not do what it should"

[ "$bad" -eq 0 ] || { cat "$dir/said" >&2; exit 1; }
