#!/bin/sh
# SPDX-License-Identifier: MIT
#
# packaging.sh WAY: build consumer.c against runnel in one of the ways that README.md gives, and run
# it. The environment says where things are; see CMakeLists.txt.
set -eu
: "$SOURCE" "$BUILD" "$WORK" "$CMAKE" "$GENERATOR" "$CC" "$LIBDIR" "${PARTS-}"
way=$1
here=$SOURCE/tests/packaging
prefix=$WORK/prefix
dir=$WORK/$way
rm -rf "$dir"
mkdir -p "$dir"
export CC

# The consumer must run, and with the library that was meant.
expect()
{
    echo "$*"
    got=$("$@")
    if [ "$got" != "sum 45" ]; then
        echo "packaging.sh: expected 'sum 45', got '$got'" >&2
        exit 1
    fi
}

# consumer_project NAME: the project in that directory, as a user would have it.
consumer_project()
{
    cp -r "$here/$1/CMakeLists.txt" "$here/consumer.c" "$dir"
    shift
    "$CMAKE" -G "$GENERATOR" -S "$dir" -B "$dir/build" "$@"
    # Without the optional parts, which the checkout's own build has made.
    "$CMAKE" --build "$dir/build" -j 2 --target consumer consumer_static
    expect "$dir/build/consumer"
    expect "$dir/build/consumer_static"
}

case $way in
install)
    rm -rf "$WORK"
    mkdir -p "$WORK"
    "$CMAKE" --install "$BUILD" --prefix "$prefix"
    for file in include/runnel.h include/runnel/base.h "$LIBDIR/librunnel.so.0" \
        "$LIBDIR/librunnel.a" "$LIBDIR/pkgconfig/runnel.pc" \
        "$LIBDIR/cmake/runnel/runnel-config.cmake"; do
        [ -e "$prefix/$file" ] || { echo "packaging.sh: not installed: $file" >&2; exit 1; }
    done
    # What gdb loads by itself is found by the place of the library, wherever that is.
    library=$(readlink -f "$prefix/$LIBDIR/librunnel.so.0")
    [ -e "$prefix/share/gdb/auto-load$library-gdb.py" ] || {
        echo "packaging.sh: no script for gdb of $library:" >&2
        find "$prefix/share" >&2
        exit 1
    }
    [ ! -e "$BUILD/tools/rntop" ] || "$prefix/bin/rntop" -h >/dev/null
    ;;
find_package)
    consumer_project find_package -DCMAKE_PREFIX_PATH="$prefix"
    ;;
add_subdirectory)
    consumer_project add_subdirectory -DRUNNEL_SOURCE="$SOURCE"
    ;;
fetch_content)
    consumer_project fetch_content -DFETCHCONTENT_FULLY_DISCONNECTED=ON \
        -DFETCHCONTENT_SOURCE_DIR_RUNNEL="$SOURCE"
    ;;
pkg_config)
    command -v pkg-config >/dev/null || { echo "packaging.sh: no pkg-config" >&2; exit 1; }
    PKG_CONFIG_PATH=$prefix/$LIBDIR/pkgconfig
    export PKG_CONFIG_PATH
    version=$(sed -n 's/^#define RN_VERSION_M[AI][JN]OR //p' "$SOURCE/include/runnel/base.h" |
        paste -sd. -)
    pkg-config --exact-version="$(pkg-config --modversion runnel)" runnel
    pkg-config --atleast-version="$version" runnel
    hint=$(pkg-config --variable=cflags_hint runnel)
    # These are lists of flags, meant to be split.
    # shellcheck disable=SC2046,SC2086
    "$CC" $hint $(pkg-config --cflags runnel) "$here/consumer.c" -o "$dir/shared" \
        $(pkg-config --libs runnel) -Wl,-rpath,"$prefix/$LIBDIR"
    expect "$dir/shared"
    # shellcheck disable=SC2046,SC2086
    "$CC" $hint $(pkg-config --cflags runnel) "$here/consumer.c" -o "$dir/static" \
        -static $(pkg-config --static --libs runnel)
    expect "$dir/static"
    # Each optional part: its header alone, and a program linked with it.
    for pair in ${PARTS-}; do
        part=${pair%:*}
        cp "$here/consumer.c" "$dir/$part.c"
        echo "#include <runnel/${pair#*:}.h>" >>"$dir/$part.c"
        # shellcheck disable=SC2046
        "$CC" $(pkg-config --cflags "runnel-$part") "$dir/$part.c" -o "$dir/$part" \
            -Wl,--no-as-needed $(pkg-config --libs "runnel-$part" runnel) \
            -Wl,-rpath,"$prefix/$LIBDIR"
        expect "$dir/$part"
    done
    ;;
readme)
    # The program of README.md is its first ```c block, and the lines it prints the first ```text
    # block; the command that builds it stands below.
    awk '/^```c$/ { on = 1; next } /^```/ { if (on) exit } on' "$SOURCE/README.md" >"$dir/hello.c"
    awk '/^```text$/ { on = 1; next } /^```/ { if (on) exit } on' "$SOURCE/README.md" >"$dir/expected"
    [ -s "$dir/hello.c" ] && [ -s "$dir/expected" ]
    "$CC" -std=c11 -Wall -Wextra -Wshadow -Wconversion -Wpedantic -Werror -I"$prefix/include" \
        "$dir/hello.c" -o "$dir/hello" -L"$prefix/$LIBDIR" -lrunnel -Wl,-rpath,"$prefix/$LIBDIR"
    "$dir/hello" >"$dir/got"
    diff "$dir/expected" "$dir/got"
    # The other pieces of C in the documents compile as they stand, between declarations of the names that they use.
    pieces=0
    for document in README.md docs/debugging.md; do
        rm -f "$dir"/piece*
        awk -v to="$dir/piece" '/^```c$/ { on = 1; n++; next } /^```/ { on = 0 } on { print >(to n) }' "$SOURCE/$document"
        for piece in "$dir"/piece*; do
            [ -e "$piece" ] || continue
            grep -q '^int main' "$piece" && continue
            pieces=$((pieces + 1))
            {
                printf '%s\n' '#include <assert.h>' '#include <stdio.h>'
                for header in runnel.h runnel/debugpage.h runnel/dns.h runnel/http.h runnel/httpd.h runnel/tls.h; do
                    echo "#include <$header>"
                done
                # Includes and functions first, then what stands in a function.
                awk '/^#include|^static/ { top = 1 } top { print } /^}|^#include/ { top = 0 }' "$piece"
                echo 'int use(rn_ctx *ctx, rn_httpd *h, rn_listener *listener);'
                echo 'int use(rn_ctx *ctx, rn_httpd *h, rn_listener *listener)'
                echo '{ int err = 0; ssize_t n = 0; char buf[100]; rn_tls *t; rn_http_response *response;'
                echo '(void)ctx, (void)h, (void)listener, (void)t, (void)response, (void)err, (void)n, (void)buf;'
                awk '/^#include|^static/ { top = 1 } !top { print } /^}|^#include/ { top = 0 }' "$piece"
                echo 'return 0; }'
            } >"$piece.c"
            "$CC" -std=c11 -Wall -Wextra -Wconversion -Wpedantic -Werror -Wno-unused-but-set-variable \
                -Wno-unused-variable -Wno-unused-function -I"$SOURCE/include" -fsyntax-only "$piece.c" || {
                echo "packaging.sh: not in C: $document, ${piece##*/}" >&2
                exit 1
            }
        done
    done
    echo "$pieces pieces of documents"
    [ "$pieces" -gt 0 ]
    ;;
linking)
    # D1, D3: each compiler, whichever made the library, each kind of code, and calls bound at once or lazily: rn_go captures
    # its arguments in all of them.
    ways=0
    for compiler in gcc gcc-13 gcc-14 clang clang-16 clang-19 clang-20 clang-21; do
        command -v "$compiler" >/dev/null || continue
        for code in "-fno-pie -no-pie" "-fPIE -pie" "-fPIC -pie"; do
            for bind in lazy now; do
                ways=$((ways + 1))
                # shellcheck disable=SC2086
                "$compiler" -O2 $code -Wl,-z,$bind -I"$prefix/include" "$SOURCE/examples/tour.c" \
                    -o "$dir/tour" -L"$prefix/$LIBDIR" -lrunnel -Wl,-rpath,"$prefix/$LIBDIR"
                "$dir/tour" >"$dir/got" || { echo "packaging.sh: $compiler $code $bind: status $?" >&2; exit 1; }
                diff "$SOURCE/examples/expected/tour.txt" "$dir/got"
            done
        done
    done
    echo "$ways ways"
    [ "$ways" -gt 0 ]
    ;;
headers)
    # D3, D10, D26, D37: what the headers must not have, and what must be said although they are a system's.
    for header in "$prefix/include/runnel.h" "$prefix"/include/runnel/*.h; do
        if grep -nw '_Thread_local\|thread_local\|__thread' "$header"; then
            echo "packaging.sh: $header has a thread-local" >&2
            exit 1
        fi
    done
    echo '#include <runnel.h>' >"$dir/all.c"
    if "$CC" -M -I"$prefix/include" "$dir/all.c" | grep stdatomic; then
        echo "packaging.sh: <runnel.h> includes <stdatomic.h>" >&2
        exit 1
    fi
    # A case of rn_select_named that the switch forgets.
    cat >"$dir/forgets.c" <<END
#include <runnel.h>
int wait_for(rn_chan(int) ch);
int wait_for(rn_chan(int) ch)
{
    int value;

    switch (rn_select_named(VALUE, rn_on_recv(ch, &value), TIMEOUT, rn_on_timeout(1))) {
    case VALUE:
        return value;
#ifdef WHOLE
    case TIMEOUT:
        break;
#endif
    }
    return 0;
}
END
    echo 'void call(void *record, void (*fn)(int));
void call(void *record, void (*fn)(int)) { __builtin_call_with_static_chain(fn(1), record); }' >"$dir/chain.c"
    tried=0
    for compiler in gcc gcc-13 gcc-14 clang clang-14 clang-16 clang-19 clang-20 clang-21; do
        command -v "$compiler" >/dev/null || continue
        tried=$((tried + 1))
        set -- "$compiler" -std=c11 -Wswitch -Werror -isystem "$prefix/include" -c -o /dev/null "$dir/forgets.c"
        "$@" -DWHOLE
        if LC_ALL=C "$@" 2>"$dir/said"; then
            echo "packaging.sh: $compiler does not see the forgotten case" >&2
            exit 1
        fi
        grep -q TIMEOUT "$dir/said" || { cat "$dir/said" >&2; exit 1; }
        # The header's way in is that of the register in which this compiler passes the record.
        set -- "$compiler" --target=aarch64-linux-gnu -ffreestanding -O2 -I"$prefix/include" -x c
        if "$@" -S -o "$dir/chain.s" "$dir/chain.c" 2>/dev/null; then
            register=$(sed -n 's/^[[:space:]]*mov[[:space:]]*\(x1[58]\), x0.*/\1/p' "$dir/chain.s")
            echo '#include <runnel/call.h>
RN__CAPTURE_AT' >"$dir/way.c"
            way=$("$@" -E -P "$dir/way.c" | tail -n 1)
            case $register:$way in
            x18:rn__capture_at | x15:rn__capture_x15_at) ;;
            *)
                echo "packaging.sh: $compiler passes the record in '$register', the header takes $way" >&2
                exit 1
                ;;
            esac
        fi
        # Flags under which a captured call cannot work; not every compiler knows them, or the architecture.
        for flag in "shadow-call-stack:reserves a register" "kcfi:function's type"; do
            set -- "$compiler" --target=aarch64-linux-gnu -ffixed-x18 -ffreestanding -fsyntax-only \
                -I"$prefix/include" -x c
            "$@" "-fsanitize=${flag%%:*}" /dev/null 2>/dev/null || continue
            "$@" "$prefix/include/runnel/call.h"
            if LC_ALL=C "$@" "-fsanitize=${flag%%:*}" "$prefix/include/runnel/call.h" 2>"$dir/said"; then
                echo "packaging.sh: $compiler -fsanitize=${flag%%:*} is let through" >&2
                exit 1
            fi
            grep -q "${flag#*:}" "$dir/said" || { cat "$dir/said" >&2; exit 1; }
        done
    done
    [ "$tried" -gt 0 ]
    ;;
*)
    echo "packaging.sh: unknown way: $way" >&2
    exit 2
    ;;
esac
