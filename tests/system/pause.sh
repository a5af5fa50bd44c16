#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host container
# timeout: 300
# args: @build@
# Sessions that are paused, and requests that need them to go on.
# On the host: pause.sh BUILD [TEST...] runs a worker of its own.
set -u
here=$(dirname "$(readlink -f "$0")")
[ -z "${LAB_MODE-}" ] || here=/lab/system
# shellcheck source=tests/system/worker-run.sh
. "$here/worker-run.sh"
# shellcheck disable=SC2034
through_coordinator="test_any_request_lets_it_go_on"
worker_run "$here/pause.py" "$@"
