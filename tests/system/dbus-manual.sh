#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 120
# copy: man/org.sandboxd.Worker1.5:/lab/org.sandboxd.Worker1.5
# The examples of the manual do what it says.
. /lab/system/lib.sh

systemctl start sandboxd@worker1 || fail "start"
until_true 20 eval '[ "$(health pool_ready)" = 5 ]' || fail "the pool is not filled"
LC_ALL=C timeout 100 python3 /lab/system/manual-examples.py /lab/org.sandboxd.Worker1.5 || fail "the manual is wrong"
expect 0 "$(health active_sessions)" "sessions left"
