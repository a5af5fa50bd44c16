#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# copy: @debs@:/lab/packages
# timeout: 120
# Installing the packages again: what runs is replaced, what does not run stays so, configuration stays.
. /lab/system/lib.sh

pids() { systemctl show -P MainPID sandboxd@worker1.service sandboxd-spawner@worker1.service | grep . | tr '\n' ' '; }
install() { dpkg -i --force-confold /lab/packages/*.deb >/lab/dpkg.log 2>&1 || { cat /lab/dpkg.log; fail "dpkg -i"; }; }

step "nothing runs"
sed -i 's/^#POOL_SIZE=.*/POOL_SIZE=3/' /etc/default/sandboxd
ids=$(cat /etc/subuid)
install
expect "" "$(remains)"
expect "$ids" "$(cat /etc/subuid)" /etc/subuid

step "a worker runs"
systemctl start sandboxd@worker1 || fail "start"
expect 3 "$(health pool_size)" "the configuration"
before=$(pids)
install
! grep -iE 'warning|error|fail' /lab/dpkg.log || fail "dpkg complains"
after=$(pids)
for pid in $before; do
    [[ " $after " != *" $pid "* ]] || fail "process $pid was not replaced"
done
expect 3 "$(health pool_size)" "the configuration"
expect sandboxuser "$(run_in "$(create)" whoami | jq -r .stdout)"
expect "" "$(systemctl list-units --failed --no-legend)" "failed units"
