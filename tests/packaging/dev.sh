#!/bin/sh
# SPDX-License-Identifier: MIT
#
# dev.sh CHECKOUT: what ./dev says to whom it cannot help: no verb, a wrong one, a path that is not there, no packages
# and nobody who may install them. It runs in a folder of its own, beside programs of ours in the place of the system's.
set -eu
checkout=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$dir/bin" "$dir/checkout"
cp "$checkout/dev" "$dir/checkout/dev"
cd "$dir"

# says STATUS TEXT COMMAND...: it ends with that status, and says TEXT on either stream.
says()
{
    status=0
    wanted=$1 text=$2
    shift 2
    "$@" >said 2>&1 </dev/null || status=$?
    if [ "$status" -ne "$wanted" ] || ! grep -qF -- "$text" said; then
        echo "dev.sh: $*: status $status, not $wanted, or not \"$text\":" >&2
        cat said >&2
        exit 1
    fi
}

dev=$dir/checkout/dev
says 0 './dev VERB' "$dev"
for verb in demo test check format bench stress mutants coverage budget fuzz symbols docs clean; do
    grep -q "^  $verb\>" said || { echo "dev.sh: ./dev does not name $verb" >&2; exit 1; }
    grep -q "^$verb)\|^$verb " "$checkout/dev" || { echo "dev.sh: ./dev has no $verb" >&2; exit 1; }
done
says 2 './dev VERB' "$dev" tset
# A path is the caller's, not the checkout's; and is looked at before anything is built.
says 2 "$dir/nowhere is not there" "$dev" demo nowhere
says 2 "/no/where is not there" "$dev" demo /no/where

# A system without packages: only what every Debian has.
for tool in cat dirname env grep ls mkdir nproc paste printf rm sed sort tr; do
    ln -s "$(command -v "$tool")" bin/
done
sh=$(command -v sh)
mkdir here
user=1000
fake() # fake NAME: a program that does what comes from standard input
{
    { echo "#!$sh"; cat; } >"bin/$1"
    chmod +x "bin/$1"
}
echo "echo \$FAKE_USER" | fake id
export FAKE_USER=$user
packages='apt-get install --no-install-recommends'
says 1 'this system has no apt-get' env PATH="$dir/bin" "$sh" "$dev" demo here
says 1 "$packages" env PATH="$dir/bin" "$sh" "$dev" demo here
says 1 ninja-build env PATH="$dir/bin" "$sh" "$dev" demo here
echo 'echo "E: Unable to fetch some archives" >&2; exit 100' | fake apt-get
says 1 'installing needs root, and there is no sudo' env PATH="$dir/bin" "$sh" "$dev" demo here
echo 'exit 1' | fake sudo
says 1 'sudo refuses' env PATH="$dir/bin" "$sh" "$dev" demo here
FAKE_USER=0
says 1 'is there a network?' env PATH="$dir/bin" "$sh" "$dev" demo here
says 1 "$packages" env PATH="$dir/bin" "$sh" "$dev" test release
