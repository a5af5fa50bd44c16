#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# install: no
# timeout: 120
# A host with the coordinator alone: it starts, says that there are no workers, uses one elsewhere, and goes without a
# trace. The worker is played.
set -u
. /lab/system/lib.sh

snapshot() {
    find /etc /usr /var/lib -xdev \( -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /lab \
        -o -name __pycache__ \) -prune -o -print | sort
}
status() { curl -sS -o /dev/null -w '%{http_code}' "$@"; }

snapshot >/lab/before
dpkg -i /lab/packages/sandbox-coord_*.deb >/lab/dpkg.log 2>&1 || { cat /lab/dpkg.log; fail "dpkg -i"; }
[ ! -e /usr/bin/sandboxd ] || fail "the worker is installed beside it"

step "without workers"
systemctl start sandbox-coord || fail "start"
expect "unhealthy 0" "$(curl -sS http://127.0.0.1:8000/health | jq -r '"\(.status) \(.workers | length)"')"
expect 503 "$(status http://127.0.0.1:8000/health)" "health"
expect 503 "$(status -d '{}' http://127.0.0.1:8000/v1/sessions)" "create"
expect "There are no workers." "$(curl -sS -d '{}' http://127.0.0.1:8000/v1/sessions | jq -r .detail)"

step "a worker elsewhere"
PYTHONPATH=/lab/system PYTHONDONTWRITEBYTECODE=1 python3 -c '
import time
from coord_faults.fake import Fleet
print(Fleet().add("far").port, flush=True)
time.sleep(600)' >/lab/port &
until_true 20 test -s /lab/port || fail "the worker does not start"
echo "WORKERS=http://127.0.0.1:$(cat /lab/port)" >/etc/default/sandbox-coord
systemctl restart sandbox-coord || fail "restart"
until_true 20 eval '[ "$(curl -sS http://127.0.0.1:8000/health | jq -r .status)" = healthy ]' ||
    fail "the worker is not used: $(curl -sS http://127.0.0.1:8000/health)"
expect 201 "$(status -d '{}' http://127.0.0.1:8000/v1/sessions)" "create"
expect "" "$(systemctl list-units --failed --no-legend)" "failed units"
kill %1

step "it goes"
dpkg --purge sandbox-coord >/lab/dpkg.log 2>&1 || { cat /lab/dpkg.log; fail "purge"; }
snapshot >/lab/after
diff /lab/before /lab/after || fail "something stays"
