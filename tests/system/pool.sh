#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# newer: yes
# timeout: 240
# The pool under demand, and what the journal says of it, of sessions and of commands, and what it must not say.
. /lab/system/lib.sh

# newest MESSAGE_ID FIELD=VALUE...: entry, JSON
newest() {
    local id=$1
    shift
    journalctl -q -b -n 1 -o json "MESSAGE_ID=$id" "$@"
}
there_is() { [ -n "$(newest "$@")" ]; }
# entry MESSAGE_ID FIELD=VALUE...: the newest; waits for it, since the log comes after the answer
entry() {
    until_true 10 there_is "$@" || fail "no entry $*"
    newest "$@"
}
# fields JSON NAME...: their values in a line
fields() {
    local json=$1
    shift
    jq -r '[.[$ARGS.positional[]] // "-"] | join(" ")' --args "$@" <<<"$json"
}
created=8f7c5b70f9374d56a54f8fd3e4987683 ended=7ad054a49fa641a688fe666be933e5aa executed=91c72538e6f9442daa7078972abebfa7
empty=229f712cc36740b8a7992567ae181694 died=b0dc5fc4165d43ec84e387706b075ca4
members() { # pids of process 1 of the sandboxes
    local pid host
    host=$(readlink /proc/1/ns/pid)
    for pid in $(cat $(find /sys/fs/cgroup/sandboxd.slice/sandboxd-spawner@worker1.service -path '*/slot-*' -name cgroup.procs)); do
        [ "$(cat "/proc/$pid/comm")" != sandbox-init ] || [ "$(readlink "/proc/$pid/ns/pid")" = "$host" ] || echo "$pid"
    done 2>/dev/null
}

systemctl start sandboxd@worker1 || fail "start"
until_true 20 eval '[ "$(health pool_ready)" = 5 ]' || fail "the pool is not filled"

step "a session in the journal"
id=$(curl -sS -f -H 'X-Request-Id: asked-create' -d '{"metadata":{"m":"hidden-metadata"},"env":{"E":"hidden-env"}}' \
    "$WORKER_URL/v1/sessions" | jq -r .session_id)
expect "$id worker1 asked-create" "$(fields "$(entry $created SESSION_ID="$id")" SESSION_ID WORKER_ID REQUEST_ID)" "creation"
answer=$(curl -sS -f -H 'X-Request-Id: asked-exec' -d '{"command":"cat; echo hidden-output; exit 3","stdin":"hidden-stdin"}' \
    "$WORKER_URL/v1/sessions/$id/exec")
expect 3 "$(jq .exit_code <<<"$answer")"
exec=$(jq -r .exec_id <<<"$answer")
expect "$id worker1 asked-exec exited 3" \
    "$(fields "$(entry $executed EXEC_ID="$exec")" SESSION_ID WORKER_ID REQUEST_ID REASON EXIT_CODE)" "a command"
exec=$(post "/v1/sessions/$id/exec" '{"command":"sleep 100","timeout":0.2}' | jq -r .exec_id)
expect "$id timeout" "$(fields "$(entry $executed EXEC_ID="$exec")" SESSION_ID REASON)" "a command whose time is over"
curl -sS -f -T - "$WORKER_URL/v1/sessions/$id/files?path=f" <<<hidden-file >/dev/null || fail "a file"
curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$id" || fail "delete"
expect "$id worker1 deleted" "$(fields "$(entry $ended SESSION_ID="$id")" SESSION_ID WORKER_ID REASON)" "its end"
short=$(create '{"timeout":1}')
expect "expired" "$(fields "$(entry $ended SESSION_ID="$short")" REASON)" "an end by itself"
! journalctl -q -b -o json --all | grep hidden- || fail "payload in the journal"

step "a member that dies is replaced and handed to nobody"
until_true 20 eval '[ "$(health pool_ready)" = 5 ]' || fail "the pool is not filled"
victims=$(members)
[ "$(wc -w <<<"$victims")" -ge 5 ] || fail "members: $victims"
# shellcheck disable=SC2086
kill -9 $victims
# a signal that is on its way is not seen by anybody
# shellcheck disable=SC2086
until_true 10 eval '! kill -0 $victims 2>/dev/null' || fail "they do not die"
for _ in 1 2 3 4 5; do
    id=$(create) || fail "create"
    expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" "a session after the death of the pool"
done
expect "died while it waited" "$(fields "$(entry $died)" REASON)" "the death"
until_true 20 eval '[ "$(health pool_ready)" -ge 5 ]' || fail "the pool is not filled again: $(get /health)"

step "more at once than are ready: on demand, each a sandbox of its own, never a used one"
hey -n 60 -c 20 -m POST "$WORKER_URL/v1/sessions" >/tmp/hey
grep -q '\[201\].*60 responses' /tmp/hey || fail "not all are created: $(cat /tmp/hey)"
entry $empty >/dev/null
expect "Pool empty, creating sandbox on demand" "$(fields "$(entry $empty)" MESSAGE)"
all=$(get '/v1/sessions?limit=1000' | jq -r '.sessions[].session_id')
expect 65 "$(wc -w <<<"$all")" "sessions"
[ "$(get '/v1/sessions?limit=1000' | jq '[.sessions[] | select(.from_pool | not)] | length')" -gt 0 ] || fail "none on demand"
for id in $all; do
    expect "" "$(run_in "$id" 'ls -d mark 2>/dev/null; ls -A /tmp; touch mark /tmp/mark' | jq -r .stdout)" "a used sandbox"
done
size=$(health pool_size)
[ "$size" -gt 5 ] && [ "$size" -le 20 ] || fail "the pool has not grown within its limit: $size"
[ "$(journal_count 2758a47cdc3e4c05874fbbe9d9e82aa8 SANDBOXD_IMAGE=base SANDBOXD_POOL_SIZE="$size")" -ge 1 ] ||
    fail "the journal does not say that it has grown"
for id in $all; do curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$id" || fail "delete"; done
until_true 90 eval '[ "$(health pool_size)" -lt "$size" ]' || fail "the pool does not shrink when nobody asks"
until_true 20 eval '[ "$(health pool_ready)" -le "$(health pool_size)" ]' || fail "members that are not wanted: $(get /health)"
size=$(health pool_ready)
# and those that the spawner makes ahead
until_true 10 eval '[ "$(members | wc -l)" -le $((size + BLANKS_MAX)) ]' || fail "they live on"

step "nobody asks for long: the pool shrinks from what it has grown to, to its minimum and no further"
hey -n 40 -c 20 -m POST "$WORKER_URL/v1/sessions" >/tmp/hey
size=$(health pool_size)
[ "$size" -gt 5 ] || fail "the pool has not grown: $size"
for id in $(get '/v1/sessions?limit=1000' | jq -r '.sessions[].session_id'); do
    curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$id" || fail "delete"
done
mkdir -p /etc/sandboxd/sandboxd.conf.d
printf '[Pool]\nIdleTime=2s\n' >/etc/sandboxd/sandboxd.conf.d/60-idle.conf
systemctl reload sandboxd@worker1 || fail "reload"
until_true 60 eval '[ "$(health pool_size) $(health pool_ready)" = "2 2" ]' || fail "the pool does not shrink: $(get /health)"
until_true 10 eval '[ "$(members | wc -l)" -le $((2 + BLANKS_MAX)) ]' || fail "they live on"
sleep 3 # three more reviews
expect "2 2" "$(health pool_size) $(health pool_ready)" "the minimum"
rm /etc/sandboxd/sandboxd.conf.d/60-idle.conf

step "no more than there may be: 503, and when to come back"
printf '[Session]\nMax=3\n' >/etc/sandboxd/sandboxd.conf.d/50-test.conf
systemctl reload sandboxd@worker1 || fail "reload"
for _ in 1 2 3; do id=$(create) || fail "create"; done
refusal=$(curl -sS -i -X POST "$WORKER_URL/create_session" | tr -d '\r')
grep -q '^HTTP/1.1 503 ' <<<"$refusal" && grep -qi '^Retry-After: [0-9]' <<<"$refusal" &&
    grep -qi '^Content-Type: application/problem+json' <<<"$refusal" || fail "a fourth: $refusal"
curl -sS -f -d '{"wait":60}' "$WORKER_URL/v1/sessions" >/tmp/waited &
waiter=$!
until_true 10 eval '[ "$(ss -Htn state established "( sport = :5000 )" | wc -l)" -gt 0 ]' || fail "nobody waits"
curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$id" || fail "delete"
wait $waiter || fail "who waits is not served"
expect sandboxuser "$(run_in "$(jq -r .session_id /tmp/waited)" whoami | jq -r .stdout)" "who has waited"
expect 3 "$(health active_sessions)"

step "nor than the system gives descriptors for"
rm /etc/sandboxd/sandboxd.conf.d/50-test.conf
mkdir -p /run/systemd/system/sandboxd@worker1.service.d
printf '[Service]\nLimitNOFILE=1036\n' >/run/systemd/system/sandboxd@worker1.service.d/limit.conf # for four sessions
systemctl daemon-reload && systemctl restart sandboxd@worker1 || fail "restart"
until_true 20 eval '[ "$(health active_sessions)" = 3 ]' || fail "sessions are lost: $(get /health)"
id=$(create) || fail "a fourth"
refusal=$(curl -sS -i -X POST "$WORKER_URL/v1/sessions" | tr -d '\r')
grep -q '^HTTP/1.1 503 ' <<<"$refusal" && grep -qi '^Retry-After: [0-9]' <<<"$refusal" || fail "a fifth: $refusal"
curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$id" || fail "delete"
id=$(create) || fail "in its place"
! journalctl -q -b -u sandboxd@worker1 -p err -o cat | grep . || fail "errors in the journal"
