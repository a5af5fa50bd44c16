#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 300
# need: metrics
# args: @build@ @top@
# The real Prometheus reads a worker and a coordinator by the configuration of the guide: metrics.sh BUILD TOP
# What the dashboard asks for is there, and the alerts tell of what has gone.
set -u
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
"$2/tools/need" metrics || exit 1
exec python3 "$2/tests/system/metrics.py" "$1" "$2"
