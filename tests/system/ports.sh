#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host container
# timeout: 300
# args: @build@
# Servers inside sandboxes through the worker's proxy, kind ones and hostile ones.
# On the host: ports.sh BUILD [TEST...] runs a worker of its own.
set -u
here=$(dirname "$(readlink -f "$0")")
[ -z "${LAB_MODE-}" ] || here=/lab/system
# shellcheck source=tests/system/worker-run.sh
. "$here/worker-run.sh"
# shellcheck disable=SC2034
through_coordinator="test_requests test_refusals test_sizes test_websocket test_raw test_ends"
worker_run "$here/ports.py" "$@"
