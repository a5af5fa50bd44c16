#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 600
# takes: 60
# args: @build@
# What is asked of a command's streams and of files at the wrong time, too often, or by a strange name.
set -u
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/system/worker-run.sh
. "$here/worker-run.sh"
# shellcheck disable=SC2034
through_coordinator="test_two_readers test_wrong_offsets test_stdin_after_the_end test_resize_of_no_terminal test_strange_names"
worker_run "$here/streams.py" "$@"
