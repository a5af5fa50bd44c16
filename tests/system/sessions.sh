#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host container
# timeout: 300
# args: @build@
# Creating with a key, waiting for a place, listing in pages and by metadata, and what a session uses.
# On the host: sessions.sh BUILD [TEST...] runs a worker of its own, whose number of sessions has no limit.
set -u
here=$(dirname "$(readlink -f "$0")")
[ -z "${LAB_MODE-}" ] || here=/lab/system
# shellcheck source=tests/system/worker-run.sh
. "$here/worker-run.sh"
if [ -n "${LAB_MODE-}" ]; then
    mkdir -p /etc/sandboxd/sandboxd.conf.d
    printf '[Session]\nMax=8\n[Http]\nMaxConnections=2048\n' >/etc/sandboxd/sandboxd.conf.d/50-test.conf
    export SESSIONS_MAX=8
fi
# shellcheck disable=SC2034
through_coordinator="test_use_of_the_disk test_key test_key_of_many_at_once test_filters test_pages"
worker_run "$here/sessions.py" "$@"
