#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host container
# timeout: 900
# takes: 100
# args: @build@
# Everything that is wrong over HTTP, given to each door: a worker over TCP and over its UNIX socket, a coordinator; each
# without keys and with them. In the lab it is the installed worker alone.
# On the host: http-bad-input.sh BUILD runs its own servers, in folders and on ports of their own.
set -u
here=$(dirname "$(readlink -f "$0")")
[ -z "${LAB_MODE-}" ] || here=/lab/system
key=correct-horse-battery-staple other=another-key-of-another-program
status=0

digest() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
cases() { # DOOR ADDRESS PID [ARGUMENT...]
    local door=$1 address=$2 pid=$3
    shift 3
    python3 "$here/http-bad-input.py" --door "$door" "$address" --pid "$pid" "$@" || status=1
}
about_keys=(keys guarded proxy belong comparing paths values length)
with_keys=(--key "$key" --other-key "$other")

if [ -n "${LAB_MODE-}" ]; then
    . /lab/system/lib.sh
    systemctl start sandboxd@worker1 || fail "start"
    cases "worker over TCP" 127.0.0.1:5000 "$(systemctl show -P MainPID sandboxd@worker1)"
    mkdir -p /etc/sandboxd/sandboxd.conf.d
    echo "[Auth]
Keys=one:$(digest "$key") two:$(digest "$other")" >/etc/sandboxd/sandboxd.conf.d/50-test.conf
    systemctl restart sandboxd@worker1 || fail "start with keys"
    cases "worker over TCP, with keys" 127.0.0.1:5000 "$(systemctl show -P MainPID sandboxd@worker1)" \
        "${with_keys[@]}" "${about_keys[@]}"
    exit $status
fi

build=${1:?give the folder of a build}
work=$(mktemp -d /tmp/sandboxd-http.XXXXXX)
# the worker runs as another user, or as this one
chmod 755 "$work"
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
pids=()

ready() { # LOG PATTERN: the program that was started last is ready when its log has the pattern
    for _ in $(seq 1200); do
        ! grep -q "$2" "$1" || return 0
        kill -0 "${pids[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    cat "$1"
    echo "it does not start"
    exit 1
}
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

worker() { # NAME: sets address, socket
    local to
    to=$(port)
    mkdir -p "$work/$1"
    "$build/src/daemon/sandboxd" --standalone --worker "$1" --state "$work/state" --runtime "$work/$1" \
        --listen "127.0.0.1:$to" >"$work/$1/log" 2>&1 &
    pids+=($!)
    ready "$work/$1/log" '^ready$'
    address=127.0.0.1:$to socket=$work/$1/$1.sock
}

coordinator() { # NAME WORKER SETTINGS...: sets coordinated
    local to name=$1
    to=$(port)
    mkdir -p "$work/$name"
    { printf '[Coordinator]\nDiscover=none\nWorkers=http://%s\n' "$2"; shift 2; printf '%s\n' "$@"; } >"$work/$name/conf"
    # its secrets are in its file
    env -u CREDENTIALS_DIRECTORY "$build/src/coord/sandbox-coord" --config "$work/$name/conf" \
        --listen "127.0.0.1:$to" >"$work/$name/log" 2>&1 &
    pids+=($!)
    for _ in $(seq 100); do
        [ "$(curl -s "http://127.0.0.1:$to/health" | jq -r .status)" != healthy ] || break
        sleep 0.1
    done
    coordinated=127.0.0.1:$to
}

worker open
coordinator before-open "$address"
quick=(--except slow) # the rest waits most of the time, so all doors do it at once
cases "worker over TCP" "$address" "${pids[0]}" "${quick[@]}"
cases "worker over UNIX" "$socket" "${pids[0]}" "${quick[@]}"
cases "coordinator" "$coordinated" "${pids[1]}" "${quick[@]}"

mkdir "$work/credentials"
printf 'one:%s\ntwo:%s\nfleet:%s\n' "$(digest "$key")" "$(digest "$other")" "$(digest "key-of-the-fleet")" \
    >"$work/credentials/api-keys"
export CREDENTIALS_DIRECTORY=$work/credentials
mkdir -p "$work/locked"
COORDINATORS=fleet worker locked
coordinator before-locked "$address" "WorkerKey=key-of-the-fleet" "[Auth]" "Keys=one:$(digest "$key")" "  two:$(digest "$other")"
cases "worker over TCP, with keys" "$address" "${pids[2]}" "${with_keys[@]}" "${about_keys[@]}"
cases "worker over UNIX, with keys" "$socket" "${pids[2]}" "${with_keys[@]}" "${about_keys[@]}"
cases "coordinator, with keys" "$coordinated" "${pids[3]}" "${with_keys[@]}" "${about_keys[@]}"

slow=()
for door in "worker over TCP=$address" "worker over UNIX=$socket" "coordinator=$coordinated"; do
    python3 "$here/http-bad-input.py" --door "${door%%=*}, slow clients" "${door#*=}" --key "$key" --other-key "$other" slow &
    slow+=($!)
done
for pid in "${slow[@]}"; do
    wait "$pid" || status=1
done
for i in 0 1 2 3; do
    kill -0 "${pids[$i]}" 2>/dev/null || { echo "FAIL a server has ended"; tail -n 20 "$work"/*/log; status=1; }
done
exit $status
