#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# install: tools
# copy: @tree@:/src
# timeout: 300
# takes: alone
# tools/quickstart on a machine with systemd: packages, a worker, a session; twice, and --stop.
. /lab/system/lib.sh
cd /src || fail "no sources"

for round in first second; do
    in_a_minute tools/quickstart || fail "the $round time"
    expect active "$(systemctl is-active sandboxd@worker1.service)"
done
dpkg-query -W sandboxd sandboxctl || fail "no packages"
tools/quickstart --stop || fail "--stop"
until_true 10 eval '[ -z "$(remains)" ]' || fail "left: $(remains)"
! get /health 2>/dev/null || fail "something answers"
