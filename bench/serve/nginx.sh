#!/bin/sh
# SPDX-License-Identifier: MIT
#
# nginx.sh http P: nginx with P workers and the same reply as serve.c's. Its files are in $BENCH_HOME, or here.
set -eu
[ "$1" = http ] || exit 2
PATH=$PATH:/usr/sbin
home=$(realpath "${BENCH_HOME:-.}")/nginx
mkdir -p "$home"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$home/nginx.conf" <<END
worker_processes $2; daemon off; pid $home/pid; error_log /dev/null;
worker_rlimit_nofile $(ulimit -Hn);
events { worker_connections 16384; }
http { access_log off; keepalive_requests 1000000000; server { listen 127.0.0.1:$port backlog=4096;
location / { default_type text/plain; return 200 "Hello, world!\n"; } } }
END
echo "$port"
exec nginx -e /dev/null -p "$home" -c "$home/nginx.conf"
