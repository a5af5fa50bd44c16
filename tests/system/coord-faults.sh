#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 700
# takes: 200
# args: @build@ @top@
# A coordinator among workers and clients that go wrong; the workers are played.
exec /usr/bin/python3 "$2/tests/system/coord-faults.py" "$1/src/coord/sandbox-coord"
