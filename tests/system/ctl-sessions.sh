#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 400
# sandboxctl against the installed worker: what a person types, what a script relies on.
# shellcheck source=tests/system/ctl-checks.sh
. /lab/system/ctl-checks.sh

systemctl start sandboxd@worker1 || exit 1

check "health finds the worker by itself" sandboxctl health
check "health over TCP" sandboxctl --url http://127.0.0.1:5000 health
check "health in JSON is one document" sh -c 'sandboxctl health --json | python3 -m json.tool'
check "test" sandboxctl test
check "test ends as the guide says" sh -c 'sandboxctl test | tail -n 1 | grep -Eq "^All [0-9]+ tests passed"'
check "test shows the user" sh -c 'sandboxctl test | grep -qx "User: sandboxuser"'
check "test in JSON" sh -c 'sandboxctl test --json | python3 -c "import json, sys; assert json.load(sys.stdin)[\"failed\"] == 0"'
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

checked
