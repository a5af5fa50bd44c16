#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 120
# The coordinator on the system bus: a message starts it, workers that come and go are told, who may do what.
. /lab/system/lib.sh

NAME=org.sandboxd.Coordinator
OBJECT="/org/sandboxd/coordinator org.sandboxd.Coordinator1"
as() { # USER COMMAND...
    local user=$1
    shift
    setpriv --reuid "$user" --regid "$user" --init-groups -- "$@"
}
# shellcheck disable=SC2086 # path and interface are words
call() { busctl call "$NAME" $OBJECT "$@" 2>&1; }
# shellcheck disable=SC2086
property() { busctl get-property "$NAME" $OBJECT "$1" | cut -d' ' -f2-; }
on_bus() { busctl status "$NAME" >/dev/null 2>&1; }

for user in alice carol; do useradd --create-home $user; done
usermod -a -G sandbox alice
systemctl start sandboxd@worker1 || fail "start"
until_true 20 eval '[ "$(health pool_ready)" = 5 ]' || fail "the pool is not filled"

step "a message starts it"
expect inactive "$(systemctl is-active sandbox-coord.service)" "before"
expect 'a(sssuuu) 1 "worker1" "unix:/run/sandboxd/worker1.sock" "healthy" 5 5 0' "$(call ListWorkers)"
expect active "$(systemctl is-active sandbox-coord.service)" "after"
expect 1 "$(property Workers)"
expect 5 "$(property PoolReady)"
expect '"memory"' "$(property Store)"
for interface in Peer Introspectable Properties ObjectManager; do
    busctl introspect $NAME /org/sandboxd | grep -q "^org.freedesktop.DBus.$interface " || fail "no $interface"
done
gdbus introspect --system -d $NAME -o /org/sandboxd/coordinator | grep -q 'out a(sssuuu) workers' || fail "arguments have no names"
python3 - <<'END' || fail "another client"
import dbus
o = dbus.SystemBus().get_object("org.sandboxd.Coordinator", "/org/sandboxd/coordinator")
p = dbus.Interface(o, "org.freedesktop.DBus.Properties").GetAll("org.sandboxd.Coordinator1")
assert p["PoolSize"] == 5 and p["MaxSessions"] > 0 and p["Version"], p
assert [str(w[0]) for w in o.ListWorkers(dbus_interface="org.sandboxd.Coordinator1")] == ["worker1"]
END

step "workers that come and go, to root and the group alone"
for user in root alice carol; do
    as $user timeout 60 gdbus monitor --system --dest $NAME >/tmp/signals-$user 2>&1 &
done
until_true 10 grep -q 'The name' /tmp/signals-alice || fail "alice does not listen"
sandboxctl -q worker add worker2 || fail "worker add"
for user in root alice; do
    until_true 20 grep -qF "WorkerUp ('worker2',)" /tmp/signals-$user || { cat /tmp/signals-$user; fail "$user: no WorkerUp"; }
    until_true 20 grep -qF "'Workers': <uint32 2>" /tmp/signals-$user || { cat /tmp/signals-$user; fail "$user: no PropertiesChanged"; }
done
sandboxctl -q worker remove worker2 || fail "worker remove"
until_true 20 grep -qF "WorkerDown ('worker2',)" /tmp/signals-alice || { cat /tmp/signals-alice; fail "no WorkerDown"; }
! grep -E 'Worker(Up|Down)|PropertiesChanged' /tmp/signals-carol || fail "carol hears signals"
kill %1 %2 %3 2>/dev/null
wait

step "others send nothing and have no such name"
as alice busctl call $NAME $OBJECT ListWorkers >/dev/null || fail "alice is not heard"
as carol busctl call $NAME $OBJECT ListWorkers 2>&1 | grep -q 'Access denied\|not allowed\|rejected' || fail "carol is heard"
for user in alice sandboxd; do
    as $user python3 -c "import dbus, sys; dbus.SystemBus().request_name(sys.argv[1])" $NAME 2>&1 |
        grep -q AccessDenied || fail "$user takes the name"
done
call ListWorkers sssss a b c d e | grep -q 'Invalid\|signature' || fail "too many arguments are taken"

step "the bus goes and comes"
pid=$(systemctl show -P MainPID sandbox-coord)
systemctl restart dbus.service
until_true 20 on_bus || fail "the name is not back"
expect "$pid" "$(systemctl show -P MainPID sandbox-coord)" "the process"
call ListWorkers | grep -q worker1 || fail "no answer after the bus came back"
expect healthy "$(curl -sS http://127.0.0.1:8000/health | jq -r .status)"
