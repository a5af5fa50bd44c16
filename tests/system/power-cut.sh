#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: vm
# options: --boots 2 --mem 1024
# timeout: 600
# takes: 90
# The machine loses its power with sessions alive, and is started again with the same disk. Then: the clock is set by
# hours in both directions, and a sandbox takes all of the machine's memory.
. /lab/system/lib.sh

if [ ! -e /lab/cut ]; then
    step "the power fails"
    systemctl start sandboxd@worker1 || fail "start"
    for _ in 1 2 3 4 5; do
        id=$(create) || fail "create"
        run_in "$id" 'sleep 1000 >/dev/null 2>&1 &' >/dev/null || fail "exec"
        echo "$id"
    done >/lab/ids
    curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$(tail -n 1 /lab/ids)" || fail "delete"
    until_true 30 cmp -s /run/sandboxd/worker1/sessions /var/lib/sandboxd/worker1/sessions || fail "it is not on the disk"
    touch /lab/cut
    sync
    echo 1 >/proc/sys/kernel/sysrq
    echo b >/proc/sysrq-trigger # at once: nothing is ended, written or unmounted
    sleep 60
    fail "the machine goes on"
fi

step "the next start finds nothing of before"
expect "" "$(systemctl list-units --failed --no-legend)" "failed units"
expect "" "$(remains)"
expect "" "$(find /run/sandboxd -mindepth 1 ! -name worker1.sock 2>/dev/null)" "sockets and files"
systemctl start sandboxd@worker1 || fail "start"
last=$(tail -n 1 /lab/ids)
while read -r id; do
    reason=lost
    [ "$id" != "$last" ] || reason=deleted
    expect "410 $reason" "$(curl -sS -o /lab/answer -w '%{http_code} ' "$WORKER_URL/v1/sessions/$id"; jq -r .reason /lab/answer)"
done </lab/ids
until_true 60 eval '[ "$(health pool_ready)" = "$(health pool_size)" ]' || fail "the pool"
id=$(create) || fail "create"
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)"

step "the clock is set by hours"
seconds() { cut -d . -f 1 /proc/uptime; }
for change in '+3 hours' '-5 hours' '+2 hours'; do
    begin=$(seconds)
    ( sleep 1; date -s "$change" >/dev/null ) &
    expect 0 "$(run_in "$id" 'sleep 4' | jq -r .exit_code)" "a command while $change"
    took=$(($(seconds) - begin))
    [ $took -ge 3 ] && [ $took -le 15 ] || fail "a command of 4 s took $took s while $change"
    wait
    expect running "$(get "/v1/sessions/$id" | jq -r .state)" "the session after $change"
done
short=$(create '{"timeout":20}')
date -s '+1 hour' >/dev/null
expect running "$(get "/v1/sessions/$short" | jq -r .state)" "a session of 20 s, an hour later by the clock"

step "who is killed first"
worker=$(systemctl show -P MainPID sandboxd@worker1) spawner=$(systemctl show -P MainPID sandboxd-spawner@worker1)
score() { cat "/proc/$1/oom_score_adj"; }
box=$(cat "$(dirname "$(find /sys/fs/cgroup/sandboxd.slice -path '*/slot-*' -name cgroup.procs | head -n 1)")"/cgroup.procs | head -n 1)
[ "$(score "$worker")" -lt "$(score "$spawner")" ] && [ "$(score "$spawner")" -lt "$(score "$box")" ] ||
    fail "oom_score_adj of worker, spawner, sandbox: $(score "$worker") $(score "$spawner") $(score "$box")"
expect continue "$(systemctl show -P OOMPolicy sandboxd-spawner@worker1)" OOMPolicy

step "a sandbox takes all memory of the machine"
big=$(create '{"memory_limit":"8g"}') || fail "create"
post "/v1/sessions/$big/exec" \
    '{"command":"exec python3 -c \"a = []\nwhile True: a.append(b\\\"x\\\" * (16 << 20))\"","timeout":120}' >/lab/answer ||
    fail "the command is not answered"
jq -c '{exit_code, signal, reason}' /lab/answer
expect "$worker" "$(systemctl show -P MainPID sandboxd@worker1)" "the worker's process"
expect "$spawner" "$(systemctl show -P MainPID sandboxd-spawner@worker1)" "the spawner's process"
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" "another session"
expect oom "$(jq -r .reason /lab/answer)" "the reason of its end"
! journalctl -k -b | grep -E 'Out of memory: Killed process [0-9]+ \((sandboxd|systemd)' || fail "a wrong one was killed"
