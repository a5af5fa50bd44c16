#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 60
# Keys in /etc/sandboxd/api-keys, which only root can read, reach the worker as a credential.
. /lab/system/lib.sh

status() { curl -s -o /dev/null -w '%{http_code}' "$@" "$WORKER_URL/v1/sessions"; }

step "no file, no keys"
systemctl start sandboxd@worker1 || fail "start"
expect 200 "$(status)"

step "a file"
umask 077
echo "one:$(printf secret | sha256sum | cut -d' ' -f1)" >/etc/sandboxd/api-keys
systemctl restart sandboxd@worker1 || fail "restart"
expect 401 "$(status)"
expect 200 "$(status -H 'Authorization: Bearer secret')"
expect 401 "$(status -H 'Authorization: Bearer Secret')"

step "a bad file refuses the start and says where"
echo "one:short" >/etc/sandboxd/api-keys
! systemctl restart sandboxd@worker1 2>/dev/null || fail "it starts"
journalctl -q -b -o cat -u sandboxd@worker1 | grep -m 1 'api-keys:1' || fail "the journal does not say where"
