#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host container
# timeout: 300
# args: @build@
# Snapshots and forks, and that they outlive the worker.
# On the host: snapshots.sh BUILD [TEST...] runs a worker of its own.
set -u
here=$(dirname "$(readlink -f "$0")")
[ -z "${LAB_MODE-}" ] || here=/lab/system
# shellcheck source=tests/system/worker-run.sh
. "$here/worker-run.sh"
# shellcheck disable=SC2034
through_coordinator="test_files test_pages test_fork test_many"
worker_run "$here/snapshots.py" "$@" || exit 1
[ -n "${LAB_MODE-}" ] || exit 0

step "snapshots outlive the worker"
id=$(create) || fail "create"
run_in "$id" 'echo kept >file' >/dev/null
snapshot=$(post "/v1/sessions/$id/snapshots" '{}' | jq -r .snapshot_id)
folder=/var/lib/sandboxd/worker1/snapshots
expect "sandboxd 600" "$(stat -c '%U %a' "$folder/$snapshot.tar")"
touch "$folder/.00000000-0000-4000-8000-000000000000" "$folder/00000000-0000-4000-8000-000000000000.tar"
systemctl restart sandboxd@worker1
expect "$snapshot" "$(get /v1/snapshots | jq -r '.snapshots[].snapshot_id')"
expect "$snapshot.json $snapshot.tar" "$(find "$folder" -type f -printf '%f\n' | sort | xargs)"
new=$(create "{\"image\":\"snapshot:$snapshot\"}") || fail "create from the snapshot"
expect kept "$(run_in "$new" 'cat file' | jq -r .stdout | head -1)"
systemctl restart sandboxd@worker1
again=$(post "/v1/sessions/$new/snapshots" '{}') || fail "a snapshot of a session from a snapshot"
expect base "$(jq -r .base_image <<<"$again")"

step "they and the names of sessions outlive a stop, but not systemctl clean"
answer_of() { curl -sS -o /lab/answer -w '%{http_code} ' "$WORKER_URL/v1/sessions/$1"; jq -r .reason /lab/answer; }
systemctl stop sandboxd@worker1
expect "410 stopped" "$(answer_of "$id")"
expect 2 "$(get /v1/snapshots | jq '.snapshots | length')" "snapshots after a stop"
! systemctl clean --what=state sandboxd@worker1 2>/dev/null || fail "a worker that runs is cleaned"
create >/dev/null || fail "create"
systemctl stop sandboxd@worker1.socket sandboxd@worker1
systemctl clean --what=state sandboxd@worker1 || fail "clean"
[ ! -e /var/lib/sandboxd/worker1 ] || fail "its state is still there"
systemctl start sandboxd@worker1 || fail "start"
expect "404 null" "$(answer_of "$id")"
expect 0 "$(get /v1/snapshots | jq '.snapshots | length')" "snapshots"
new=$(create) || fail "create"
post "/v1/sessions/$new/snapshots" '{}' >/dev/null || fail "a snapshot after that"
for s in $(get /v1/snapshots | jq -r '.snapshots[].snapshot_id'); do
    curl -sf -X DELETE "$WORKER_URL/v1/snapshots/$s" || fail "delete"
done
expect "" "$(find "$folder" -type f)"
