#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host container
# timeout: 600
# args: @build@
# Everything that is wrong over HTTP, given to a worker without keys and to one with keys.
# On the host: http-bad-input.sh BUILD runs its own workers, in folders and on ports of their own.
set -u
here=$(dirname "$(readlink -f "$0")")
[ -z "${LAB_MODE-}" ] || here=/lab/system
key=correct-horse-battery-staple other=another-key-of-another-program
status=0

digest() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
cases() { # ADDRESS PID [ARGUMENT...]
    local address=$1 pid=$2
    shift 2
    python3 "$here/http-bad-input.py" "$address" --pid "$pid" "$@" || status=1
}
with_keys=(--key "$key" --other-key "$other" keys guarded proxy belong comparing paths values length)

if [ -n "${LAB_MODE-}" ]; then
    . /lab/system/lib.sh
    systemctl start sandboxd@worker1 || fail "start"
    cases 127.0.0.1:5000 "$(systemctl show -P MainPID sandboxd@worker1)"
    mkdir -p /etc/sandboxd/sandboxd.conf.d
    echo "[Auth]
Keys=one:$(digest "$key") two:$(digest "$other")" >/etc/sandboxd/sandboxd.conf.d/50-test.conf
    systemctl restart sandboxd@worker1 || fail "start with keys"
    cases 127.0.0.1:5000 "$(systemctl show -P MainPID sandboxd@worker1)" "${with_keys[@]}"
    exit $status
fi

build=${1:?give the folder of a build}
work=$(mktemp -d /tmp/sandboxd-http.XXXXXX)
# the worker runs as another user, or as this one
chmod 755 "$work"
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
pids=()

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() { # NAME
    local port
    port=$(free_port)
    mkdir -p "$work/$1"
    "$build/src/daemon/sandboxd" --standalone --worker "$1" --state "$work/state" --runtime "$work/$1" \
        --listen "127.0.0.1:$port" >"$work/$1/log" 2>&1 &
    pids+=($!)
    for _ in $(seq 1200); do
        ! grep -q '^ready$' "$work/$1/log" || break
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    grep -q '^ready$' "$work/$1/log" || { cat "$work/$1/log"; echo "the worker does not start"; exit 1; }
    address=127.0.0.1:$port
}

start open
cases "$address" "${pids[0]}"
mkdir "$work/credentials"
printf 'one:%s\ntwo:%s\n' "$(digest "$key")" "$(digest "$other")" >"$work/credentials/api-keys"
export CREDENTIALS_DIRECTORY=$work/credentials
start locked
cases "$address" "${pids[1]}" "${with_keys[@]}"
for i in 0 1; do
    kill -0 "${pids[$i]}" 2>/dev/null || { echo "FAIL a worker has ended"; tail -n 20 "$work"/*/log; status=1; }
done
exit $status
