#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 180
# The worker on the system bus: objects, signals, who may do what, a bus that goes away.
. /lab/system/lib.sh

NAME=org.sandboxd.worker.worker1
WORKER="/org/sandboxd/worker org.sandboxd.Worker1"
as() { # USER COMMAND...
    local user=$1
    shift
    setpriv --reuid "$user" --regid "$user" --init-groups -- "$@"
}
# shellcheck disable=SC2086 # paths and interfaces are words
call() { busctl --allow-interactive-authorization=no call "$NAME" $WORKER "$@" 2>&1; }
# shellcheck disable=SC2086
call_as() { local user=$1; shift; as "$user" busctl --allow-interactive-authorization=no call "$NAME" $WORKER "$@" 2>&1; }
session() { local user=$1 path=$2; shift 2; as "$user" busctl --allow-interactive-authorization=no call "$NAME" "$path" org.sandboxd.Session1 "$@" 2>&1; }
property() { busctl get-property "$NAME" $WORKER "$1" | cut -d' ' -f2-; }
on_bus() { busctl status "$NAME" >/dev/null 2>&1; }
path_of() { cut -d'"' -f4; }
descriptors() { ls /proc/"$(systemctl show -P MainPID sandboxd@worker1)"/fd | wc -l; }

for user in alice bob carol; do useradd --create-home $user; done
usermod -a -G sandbox alice
usermod -a -G sandbox bob
systemctl start sandboxd@worker1 || fail "start"
until_true 5 on_bus || fail "the worker is not on the bus"
until_true 20 eval '[ "$(property PoolReady)" = 5 ]' || fail "the pool is not filled"
before=$(descriptors)

step "what it tells"
expect '"worker1"' "$(property WorkerId)"
expect '2 "/run/sandboxd/worker1.sock" "127.0.0.1:5000"' "$(property Listen)"
for interface in Peer Introspectable Properties ObjectManager; do
    busctl introspect $NAME /org/sandboxd | grep -q "^org.freedesktop.DBus.$interface " || fail "no $interface"
done
gdbus introspect --system -d $NAME -o /org/sandboxd/worker | grep -q 'in  a{sv} options' || fail "arguments have no names"
gdbus introspect --system -d $NAME -o /org/sandboxd/worker --recurse >/dev/null || fail "gdbus introspect"

step "a session over HTTP is one here, and the other way round"
id=$(create '{"metadata":{"a":"b"}}')
path=$(call GetSession s "$id" | cut -d'"' -f2)
expect '"running"' "$(busctl get-property $NAME "$path" org.sandboxd.Session1 State | cut -d' ' -f2)"
expect 'isayay 0 "exited" 12 115 97 110 100 98 111 120 117 115 101 114 10 0' "$(session root "$path" Execute 'sa{sv}' whoami 0)"
there=$(call CreateSession 'a{sv}' 1 Key s build)
expect uid:0 "$(busctl get-property $NAME "$(path_of <<<"$there")" org.sandboxd.Session1 Owner | tr -d '"' | cut -d' ' -f2)"
expect sandboxuser "$(run_in "$(cut -d'"' -f2 <<<"$there")" whoami | jq -r .stdout)"
expect "$there" "$(call CreateSession 'a{sv}' 1 Key s build)" "the same key"

step "signals, to root and the group alone"
for user in root alice carol; do
    as $user timeout 120 gdbus monitor --system --dest org.sandboxd.worker >/tmp/signals-$user 2>&1 &
done
as carol timeout 120 dbus-monitor --system "type='signal',path_namespace='/org/sandboxd'" >/tmp/signals-carol-2 2>&1 &
# they tell who has the name once they listen
for user in root alice carol; do
    until_true 10 grep -q ' is owned by ' /tmp/signals-$user || fail "$user does not listen: $(cat /tmp/signals-$user)"
done
until_true 10 grep -q NameAcquired /tmp/signals-carol-2 || fail "carol does not listen: $(cat /tmp/signals-carol-2)"
one=$(call CreateSession 'a{sv}' 1 Metadata 'a{ss}' 1 word secret | path_of)
session root "$one" Execute 'sa{sv}' 'exit 4' 0 >/dev/null
session root "$one" SetTimeout t 100000000 >/dev/null
# one that has ended before its change was told is told to have ended
for user in root alice; do
    until_true 10 grep -qF "PropertiesChanged ('org.sandboxd.Session1'" /tmp/signals-$user || fail "$user hears no change"
done
session root "$one" Terminate >/dev/null
for user in root alice; do
    until_true 5 grep -q SessionRemoved /tmp/signals-$user || { cat /tmp/signals-$user; fail "$user hears no signals"; }
    until_true 5 grep -q InterfacesRemoved /tmp/signals-$user || fail "$user hears no InterfacesRemoved"
    for wanted in "SessionNew ('" "InterfacesAdded (objectpath '$one'" "'word': 'secret'" "ExecExited ('" ", 4, 'exited')" \
        "'ActiveSessions': <uint32 3>" "'deleted')"; do
        grep -qF -- "$wanted" /tmp/signals-$user || { cat /tmp/signals-$user; fail "$user did not hear $wanted"; }
    done
done
! grep -E 'sandboxd/session|secret|SessionNew' /tmp/signals-carol /tmp/signals-carol-2 || fail "carol hears signals"
kill %1 %2 %3 %4 2>/dev/null
wait

step "others than root and the group send nothing"
call_as carol ListSessions | grep -q 'Access denied\|not allowed\|rejected' || fail "carol is heard: $(call_as carol ListSessions)"
for name in $NAME org.sandboxd.worker org.sandboxd.worker.evil org.sandboxd.Coordinator; do
    for user in alice carol; do
        as $user python3 -c "import dbus, sys; dbus.SystemBus().request_name(sys.argv[1])" $name 2>&1 |
            grep -q AccessDenied || fail "$user takes the name $name"
    done
done

step "members of the group have sessions of their own"
made=$(call_as alice CreateSession 'a{sv}' 0)
mine=$(path_of <<<"$made")
mine_id=$(cut -d'"' -f2 <<<"$made")
expect 'isayay 0 "exited" 3 104 105 10 0' "$(session alice "$mine" Execute 'sa{sv}' 'echo hi' 0)"
expect 1 "$(call_as alice ListSessions | cut -d' ' -f2)"
expect 0 "$(call_as bob ListSessions | cut -d' ' -f2)"
expect 3 "$(call ListSessions | cut -d' ' -f2)"
as alice busctl tree --list $NAME | grep -qx "$mine" || fail "alice does not see her session"
! as bob busctl tree --list $NAME | grep -q session/_ || fail "bob sees sessions of others"
call_as bob GetSession s "$mine_id" | grep -q "no session" || fail "bob finds it"
as bob busctl get-property $NAME "$mine" org.sandboxd.Session1 Metadata 2>&1 | grep -q "no session" || fail "bob reads it"
for method in "Terminate" "Execute sa{sv} whoami 0" "SetTimeout t 5000000"; do
    # shellcheck disable=SC2086
    session bob "$mine" $method | grep -qi 'authoriz\|password' || fail "bob: $method: $(session bob "$mine" $method)"
done
call_as bob DestroySession s "$mine_id" | grep -qi 'password' || fail "bob ends it"
expect 'isayay 0 "exited" 3 104 105 10 0' "$(session root "$mine" Execute 'sa{sv}' 'echo hi' 0)" "root"

step "the worker is managed by root, and by those whom a rule names"
call_as alice Drain | grep -q 'password' || fail "alice drains: $(call_as alice Drain)"
expect false "$(property Draining)"
cat >/etc/polkit-1/rules.d/10-test.rules <<'RULE'
polkit.addRule(function(action, subject) {
    if (action.id == "org.sandboxd.manage-workers" && subject.user == "alice")
        return polkit.Result.YES;
    if (action.id == "org.sandboxd.create-session" && subject.user == "bob")
        return polkit.Result.NO;
});
RULE
until_true 10 eval '[ -z "$(call_as alice Drain)" ]' || fail "alice may not: $(call_as alice Drain)"
expect true "$(property Draining)"
call CreateSession 'a{sv}' 0 | grep -q "no new sessions" || fail "it is not draining"
expect "" "$(call_as alice Undrain)"
expect "" "$(call_as alice SetPoolSize u 7)"
until_true 10 eval '[ "$(property PoolReady)" = 7 ]' || fail "the pool did not grow"
call_as alice SetPoolSize u 1000 | grep -q '2 to 20' || fail "a pool of 1000"
call SetPoolSize u 5 >/dev/null
call_as bob CreateSession 'a{sv}' 0 | grep -q 'rules of polkit' || fail "bob may: $(call_as bob CreateSession 'a{sv}' 0)"

step "without polkit"
systemctl stop polkit
mkdir /lab/polkit
mv /usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service /lab/polkit/
systemctl reload dbus
expect 'isayay 0 "exited" 3 104 105 10 0' "$(session alice "$mine" Execute 'sa{sv}' 'echo hi' 0)" "alice, her own"
session bob "$mine" Terminate | grep -q 'only root' || fail "bob ends it"
call_as alice Drain | grep -q 'only root' || fail "alice drains"
expect "" "$(call_as alice DestroySession s "$mine_id")"
mv /lab/polkit/* /usr/share/dbus-1/system-services/
rm /etc/polkit-1/rules.d/10-test.rules
systemctl reload dbus

step "another client"
python3 /lab/system/dbus-client.py || fail "the client"

step "attacks"
python3 /lab/system/dbus-attack.py || fail "something did not hold"

step "a command ends with its caller"
timeout 1 busctl call $NAME "$path" org.sandboxd.Session1 Execute 'sa{sv}' 'sleep 1234' 0
until_true 5 eval '! pgrep -f "sleep 1234" >/dev/null' || fail "it runs on"

step "a second worker, under the same policy"
sandboxctl worker add worker-2 --listen 127.0.0.1:5001 || fail "worker add"
until_true 5 busctl status org.sandboxd.worker.worker_2d2 >/dev/null || fail "the second is not on the bus"
expect 'a(sosst) 0' "$(as bob busctl call org.sandboxd.worker.worker_2d2 $WORKER ListSessions 2>&1)" "bob and the second worker"
as carol busctl call org.sandboxd.worker.worker_2d2 $WORKER ListSessions 2>&1 | grep -q 'Access denied\|not allowed\|rejected' ||
    fail "carol and the second worker"
systemctl stop sandboxd@worker-2

step "a bus that does not answer holds nobody up"
as alice python3 -c 'import dbus, time; dbus.SystemBus(); time.sleep(3)' &
kill -STOP "$(systemctl show -P MainPID dbus)"
start=$(date +%s%N)
for _ in 1 2 3 4 5 6 7 8 9 10; do
    expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" "while the bus is stopped"
done
took=$((($(date +%s%N) - start) / 1000000))
kill -CONT "$(systemctl show -P MainPID dbus)"
[ $took -lt 15000 ] || fail "ten commands took $took ms"
wait
until_true 5 on_bus || fail "not on the bus"

step "nor does a caller whom it does not tell about"
worker=$(systemctl show -P MainPID sandboxd@worker1)
kill -STOP "$worker"
call_as bob ListSessions >/tmp/bob &
sleep 0.5
kill -STOP "$(systemctl show -P MainPID dbus)"
kill -CONT "$worker"
start=$(date +%s%N)
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" "while a caller is looked at"
took=$((($(date +%s%N) - start) / 1000000))
kill -CONT "$(systemctl show -P MainPID dbus)"
wait
echo "$took ms; bob: $(cat /tmp/bob)"
[ $took -lt 15000 ] || fail "the command took $took ms"
until_true 20 eval '[ "$(call_as bob ListSessions)" = "a(sosst) 0" ]' || fail "bob stays unknown: $(call_as bob ListSessions)"

step "the bus restarts: sessions live, the names come back"
pid=$(systemctl show -P MainPID sandboxd@worker1)
systemctl restart dbus
start=$(date +%s%N)
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" "while the bus restarts"
until_true 10 on_bus || fail "the name does not come back"
echo "$((($(date +%s%N) - start) / 1000000)) ms"
expect 'isayay 0 "exited" 3 104 105 10 0' "$(session root "$path" Execute 'sa{sv}' 'echo hi' 0)" "after the restart"
systemctl stop dbus.socket dbus.service
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)" "without a bus"
other=$(create)
sleep 2
systemctl start dbus.socket
until_true 10 on_bus || fail "the name does not come back after the bus was away"
busctl get-property $NAME "$(call GetSession s "$other" | cut -d'"' -f2)" org.sandboxd.Session1 State >/dev/null ||
    fail "a session of meanwhile is not there"
expect "$pid" "$(systemctl show -P MainPID sandboxd@worker1)" "the worker's process"

step "nothing is left"
for session in $(get /v1/sessions | jq -r '.sessions[].session_id'); do call DestroySession s "$session" >/dev/null; done
until_true 10 eval '[ "$(property PoolReady)" = 5 ]' || fail "the pool is not filled"
until_true 5 eval '[ "$(descriptors)" -le "$before" ]' || { ls -l /proc/"$pid"/fd; fail "$before descriptors before, $(descriptors) now"; }
! journalctl -q -b -u sandboxd@worker1 -p err -o cat | grep . || fail "errors in the journal"
