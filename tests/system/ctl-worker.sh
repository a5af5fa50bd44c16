#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 180
# sandboxctl worker ...: more workers under systemd, and everything as it was when it cannot be.
# shellcheck source=tests/system/ctl-checks.sh
. /lab/system/ctl-checks.sh
units=/etc/systemd/system

refused() { # PATTERN COMMAND...: fails, tells why, leaves no file and no unit
    local pattern=$1
    shift
    find "$units" | sort >"$top/before"
    "$@" >"$top/refusal" 2>&1 && return 1
    find "$units" | sort >"$top/after"
    cat "$top/refusal"
    grep -q -- "$pattern" "$top/refusal" && diff "$top/before" "$top/after"
}

state_of() { sandboxctl worker list --json | python3 -c '
import json, sys
print(*[w["status"] for w in json.load(sys.stdin)["workers"] if w["name"] == sys.argv[1]])' "$1"; }

systemctl start sandboxd@worker1 || exit 1

check "a bad name" refused 'no name for a worker' sandboxctl worker add a/b
check "the folder of the images is no worker" refused 'no name for a worker' sandboxctl worker remove images --purge
check "a port without address" refused 'not ADDRESS:PORT' sandboxctl worker add w2 --listen 5001
check "worker1's port" refused 'belongs to worker worker1' sandboxctl worker add w2 --listen 127.0.0.1:5000
check "an address of another machine" refused 'cannot be had' sandboxctl worker add w2 --listen 192.0.2.1:5001
check "not for ordinary users" refused 'Only root' setpriv --reuid nobody --clear-groups sandboxctl worker add w2

diagnosis() { # STATE CHECK: is that what doctor says?
    sandboxctl doctor | tee /dev/stderr | grep -q "^$1 *$2 "
}
check "doctor: a machine where the service runs" diagnosis ok kernel
check "doctor: its users have ids" diagnosis ok "subordinate uids"
check "doctor: overlayfs" diagnosis ok overlayfs
sed -i.saved 's/^sandboxd-box:/nobody-box:/' /etc/subuid
check "doctor: ids that are gone" diagnosis FAIL "subordinate uids"
check "doctor: and how to get new ones" sh -c 'sandboxctl doctor | grep -q "fix: /usr/libexec/sandboxd/sandboxd-allocate-ids$"'
check "doctor: fails then" sh -c '! sandboxctl doctor'
check "doctor: a document" sh -c 'sandboxctl doctor --json | jq -e ".failed >= 1 and (.findings | length > 10)"'
mv /etc/subuid.saved /etc/subuid
check "doctor: of this machine alone" sh -c '! sandboxctl --url http://127.0.0.1:5000 doctor'

check "add" sandboxctl worker add w2 --listen 127.0.0.1:5001
check "add once more changes nothing" sandboxctl worker add w2 --listen 127.0.0.1:5001
check "add with another address" refused 'already' sandboxctl worker add w2 --listen 127.0.0.1:5002
check "its port is taken" refused 'belongs to worker w2' sandboxctl worker add w3 --listen 127.0.0.1:5001
check "its port is free at another address" sandboxctl worker add w3 --listen 127.0.0.2:5001
check "and leaves with its worker" sandboxctl worker remove w3 --purge
check "it runs code over TCP" sh -c '[ "$(sandboxctl --url http://127.0.0.1:5001 run -- whoami)" = sandboxuser ]'
check "it starts with the machine" systemctl is-enabled -q sandboxd@w2.socket sandboxd@w2.service
check "list" [ "$(state_of w2)" = healthy ]
check "list for a member of the group" sh -c 'setpriv --reuid nobody --regid sandbox --clear-groups sandboxctl worker list | grep -q "^w2 *healthy"'
check "list for who may not ask" sh -c 'setpriv --reuid nobody --regid nogroup --clear-groups sandboxctl worker list | grep -q "^w2 *no permission"'

check "drain" sandboxctl worker drain w2
check "drained" [ "$(state_of w2)" = draining ]
check "a drained worker takes no session" sh -c '! sandboxctl --url http://127.0.0.1:5001 create'
check "undrain" sandboxctl worker undrain w2
check "undrained" [ "$(state_of w2)" = healthy ]
mkdir -p /etc/sandboxd/worker
printf '[Auth]\nKeys=a:%s\n' "$(printf key | sha256sum | cut -d' ' -f1)" >/etc/sandboxd/worker/w2.conf
systemctl restart sandboxd@w2
check "a worker with keys wants one" sh -c '! sandboxctl --socket /run/sandboxd/w2.sock worker drain w2'
check "root needs none over D-Bus" sandboxctl worker drain w2
check "and it is drained" [ "$(state_of w2)" = draining ]
check "the answer in JSON" sh -c 'sandboxctl worker undrain --json w2 | jq -e ".worker_id == \"w2\" and .draining == false and .pool_size == 5"'
check "the size of the pool" sh -c 'sandboxctl worker pool --json w2 7 | jq -e ".pool_size == 7"'
check "not out of its bounds" refused '2 to 20' sandboxctl worker pool w2 1000
check "a number" refused 'no number' sandboxctl worker pool w2 many
check "members of the group need a password" refused 'password\|not allow' \
    setpriv --reuid nobody --regid sandbox --clear-groups sandboxctl worker pool w2 6
check "others may not at all" refused 'system bus' setpriv --reuid nobody --regid nogroup --clear-groups sandboxctl worker pool w2 6
rm /etc/sandboxd/worker/w2.conf
systemctl restart sandboxd@w2
check "drain of nobody" refused 'No socket' sandboxctl worker drain nobody

systemctl stop sandboxd@w2.service 2>/dev/null
check "a worker at rest is shown" [ "$(state_of w2)" = inactive ]
check "and left at rest" sh -c '! systemctl is-active -q sandboxd@w2.service'

check "remove" sandboxctl worker remove w2 --purge
check "nothing of it is left" sh -c '! ls -d /etc/systemd/system/sandboxd@w2* /etc/systemd/system/*.wants/sandboxd@w2* /run/sandboxd/w2* /var/lib/sandboxd/w2'
check "others still start with the machine" sh -c 'systemctl show -P WantedBy sandboxd.target | grep -q multi-user.target'
check "the images are" [ -d /var/lib/sandboxd/images ]
check "remove of nobody" refused 'no worker' sandboxctl worker remove w2

mkdir -p /etc/sandboxd/worker
printf '[Pool]\nSize=lots\n' >/etc/sandboxd/worker/w4.conf
check "a worker that does not start" refused 'journalctl' sandboxctl worker add w4 --listen 127.0.0.1:5004
check "is not left behind" sh -c '! systemctl is-active -q sandboxd@w4.socket && ! systemctl is-enabled -q sandboxd@w4.socket'
rm /etc/sandboxd/worker/w4.conf

checked
