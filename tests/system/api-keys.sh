#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 60
# Keys in /etc/sandboxd/api-keys, which only root can read, reach the worker as a credential.
. /lab/system/lib.sh

status() { curl -s -o /dev/null -w '%{http_code}' "$@" "$WORKER_URL/v1/sessions"; }

step "no file, no keys"
systemctl start sandboxd@worker1 || fail "start"
expect 200 "$(status)"

step "a file"
umask 077
echo "one:$(printf secret | sha256sum | cut -d' ' -f1)" >/etc/sandboxd/api-keys
systemctl restart sandboxd@worker1 || fail "restart"
expect 401 "$(status)"
expect 200 "$(status -H 'Authorization: Bearer secret')"
expect 401 "$(status -H 'Authorization: Bearer Secret')"

step "who did what can be looked up, what it contained cannot"
curl() { command curl -s -o /dev/null -H 'X-API-Key: secret' "$@"; }
id=$(command curl -s -H 'X-API-Key: secret' -X POST -H 'X-Request-Id: made-here' "$WORKER_URL/v1/sessions" | jq -r .session_id)
curl -X POST -d '{"command":"echo hidden-command"}' "$WORKER_URL/v1/sessions/$id/exec"
curl -X PUT -d 'hidden-content' "$WORKER_URL/v1/sessions/$id/files?path=a.txt"
curl "$WORKER_URL/v1/sessions/$id/files?path=a.txt"
curl -X DELETE "$WORKER_URL/v1/sessions/$id"
unset -f curl
journalctl -q --sync
text=$(sandboxctl audit "$id") || fail "audit"
echo "$text"
for action in create exec write read delete end; do
    grep -qE "  worker1 +one +[^ ]* +$action +$id" <<<"$text" || fail "no $action"
done
grep -qE '127\.0\.0\.1:[0-9]+ +create .*request=made-here' <<<"$text" || fail "not from where, or by which request"
grep -q 'path=a.txt' <<<"$text" || fail "no path"
grep -q 'status=401' <<<"$(sandboxctl audit)" || fail "no refusal"
expect 6 "$(sandboxctl audit --json "$id" | jq -r 'select(.owner == "one") | .action' | wc -l)" "entries"
expect "" "$(sandboxctl audit --owner two --since -1h)" "entries of somebody else"
! journalctl -q -b -o export | grep -aE 'hidden-c|=secret$' || fail "the journal tells what was inside"

# the folder is not watched while a change is being told
told() { [ "$(systemctl show -P SubState sandboxd-keys.path)" = waiting ]; }

step "a key that is added is good without a restart"
pid=$(systemctl show -P MainPID sandboxd@worker1)
line() { echo "$1:$(printf %s "$2" | sha256sum | cut -d' ' -f1)"; }
status_of() { status -H "X-API-Key: $1"; }
expect 401 "$(status_of other)"
line two other >>/etc/sandboxd/api-keys
until_true 10 eval '[ "$(status_of other)" = 200 ]' || fail "the new key is not good"
until_true 10 told || fail "the folder is not watched"

step "a key that is revoked is refused within a second, and what it does ends"
id=$(command curl -s -H 'X-API-Key: other' -X POST "$WORKER_URL/v1/sessions" | jq -r .session_id)
command curl -sN -H 'X-API-Key: other' -H 'Accept: text/event-stream' -d '{"command":"echo begun; sleep 100"}' \
    "$WORKER_URL/v1/sessions/$id/exec" >/tmp/stream &
stream=$!
until_true 10 grep -q begun /tmp/stream || fail "the stream does not begin"
line one secret >/etc/sandboxd/api-keys.new
revoked=$(date +%s%N)
mv /etc/sandboxd/api-keys.new /etc/sandboxd/api-keys
until_true 10 eval '[ "$(status_of other)" = 401 ]' || fail "the revoked key is good"
took=$((($(date +%s%N) - revoked) / 1000000))
echo "refused after $took ms"
[ "$took" -lt $((1000 * $(busy))) ] || fail "revoking took $took ms"
expect 200 "$(status_of secret)"
for _ in $(seq 50); do kill -0 $stream 2>/dev/null || break; sleep 0.1; done
! kill -0 $stream 2>/dev/null || fail "its stream goes on"

step "a session belongs to the name of a key"
show() { command curl -s -o /dev/null -w '%{http_code}' -H "X-API-Key: $1" "$WORKER_URL/v1/sessions/$id"; }
expect 404 "$(show secret)" "another key"
until_true 10 told || fail "the folder is not watched"
line two newer >>/etc/sandboxd/api-keys
until_true 10 eval '[ "$(status_of newer)" = 200 ]' || fail "the rotated key is not good"
expect 200 "$(show newer)" "the new key of the same name"
until_true 10 told || fail "the folder is not watched"

step "a file that cannot be read changes nothing; without the last key nobody is let in"
echo "broken" >>/etc/sandboxd/api-keys
sleep 1
expect 200 "$(status_of newer)" "the old key while the file is wrong"
until_true 10 told || fail "the folder is not watched"
rm /etc/sandboxd/api-keys
until_true 10 eval '[ "$(status_of newer)" = 401 ]' || fail "keys outlive their file"
expect 401 "$(status)" "nobody"
expect "root sandboxd 440" "$(stat -c '%U %G %a' /run/sandboxd/api-keys)" "the copy"
expect "$pid" "$(systemctl show -P MainPID sandboxd@worker1)" "the process all the while"

step "a key has no more requests and sessions than it may have"
line one secret >/etc/sandboxd/api-keys
install -d -m 755 /etc/sandboxd/sandboxd.conf.d
printf '[Auth]\nRateLimit=30/min\nMaxSessionsPerKey=2\n' |
    install -m 644 /dev/stdin /etc/sandboxd/sandboxd.conf.d/limits.conf
systemctl restart sandboxd@worker1 || fail "restart"
create() { command curl -s -D /tmp/head -o /tmp/body -w '%{http_code}' -X POST -H 'X-API-Key: secret' "$WORKER_URL/v1/sessions"; }
expect "201 201 429" "$(create) $(create) $(create)" "sessions of a key"
expect "2 sessions" "$(jq -r .limit /tmp/body)" "the limit that is told"
grep -qi '^retry-after: [1-9]' /tmp/head || fail "no Retry-After"
for _ in $(seq 27); do status_of secret >/tmp/last; done
expect 200 "$(cat /tmp/last)" "as many as allowed"
expect 429 "$(status_of secret)" "one more"
expect 200 "$(command curl -s -o /dev/null -w '%{http_code}' "$WORKER_URL/health")" "/health"
rm /etc/sandboxd/sandboxd.conf.d/limits.conf

step "a bad file refuses the start and says where"
echo "one:short" >/etc/sandboxd/api-keys
! systemctl restart sandboxd@worker1 2>/dev/null || fail "it starts"
journalctl -q -b -o cat -u sandboxd@worker1 | grep -m 1 'api-keys:1' || fail "the journal does not say where"
