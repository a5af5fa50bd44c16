#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host container
# timeout: 300
# takes: 60
# args: @build@
# Interpreters that keep their state: what they tell, how they end, and code that talks to the worker in their place.
# On the host: contexts.sh BUILD [TEST...] runs a worker of its own.
set -u
here=$(dirname "$(readlink -f "$0")")
[ -z "${LAB_MODE-}" ] || here=/lab/system

if [ -n "${LAB_MODE-}" ]; then
    . /lab/system/lib.sh
    systemctl start sandboxd@worker1 || fail "start"
    exec python3 "$here/contexts.py" 127.0.0.1:5000 "$(systemctl show -P MainPID sandboxd@worker1)"
fi

build=${1:?give the folder of a build}
shift
work=$(mktemp -d /tmp/sandboxd-contexts.XXXXXX)
chmod 755 "$work"
worker=
trap '[ -z "$worker" ] || kill "$worker" 2>/dev/null; wait; rm -rf "$work"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$build/src/daemon/sandboxd" --standalone --worker test --state "$work/state" --runtime "$work/run" \
    --listen "127.0.0.1:$port" >"$work/log" 2>&1 &
worker=$!
for _ in $(seq 1200); do
    ! grep -q '^ready$' "$work/log" || break
    kill -0 $worker 2>/dev/null || break
    sleep 0.1
done
grep -q '^ready$' "$work/log" || { cat "$work/log"; echo "the worker does not start"; exit 1; }
python3 "$here/contexts.py" "127.0.0.1:$port" $worker "$@"
status=$?
kill -0 $worker || { tail "$work/log"; echo "the worker has ended"; status=1; }
exit $status
