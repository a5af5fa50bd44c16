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

step "a bad file refuses the start and says where"
echo "one:short" >/etc/sandboxd/api-keys
! systemctl restart sandboxd@worker1 2>/dev/null || fail "it starts"
journalctl -q -b -o cat -u sandboxd@worker1 | grep -m 1 'api-keys:1' || fail "the journal does not say where"
