#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: vm
# timeout: 400
# takes: 90
# What sandboxctl tells of limits, where the machine has them.
# shellcheck source=tests/system/ctl-checks.sh
. /lab/system/ctl-checks.sh

systemctl start sandboxd@worker1 || exit 1

check "test runs into the limits" sh -c \
    'sandboxctl test >out && grep -qx "Processes: held" out && grep -qx "Memory: held" out'

id=$(sandboxctl create --ttl 10min --memory 128m --pids 32 --cpu 50% --disk 64m) || failed=$((failed + 1))
check "a command within all limits" gives 0 sandboxuser sandboxctl exec "$id" -- whoami
check "kill" sandboxctl kill "$id"

# With swap the machine gets back what a session keeps in memory and in files, and the session has it again when asked.
memory_of() { sandboxctl show --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["usage"]["memory"])'; }
gives_back() {
    local id before after=0 end=$((SECONDS + 60))
    id=$(sandboxctl create --memory 256m) &&
        sandboxctl exec "$id" --shell 'head -c 41943040 /dev/urandom >file; sha256sum file >sum' &&
        sandboxctl exec -d "$id" -- python3 -c 'import os, time
held = os.urandom(41943040)
open("held", "w").write("ready")
while not os.path.exists("again"):
    time.sleep(0.1)
open("same", "w").write(str(len(set(held))))' || return
    for _ in $(seq 200); do sandboxctl exec "$id" -- test -s held && break; done
    before=$(memory_of "$id")
    sandboxctl pause "$id" || return
    while [ $SECONDS -lt $end ]; do
        after=$(memory_of "$id")
        [ $((after * 8)) -gt "$before" ] || break
        sleep 0.5
    done
    echo "paused: $((before / 1024)) KiB before, $((after / 1024)) KiB after" | tee "$top/paused"
    [ "$before" -gt 80000000 ] && [ $((after * 8)) -le "$before" ] &&
        sandboxctl exec "$id" --shell 'sha256sum --quiet -c sum && touch again && until [ -s same ]; do sleep 0.1; done' &&
        sandboxctl kill "$id"
}
# Whether the command itself is killed or all that is in the sandbox, its followers hear of one end, and why.
ends_once_without_memory() {
    local id
    id=$(sandboxctl create --memory 64m) || return
    curl -sN --max-time 120 -H 'Accept: text/event-stream' -H 'Content-Type: application/json' \
        -d '{"command":"echo begun; exec python3 -c \"x = bytearray(1 << 30)\""}' \
        "http://127.0.0.1:5000/v1/sessions/$id/exec" >"$top/events"
    cat "$top/events"
    [ "$(grep -c '^event: exit' "$top/events")" = 1 ] && grep -A3 '^event: exit' "$top/events" | grep -q '"reason":"oom"' &&
        grep -q begun "$top/events" && { sandboxctl kill "$id" || true; }
}
# Who asks for more processes than there may be is told that this was it.
ends_without_processes() {
    local id reason
    id=$(sandboxctl create --pids 16) || return
    reason=$(curl -s --max-time 120 "http://127.0.0.1:5000/v1/sessions/$id/exec" \
        -d '{"command":"for i in $(seq 40); do sleep 30 & done; wait"}' | jq -r .reason)
    sandboxctl kill "$id" || return
    [ "$reason" = pids ] || { echo "$reason"; return 1; }
}

check "one end, when memory runs out" ends_once_without_memory
check "the reason, when processes run out" ends_without_processes
check "swap" sh -c 'dd if=/dev/zero of=/swap bs=1M count=192 && chmod 600 /swap && mkswap /swap && swapon /swap'
check "a pause gives memory back" gives_back
cat "$top/paused"
swapoff /swap
check "no session is left" gives 0 "" sandboxctl list -q
checked
