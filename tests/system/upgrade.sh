#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container [vm]
# copy: @debs@:/lab/packages
# timeout: 600
# Installing the packages again: the worker is replaced, sessions live on, what does not run stays so.
# That a newer package leaves sandboxes alone is also a case of restart, which is run in a virtual machine too.
. /lab/system/lib.sh

pid_of() { systemctl show -P MainPID "$1@worker1.service"; }
install() { dpkg -i --force-confold /lab/packages/*.deb >/lab/dpkg.log 2>&1 || { cat /lab/dpkg.log; fail "dpkg -i"; }; }

step "nothing runs"
sed -i 's/^#POOL_SIZE=.*/POOL_SIZE=3/' /etc/default/sandboxd
ids=$(cat /etc/subuid)
install
expect "" "$(remains)"
expect "" "$(systemctl list-units --state=active --plain --no-legend 'sandbox-coord*')" "the coordinator"
expect "$ids" "$(cat /etc/subuid)" /etc/subuid

step "a worker runs"
systemctl start sandboxd@worker1 || fail "start"
expect 3 "$(health pool_size)" "the configuration"
worker=$(pid_of sandboxd)
spawner=$(pid_of sandboxd-spawner)
systemctl start sandbox-coord || fail "start of the coordinator"
coordinator=$(systemctl show -P MainPID sandbox-coord)
id=$(create) || fail "create"
run_in "$id" 'echo kept >file; sleep 1000 >/dev/null 2>&1 &' >/dev/null || fail "exec"
install
! grep -iE 'warning|error|fail' /lab/dpkg.log || fail "dpkg complains"
[ "$(pid_of sandboxd)" != "$worker" ] || fail "the worker was not replaced"
expect "$spawner" "$(pid_of sandboxd-spawner)" "the spawner's process"
[ "$(systemctl show -P MainPID sandbox-coord)" != "$coordinator" ] || fail "the coordinator was not replaced"
expect 3 "$(health pool_size)" "the configuration"
expect kept "$(run_in "$id" 'cat file' | jq -r .stdout)" "the session's file"
expect kept "$(WORKER_URL=http://127.0.0.1:8000 run_in "$id" 'cat file' | jq -r .stdout)" "through the coordinator"
expect sandboxuser "$(run_in "$(create)" whoami | jq -r .stdout)"
expect "" "$(systemctl list-units --failed --no-legend)" "failed units"
