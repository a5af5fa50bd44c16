#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container vm
# timeout: 400
# sandboxctl against the installed worker: what a person types, what a script relies on.
set -u
export LC_ALL=C.UTF-8
unset SANDBOXD_URL SANDBOXD_SOCKET SANDBOXD_KEY
passed=0 failed=0
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$top/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
        head -n 20 "$top/log" | sed 's/^/    /'
    fi
}

gives() { # STATUS STDOUT COMMAND...
    local status=$1 text=$2
    shift 2
    "$@" >"$top/out" 2>"$top/err" </dev/null
    local got=$?
    [ $got = "$status" ] && [ "$(<"$top/out")" = "$text" ] || {
        echo "status $got, expected $status; stdout and stderr:"
        cat "$top/out" "$top/err"
        return 1
    }
}

tells() { # STATUS PATTERN COMMAND...: on standard error
    local status=$1 pattern=$2
    shift 2
    "$@" >"$top/out" 2>"$top/err" </dev/null
    local got=$?
    [ $got = "$status" ] && grep -q -- "$pattern" "$top/err" || {
        echo "status $got, expected $status and $pattern:"
        cat "$top/err"
        return 1
    }
}

ids() { sandboxctl list -q | sort; }

systemctl start sandboxd@worker1 || exit 1

check "health finds the worker by itself" sandboxctl health
check "health over TCP" sandboxctl --url http://127.0.0.1:5000 health
check "health in JSON is one document" sh -c 'sandboxctl health --json | python3 -m json.tool'
check "test" sandboxctl test
check "test ends as the guide says" sh -c 'sandboxctl test | tail -n 1 | grep -Eq "^All [0-9]+ tests passed"'
check "test shows the user" sh -c 'sandboxctl test | grep -qx "User: sandboxuser"'
check "test in JSON" sh -c 'sandboxctl test --json | python3 -c "import json, sys; assert json.load(sys.stdin)[\"failed\"] == 0"'
[ "${LAB_MODE-}" != vm ] || check "test runs into the limits" sh -c \
    'sandboxctl test >out; grep -qx "Processes: held" out && grep -qx "Memory: held" out'
check "no session is left" gives 0 "" sandboxctl list -q

check "run" gives 0 sandboxuser sandboxctl run -- whoami
check "run passes the status" gives 7 "" sandboxctl run -- sh -c 'exit 7'
check "run passes both streams" gives 0 out sandboxctl run -- sh -c 'echo out; echo err >&2'
check "a signal is 128 and its number" gives 143 "" sandboxctl run -- sh -c 'kill $$'
check "time over is 124" tells 124 'time is over' sandboxctl run --timeout 300ms -- sleep 20
check "no such program is 127" gives 127 "" sandboxctl run -- no-such-program
check "no such session is 125" tells 125 'Not found' sandboxctl exec no-such-session -- true
check "a mistake on the command line is 125 too" tells 125 'Unknown option' sandboxctl run --nonesuch -- true
check "a refusal names field and limit" tells 125 'field memory_limit' sandboxctl run --memory 1k -- true
check "run leaves no session" gives 0 "" sandboxctl list -q

head -c 300000 /dev/urandom >"$top/random"
id=$(sandboxctl create --ttl 10min --memory 128m --pids 32 --cpu 50% --disk 64m --env COLOUR=red --metadata job=x) || failed=$((failed + 1))
check "create prints an id" grep -Eqx '[a-z0-9-]{1,64}' <<<"$id"
check "list has it" gives 0 "$id" sandboxctl list -q
check "completion offers it" gives 0 "$id" bash -c '. /usr/share/bash-completion/completions/sandboxctl
    COMP_WORDS=(sandboxctl show "") COMP_CWORD=2
    _sandboxctl
    echo "${COMPREPLY[@]}"'
check "show" sh -c "sandboxctl show $id | grep -q 'memory 128M'"
check "env of the session" gives 0 red sandboxctl exec "$id" -- sh -c 'echo $COLOUR'
check "env of the command goes first" gives 0 blue sandboxctl exec --env COLOUR=blue "$id" -- sh -c 'echo $COLOUR'
check "cwd" gives 0 /tmp sandboxctl exec "$id" --cwd /tmp -- pwd
check "shell text with parameters" gives 0 "b a" sandboxctl exec "$id" --shell 'echo $2 $1' a b
check "options after the command are the command's" gives 0 "--json" sandboxctl exec "$id" echo --json
check "any bytes go in" sh -c "sandboxctl exec -i $id --shell 'cat > r' < $top/random"
check "any bytes come out" sh -c "sandboxctl exec $id -- cat r | cmp - $top/random"
check "longer output is cut and told" tells 0 'longer than the limit' sandboxctl exec --max-output 1k "$id" -- cat r
check "the result in JSON" sh -c "sandboxctl exec --json $id -- echo hi | python3 -c 'import json, sys; assert json.load(sys.stdin)[\"stdout\"] == \"hi\\n\"'"
check "a name gives the same session" sh -c '[ $(sandboxctl create --key-name n) = $(sandboxctl create --key-name n) ]'
check "kill" sh -c 'sandboxctl kill $(sandboxctl list -q)'
check "kill a second time" tells 1 'Not found\|ended' sandboxctl kill "$id"
check "all gone" gives 0 "" sandboxctl list -q

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
if [ "${LAB_MODE-}" = vm ]; then
    check "one end, when memory runs out" ends_once_without_memory
    check "the reason, when processes run out" ends_without_processes
    check "swap" sh -c 'dd if=/dev/zero of=/swap bs=1M count=192 && chmod 600 /swap && mkswap /swap && swapon /swap'
    check "a pause gives memory back" gives_back
    cat "$top/paused"
    swapoff /swap
fi

for _ in 1 2 3 4 5; do sandboxctl create >>"$top/created"; done
check "list has all" cmp <(sort "$top/created") <(ids)
xargs sandboxctl kill <"$top/created"

# a shell in between would be a second process to signal
sandboxctl run -- sleep 60 >"$top/out" 2>&1 &
pid=$!
for _ in $(seq 100); do [ -n "$(ids)" ] && break; sleep 0.1; done
kill -TERM $pid
wait $pid
status=$?
check "SIGTERM ends run as a signal does" [ $status = 143 ]
check "and its session" gives 0 "" sandboxctl list -q

check "an ordinary user is told about the group" tells 1 'group sandbox' \
    setpriv --reuid nobody --clear-groups sandboxctl --socket /run/sandboxd/worker1.sock health
check "nobody listens" tells 1 'systemctl start' sandboxctl --url http://127.0.0.1:1 health
check "a key of this form works" sh -c 'sandboxctl -q key new ci | tail -n 1 | grep -Eqx "ci:[0-9a-f]{64}"'

echo "$passed passed, $failed failed"
[ $failed = 0 ]
