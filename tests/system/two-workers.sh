#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 120
# Two workers on one machine share the image and nothing else.
. /lab/system/lib.sh

second() { WORKER_URL=http://127.0.0.1:5001 "$@"; }
uids() { # WORKER: host uids of its sandboxes
    cat $(find "/sys/fs/cgroup/sandboxd.slice/sandboxd-spawner@$1.service" -path '*/slot-*' -name cgroup.procs) |
        while read -r pid; do awk '$1 == "Uid:" { print $2 }' "/proc/$pid/status"; done | sort -n
}

systemctl start sandboxd@worker1 || fail "start"
sandboxctl worker add worker2 --listen 127.0.0.1:5001 || fail "worker add"
expect worker2 "$(second health worker_id)"
until_true 20 eval '[ "$(health pool_ready)$(second health pool_ready)" = 55 ]' || fail "the pools are not filled"

step "sessions belong to one worker"
one=$(create)
two=$(second create)
expect sandboxuser "$(run_in "$one" whoami | jq -r .stdout)"
expect sandboxuser "$(second run_in "$two" whoami | jq -r .stdout)"
expect 404 "$(curl -s -o /dev/null -w '%{http_code}' "$WORKER_URL/v1/sessions/$two")"
expect "1 1" "$(health active_sessions) $(second health active_sessions)"

step "no two sandboxes have the same uid"
all=$(uids worker1; uids worker2)
echo $all
expect "" "$(sort -n <<<"$all" | uniq -d)" "shared uids"
[ "$(wc -l <<<"$all")" -ge 12 ] || fail "only $(wc -l <<<"$all") sandboxes"

step "one bus name each"
for name in worker1 worker2; do
    busctl --system list --acquired --no-legend | grep -q "^org.sandboxd.worker.$name " || fail "no name of $name"
done

step "the end of one does not touch the other"
systemctl stop sandboxd@worker2.socket sandboxd@worker2
expect sandboxuser "$(run_in "$one" whoami | jq -r .stdout)"
[ -z "$(uids worker2 2>/dev/null)" ] || fail "sandboxes of worker2 live on"

step "its ids are the same after the next start"
before=$(grep '^worker2 ' /var/lib/sandboxd/slices)
systemctl start sandboxd@worker2
expect "$before" "$(grep '^worker2 ' /var/lib/sandboxd/slices)"

step "kill -9 of a spawner does not touch the other worker"
systemctl kill -s KILL --kill-whom=main sandboxd-spawner@worker2.service
expect sandboxuser "$(run_in "$one" whoami | jq -r .stdout)"
until_true 20 eval '[ "$(second health pool_ready)" = 5 ]' || fail "worker2 does not recover: $(second get /health)"
id=$(second create)
expect sandboxuser "$(second run_in "$id" whoami | jq -r .stdout)"
