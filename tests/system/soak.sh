#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 900
# args: @build@ @top@
# Thousands of sessions one after the other leave nothing behind; bench/soak does it with a hundred thousand.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
exec "$2/bench/soak" --cycles 3000 --warm 1000 "$1/src/daemon/sandboxd"
