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

step "sessions over all workers, each user's his own"
useradd --create-home bob
usermod -a -G sandbox bob
methods() { busctl introspect $NAME /org/sandboxd/coordinator | awk '$2 == "method" { print $1 }'; }
methods | grep -q CreateSession || fail "no CreateSession"
# shellcheck disable=SC2086
as_user() { as "$1" busctl call "$NAME" $OBJECT "${@:2}" 2>&1; }
id=$(as_user alice CreateSession 'a{sv}' 2 Timeout u 300 Key s k | cut -d'"' -f2)
expect "$id" "$(as_user alice CreateSession 'a{sv}' 1 Key s k | cut -d'"' -f2)" "the same key"
expect "$id" "$(get "/v1/sessions?limit=1" | jq -r '.sessions[0].session_id')" "what the worker has"
expect uid:"$(id -u alice)" "$(get "/v1/sessions/$id" | jq -r .owner)" "its owner"
expect 'isayay 3 "exited" 3 104 105 10 0' "$(as_user alice Execute 'ssa{sv}' "$id" 'echo hi; exit 3' 0)" "a command"
as_user alice ListSessions | grep -q "$id" || fail "alice does not see it"
expect 'a(sosst) 0' "$(as_user bob ListSessions)" "what bob sees"
as_user bob GetSession s "$id" | grep -q 'no session' || fail "bob gets it"
as_user bob DestroySession s "$id" | grep -q 'no session' || fail "bob ends it"
as_user carol GetSession s "$id" | grep -q 'Access denied\|not allowed\|rejected' || fail "carol is heard"
as_user root Execute 'ssa{sv}' "$id" true 0 | grep -q 'isayay 0 "exited" 0 0' || fail "root cannot"
as_user alice SetTimeout st "$id" 600000000 || fail "SetTimeout"
as_user alice Pause s "$id" || fail "Pause"
as_user alice ListSessions | grep -q '"paused"' || fail "it is not paused"
as_user alice Resume s "$id" || fail "Resume"
as_user alice CreateSession 'a{sv}' 1 Nonsense s x | grep -q 'no option "Nonsense"' || fail "an option that is none"
as_user alice CreateSession 'a{sv}' 1 Timeout s never | grep -qi 'timeout' || fail "a bad value"
as_user alice DestroySession s "$id" || fail "DestroySession"
as_user alice GetSession s "$id" | grep -q 'ended\|no session' || fail "it is still there"
socket=$(ss -xlnp | grep sandbox-coord | grep -o '@[0-9a-f]*' | head -1)
python3 - "${socket#@}" <<'END' || fail "its own socket serves others"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("\0" + sys.argv[1])
s.settimeout(10)
try:  # it is closed without an answer, sometimes before the question
    s.sendall(b"GET /v1/workers HTTP/1.1\r\nHost: x\r\n\r\n")
    assert s.recv(100) == b""
except (ConnectionResetError, BrokenPipeError):
    pass
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
until_true 20 eval 'call ListWorkers | grep -q worker1' || fail "no answer after the bus came back"
until_true 20 eval '[ "$(curl -sS http://127.0.0.1:8000/health | jq -r .status)" = healthy ]' || fail "not healthy"
