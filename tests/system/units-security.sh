#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# newer: yes
# timeout: 60
# How much systemd-analyze security finds the units to expose, and that none may more than it says.
. /lab/system/lib.sh

at_most() { # UNIT LIMIT
    local score
    score=$(systemd-analyze security --no-pager "$1" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
    echo "$1: $score"
    [ -n "$score" ] || fail "no score of $1"
    awk -v score="$score" -v limit="$2" 'BEGIN { exit !(score <= limit) }' || fail "$1: $score is more than $2"
}

systemctl start sandboxd@worker1 || fail "start"
at_most sandboxd@worker1.service 1.3
at_most sandboxd-spawner@worker1.service 2.2
at_most sandboxd-base-image.service 2.2
at_most sandboxd-announce@worker1.service 1.3
systemctl start sandbox-coord || fail "start of the coordinator"
at_most sandbox-coord.service 1.3

step "no line of a unit is unknown to systemd"
! journalctl -q -b | grep -E "sandbox.*: (Unknown|Failed to parse|Invalid)" || fail "see above"
systemd-analyze verify --man=yes sandboxd@worker1.service sandboxd@worker1.socket sandboxd-spawner@worker1.service \
    sandboxd-spawner@worker1.socket sandboxd-base-image.service sandboxd-announce@worker1.service sandboxd.target sandbox-coord.service \
    sandbox-coord.socket 2>&1 |
    grep sandbox | grep -v 'Command .man' && fail "see above"

step "no process is root or has a capability in the user namespace of the machine"
ours=$(readlink /proc/1/ns/user)
count=0
for pid in $(cat $(find /sys/fs/cgroup/sandboxd.slice -name cgroup.procs)); do
    status=$(cat "/proc/$pid/status" 2>/dev/null) || continue
    count=$((count + 1))
    [ "$(awk '$1 == "Uid:" { print ($2 && $3 && $4 && $5) }' <<<"$status")" = 1 ] || fail "process $pid has uid 0"
    [ "$(awk '$1 == "Gid:" { print ($2 && $3 && $4 && $5) }' <<<"$status")" = 1 ] || fail "process $pid has gid 0"
    [ "$(readlink "/proc/$pid/ns/user")" != "$ours" ] ||
        expect 0 "$(awk '/^Cap(Prm|Eff|Inh|Amb|Bnd):/ && $2 !~ /^0+$/' <<<"$status" | wc -l)" "capabilities of $pid"
    [ "$(awk '$1 == "NoNewPrivs:" { print $2 }' <<<"$status")" = 1 ] || fail "process $pid may get new privileges"
    [ "$(awk '$1 == "Seccomp:" { print $2 }' <<<"$status")" = 2 ] || fail "process $pid has no seccomp filter"
done
[ $count -ge 5 ] || fail "only $count processes"
echo "$count processes"
