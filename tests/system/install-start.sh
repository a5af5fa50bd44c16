#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# install: no
# newer: yes
# timeout: 180
# From dpkg -i to a session and back: install, start, first connection, reload, restart, stop.
. /lab/system/lib.sh

step "install: without a complaint, and nothing runs"
dpkg -i /lab/packages/*.deb >/lab/dpkg.log 2>&1 || { cat /lab/dpkg.log; fail "dpkg -i"; }
! grep -iE 'warning|error|fail' /lab/dpkg.log || fail "dpkg complains"
getent passwd sandboxd sandboxd-box >/dev/null || fail "no users"
getent group sandbox >/dev/null || fail "no group"
for file in /etc/subuid /etc/subgid; do
    expect 1114112 "$(awk -F: '$1 == "sandboxd-box" { print $3 }' $file)" "$file"
done
expect "" "$(remains)" "after the installation"
! systemctl is-active --quiet 'sandboxd*' || fail "a unit is active"
expect "root root 755" "$(stat -c '%U %G %a' /run/sandboxd)" /run/sandboxd

step "start"
time systemctl start sandboxd@worker1 || fail "start"
expect active "$(systemctl is-active sandboxd-spawner@worker1.service)" "the spawner"
expect "root sandbox 660" "$(stat -c '%U %G %a' /run/sandboxd/worker1.sock)" worker1.sock
expect "sandboxd-box sandboxd 660" "$(stat -c '%U %G %a' /run/sandboxd/worker1.spawner.sock)" worker1.spawner.sock
until_true 20 eval '[ "$(health pool_ready)" = 5 ]' || fail "the pool is not filled: $(get /health)"
expect healthy "$(health status)"
expect worker1 "$(health worker_id)"

step "what the journal and systemctl status say"
text=$(journalctl -q -b -o cat -u sandboxd@worker1)
echo "$text"
for i in 1 2 3 4 5; do
    grep -q "$i/5 ready" <<<"$text" || fail "the journal does not count $i/5"
done
for id in a63fb903c77d4f17a202f2b6ad8623ba 3bafd4ca80334654b5e1dcdd555f00f4 9467e61d1f094b46a4c719580d17c184; do
    expect 1 "$(journal_count $id WORKER_ID=worker1)" "MESSAGE_ID $id"
done
expect 1 "$(journal_count 8cd0cee39c429aa11900c0f958d1bcd7 WORKER_ID=worker1 SANDBOXD_IMAGE=base SANDBOXD_USER=sandboxuser SANDBOXD_POOL_SIZE=5)" "the pool"
expect 5 "$(journal_count 99089766082d4ad4a3293a12e9e16ee4 WORKER_ID=worker1 SANDBOXD_IMAGE=base SANDBOXD_POOL_SIZE=5)" "ready sandboxes"
for word in base sandboxuser; do
    grep -q "$word" <<<"$text" || fail "the journal does not tell \"$word\""
done
status=$(systemctl show -P StatusText sandboxd@worker1)
echo "status: $status"
[[ $status == *"5 of 5"*"0 sessions"* ]] || fail "the status does not count the pool and the sessions"
journalctl -q -b -x -u sandboxd@worker1 MESSAGE_ID=9467e61d1f094b46a4c719580d17c184 | grep -q '^░░ ' ||
    fail "the catalog has no entry"

step "a session"
id=$(create) || fail "create"
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" whoami
expect 3 "$(run_in "$id" 'exit 3' | jq -r .exit_code)" "exit status"
until_true 5 eval '[[ $(systemctl show -P StatusText sandboxd@worker1) == *"1 session"* ]]' || fail "the status does not count"

step "drained, and not any more: the status says so too"
sandboxctl -q worker drain worker1 || fail "drain"
until_true 10 eval '[[ $(systemctl show -P StatusText sandboxd@worker1) == *draining ]]' || fail "the status does not say that it drains"
sandboxctl -q worker undrain worker1 || fail "undrain"
until_true 10 eval '[[ $(systemctl show -P StatusText sandboxd@worker1) != *draining ]]' || fail "the status says that it drains"

step "reload"
systemctl reload sandboxd@worker1 || fail "reload"
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" "whoami after reload"

step "restart"
systemctl restart sandboxd@worker1 || fail "restart"
expect sandboxuser "$(run_in "$(create)" whoami | jq -r .stdout)" "whoami after restart"

step "stop: all of it, in time"
start=$(date +%s%N)
systemctl stop sandboxd@worker1 2>/dev/null || fail "stop"
until_true 10 eval '[ -z "$(remains)" ]' || fail "left: $(remains)"
echo "$((($(date +%s%N) - start) / 1000000)) ms"
until_true 10 stopped sandboxd-spawner@worker1.service || fail "the spawner does not stop"
expect success "$(systemctl show -P Result sandboxd@worker1.service)" "result of the worker"
expect success "$(systemctl show -P Result sandboxd-spawner@worker1.service)" "result of the spawner"
expect active "$(systemctl is-active sandboxd@worker1.socket)" "the socket"
[ ! -e /run/sandboxd/worker1 ] || fail "/run/sandboxd/worker1 is still there"

step "the first connection starts it again, and is served"
old=$id
id=$(create) || fail "create"
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" whoami
until_true 20 eval '[ "$(health pool_ready)" -ge 5 ]' || fail "the pool is not filled: $(get /health)"
expect healthy "$(health status)"
expect active "$(systemctl is-active sandboxd@worker1.service)"
expect healthy "$(curl -sS --unix-socket /run/sandboxd/worker1.sock http://localhost/health | jq -r .status)"
expect 1 "$(health active_sessions)"
! run_in "$old" whoami 2>/dev/null || fail "a session of before is there"

step "the target stops every worker, and then the socket too"
systemctl stop sandboxd.target
until_true 10 eval '[ -z "$(remains)" ]' || fail "left: $(remains)"
expect inactive "$(systemctl is-active sandboxd@worker1.socket)" "the socket"
! get /health 2>/dev/null || fail "something answers"

step "enabled, it belongs to the target"
systemctl enable --quiet sandboxd@worker1
systemctl start sandboxd.target
expect active "$(systemctl is-active sandboxd@worker1.service)"
systemctl disable --quiet sandboxd@worker1
systemctl stop sandboxd.target

step "enabled with its socket alone, it waits for a connection"
systemctl enable --quiet --now sandboxd@worker1.socket
expect inactive "$(systemctl is-active sandboxd@worker1.service)"
expect sandboxuser "$(run_in "$(create)" whoami | jq -r .stdout)" whoami
expect "" "$(systemctl list-units --failed --no-legend 'sandboxd*')" "failed units"
