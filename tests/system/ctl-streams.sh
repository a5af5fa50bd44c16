#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 300
# args: @build@
# sandboxctl where it stays: shells on a terminal, copies of files and folders, ports.
set -u
here=$(dirname "$(readlink -f "$0")")
export SANDBOXCTL=${1-}/src/ctl/sandboxctl
# shellcheck source=tests/system/worker-run.sh
. "$here/worker-run.sh"
# shellcheck disable=SC2034
through_coordinator="test_shell test_shell_that_is_left test_copies test_forward"
worker_run "$here/ctl-streams.py" "$@"
