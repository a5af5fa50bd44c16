# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# For tests that a worker of their own is enough for: worker_run PROGRAM BUILD [ARGUMENT...] runs the python program
# with ADDRESS, PID and the arguments, in the lab on the worker of the packages, else on one of BUILD, and there the tests
# of $through_coordinator once more through a coordinator.

worker='' coordinator=''

free_port() { python3 "$(dirname "${BASH_SOURCE[0]}")/free_port.py"; }

# in worker_run
worker_run_coordinator() {
    local there names
    there=$(free_port)
    read -ra names <<<"$through_coordinator"
    ( cd "$work" && WORKERS=http://127.0.0.1:$port PORT=$there exec "$build/src/coord/sandbox-coord" ) >"$work/coord" 2>&1 &
    coordinator=$!
    for _ in $(seq 1200); do
        ! curl -sf "http://127.0.0.1:$there/health" >/dev/null || break
        kill -0 $coordinator 2>/dev/null || break
        sleep 0.1
    done
    echo "-- through a coordinator"
    python3 "$program" "127.0.0.1:$there" "$worker" "${names[@]}" || { tail "$work/coord"; return 1; }
}

worker_run() {
    local program=$1 build=${2-} status
    if [ -n "${LAB_MODE-}" ]; then
        # shellcheck source=tests/system/lib.sh
        . /lab/system/lib.sh
        systemctl start sandboxd@worker1 || fail "start"
        python3 "$program" 127.0.0.1:5000 "$(systemctl show -P MainPID sandboxd@worker1)" "${@:3}"
        return
    fi
    : "${build:?give the folder of a build}"
    work=$(mktemp -d /tmp/sandboxd-run.XXXXXX)
    chmod 755 "$work"
    : >"$work/log"
    port=$(free_port)
    "$build/src/daemon/sandboxd" --standalone --worker "run$$" --state "$work/state" --runtime "$work/run" \
        --listen "127.0.0.1:$port" >"$work/log" 2>&1 &
    worker=$!
    trap 'kill $worker $coordinator 2>/dev/null; wait; rm -rf "$work"' EXIT
    for _ in $(seq 1200); do
        ! grep -q '^ready$' "$work/log" || break
        kill -0 $worker 2>/dev/null || break
        sleep 0.1
    done
    grep -q '^ready$' "$work/log" || { cat "$work/log"; echo "the worker does not start"; return 1; }
    python3 "$program" "127.0.0.1:$port" $worker "${@:3}"
    status=$?
    # shellcheck disable=SC2154
    [ $status != 0 ] || [ $# -gt 2 ] || [ -z "$through_coordinator" ] || worker_run_coordinator || status=1
    kill -0 $worker || { tail "$work/log"; echo "the worker has ended"; status=1; }
    return $status
}
