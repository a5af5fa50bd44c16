#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 700
# takes: 120
# args: @build@ @top@
# A worker among faults: calls that fail, parts that are killed or hang, clients that leave, too much of everything.
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
exec /usr/bin/python3 "$2/tests/system/faults.py" "$1"
