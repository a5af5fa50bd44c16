#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container vm
# timeout: 600
# Sessions and what runs in them live on while the worker is restarted, killed, and killed again; followers that come
# back with their offset lose no byte and get none twice.
set -u
. /lab/system/lib.sh

sessions=50 counters=20 watchdog=6
[ "${LAB_MODE-container}" = vm ] && sessions=16 counters=6 watchdog=25

# a stuck worker is noticed sooner than it has to be
mkdir -p /run/systemd/system/sandboxd@.service.d
printf '[Service]\nWatchdogSec=%s\n' "$watchdog" >/run/systemd/system/sandboxd@.service.d/watchdog.conf
systemctl daemon-reload
systemctl start sandboxd@worker1 || fail "the worker does not start"
python3 /lab/system/restart.py "$sessions" "$counters" || fail "see above"
