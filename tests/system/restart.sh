#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container vm
# copy: @debs@:/lab/packages
# newer: yes
# timeout: 600
# takes: 60 200
# Sessions and what runs in them live on while the worker is restarted, killed and replaced by a newer package, and the
# spawner's working process is killed and executed anew; followers that come back with their offset lose no byte and get
# none twice. At last the spawner itself is killed: what it held is gone, is told so, and nothing of it stays.
set -u
. /lab/system/lib.sh

sessions=50 counters=20 watchdog=6
[ "${LAB_MODE-container}" = vm ] && sessions=16 counters=6 watchdog=25

# a stuck worker is noticed sooner than it has to be
mkdir -p /run/systemd/system/sandboxd@.service.d
printf '[Service]\nWatchdogSec=%s\n' "$watchdog" >/run/systemd/system/sandboxd@.service.d/watchdog.conf
systemctl daemon-reload
systemctl start sandboxd@worker1 || fail "the worker does not start"

# the same program as a newer package
mkdir -p /lab/newer
for deb in /lab/packages/sandboxd_*.deb /lab/packages/sandboxctl_*.deb; do
    dpkg-deb -R "$deb" /lab/newer/root && sed -i 's/^Version: .*/Version: 99.0/' /lab/newer/root/DEBIAN/control &&
        sed -i -E 's/(sandbox[a-z]+ \(= )[^)]*/\199.0/g' /lab/newer/root/DEBIAN/control &&
        dpkg-deb -Zgzip -z1 --root-owner-group -b /lab/newer/root "/lab/newer/${deb##*/}" >/dev/null ||
        fail "a newer package of $deb"
    rm -r /lab/newer/root
done
python3 /lab/system/restart.py "$sessions" "$counters" || fail "see above"
expect "" "$(systemctl list-units --failed --no-legend)" "failed units"
systemctl stop sandboxd@worker1
until_true 20 stopped sandboxd-spawner@worker1 || fail "the spawner does not stop"
expect "" "$(remains)" "what remains"
