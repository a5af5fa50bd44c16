#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# install: tools
# copy: @rpms@:/lab/rpms
# timeout: 120
# The packages of RPM under a real systemd: install, start, replace with a session alive, remove. What they depend on is
# there under other names.
. /lab/system/lib.sh

rm /lab/rpms/*.src.rpm
packages=(/lab/rpms/*.rpm)
names=$(for file in "${packages[@]}"; do basename "$file" | sed 's/-[0-9].*//'; done)
manage() { # ARGUMENT...
    rpm --nodeps "$@" >/lab/rpm.log 2>&1 || { cat /lab/rpm.log; fail "rpm $1"; }
    ! grep -iE 'scriptlet failed|error|warning: %' /lab/rpm.log || { cat /lab/rpm.log; fail "rpm $1 complains"; }
}

step "install: users, ids, folders, and nothing runs"
manage -i "${packages[@]}"
getent passwd sandboxd sandboxd-box >/dev/null || fail "no users"
getent group sandbox >/dev/null || fail "no group"
for file in /etc/subuid /etc/subgid; do
    expect 1114112 "$(awk -F: '$1 == "sandboxd-box" { print $3 }' $file)" "$file"
done
[ -d /var/lib/sandboxd/images ] || fail "no folder of images"
expect "" "$(remains)" "after the installation"

step "start, and the self-test"
systemctl start sandboxd@worker1 || fail "start"
until_true 20 eval '[ "$(health pool_ready)" = 5 ]' || fail "the pool is not filled: $(get /health)"
sandboxctl test || fail "sandboxctl test"
systemctl start sandbox-coord || fail "the coordinator"
until_true 10 eval 'curl -sS -f http://127.0.0.1:8000/health | jq -e .pool_ready >/dev/null' || fail "the coordinator has no worker"

step "replaced: sessions live on, the configuration stays"
sed -i 's/^#POOL_SIZE=.*/POOL_SIZE=3/' /etc/default/sandboxd
worker=$(systemctl show -P MainPID sandboxd@worker1)
id=$(create) || fail "create"
run_in "$id" 'echo kept >file' >/dev/null || fail "exec"
manage -U --replacepkgs "${packages[@]}"
[ "$(systemctl show -P MainPID sandboxd@worker1)" != "$worker" ] || fail "the worker was not replaced"
expect kept "$(run_in "$id" 'cat file' | jq -r .stdout)" "the session's file"
expect 3 "$(health pool_size)" "the configuration"

step "removed: all ends, configuration that was changed is kept"
manage -e $names
until_true 10 eval '[ -z "$(remains)" ]' || fail "left: $(remains)"
expect "" "$(systemctl list-units --state=active,activating,failed --plain --no-legend 'sandbox*' | grep -v slice)" units
[ ! -e /usr/bin/sandboxd ] && [ ! -e /usr/libexec/sandboxd ] || fail "files are left"
[ -e /etc/default/sandboxd.rpmsave ] || fail "the configuration was not kept"
