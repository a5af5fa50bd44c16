#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container vm
# install: no
# timeout: 900
# takes: 20 200
# Removing the packages ends everything, purging leaves nothing; both while sessions run. Then all works again.
. /lab/system/lib.sh

snapshot() {
    find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /lab -o -path /var/log -o -path /var/cache \
        -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd/catalog -o -path /dev \) -prune -o -print | sort
    cut -d: -f1 /etc/passwd /etc/group /etc/subuid /etc/subgid | sort
}

packages=$(for deb in /lab/packages/*.deb; do dpkg-deb -f "$deb" Package; done)
install() { dpkg -i /lab/packages/*.deb >/lab/dpkg.log 2>&1 || { cat /lab/dpkg.log; fail "dpkg -i"; }; }

start_and_use() {
    systemctl start sandboxd@worker1 || fail "start"
    id=$(create) || fail "create"
    run_in "$id" '(sleep 1000 &) ; echo done' | jq -e '.exit_code == 0' >/dev/null || fail "exec"
    systemctl start sandbox-coord || fail "start of the coordinator"
    WORKER_URL=http://127.0.0.1:8000 run_in "$id" true | jq -e '.exit_code == 0' >/dev/null || fail "exec through it"
}

snapshot >/lab/before
install
start_and_use
sandboxctl worker add second --listen 127.0.0.1:5001 || fail "worker add"
mkdir -p /etc/sandboxd/worker
printf '[Pool]\nSize=3\n' >/etc/sandboxd/worker/second.conf
systemctl enable --quiet sandboxd@second sandbox-coord
mkdir -p /etc/systemd/system/sandbox-coord.socket.d /etc/sandboxd/coordinator.conf.d
printf '[Socket]\nListenStream=127.0.0.1:8001\n' >/etc/systemd/system/sandbox-coord.socket.d/listen.conf
printf '[Coordinator]\nHealthInterval=1s\n' >/etc/sandboxd/coordinator.conf.d/often.conf
systemctl daemon-reload
mkdir -p /etc/systemd/system/sandboxd.slice.d
printf '[Slice]\nTasksMax=5000\n' >/etc/systemd/system/sandboxd.slice.d/limit.conf

step "remove ends all and keeps state and configuration"
dpkg --remove $packages >/lab/dpkg.log 2>&1 || { cat /lab/dpkg.log; fail "dpkg --remove"; }
! grep -iE 'warning|error|fail' /lab/dpkg.log || fail "dpkg complains"
until_true 10 eval '[ -z "$(remains)" ]' || fail "left: $(remains)"
! get /health 2>/dev/null || fail "something answers"
[ -e /etc/sandboxd/worker/second.conf ] && [ -e /etc/sandboxd/coordinator.conf.d/often.conf ] && [ -e /var/lib/sandboxd/images/base ] || fail "too much was removed"
expect "" "$(systemctl list-units --state=active,activating,failed --plain --no-legend 'sandbox*' | grep -v slice)" units

step "installed again it goes on"
install
start_and_use
systemctl start sandboxd.target
expect 3 "$(curl -sS http://127.0.0.1:5001/health | jq -r .pool_size)" "the second worker's configuration"

step "purge while it runs"
dpkg --purge $packages >/lab/dpkg.log 2>&1 || { cat /lab/dpkg.log; fail "dpkg --purge"; }
! grep -iE 'warning|error|fail' /lab/dpkg.log || fail "dpkg complains"
until_true 10 eval '[ -z "$(remains)" ]' || fail "left: $(remains)"
snapshot >/lab/after
# the users stay, on purpose; usermod keeps copies of what it changes
diff /lab/before /lab/after | grep '^[<>]' | grep -vxE '> (sandboxd|sandboxd-box|sandbox-coord|sandbox|/etc/sub[ug]id-)' >/lab/differences
expect "" "$(cat /lab/differences)" "files"
! grep -rE 'sandboxd|sandbox-coord' /etc/systemd || fail "left in /etc/systemd"
expect "" "$(systemctl list-units --failed --no-legend)" "failed units"

step "and installed again"
install
start_and_use
