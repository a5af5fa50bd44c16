#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 280
# The services among what administrators and crashes do to them, while clients go on.
. /lab/system/lib.sh

worker=sandboxd@worker1.service spawner=sandboxd-spawner@worker1.service
pid() { systemctl show -P MainPID "$1"; }

# Sessions, one after the other, until /lab/stop is there; what goes wrong is in /lab/wrong.
load() {
    rm -f /lab/stop /lab/wrong
    touch /lab/wrong
    ( n=0
      while [ ! -e /lab/stop ]; do
          id=$(create 2>&1) && [ "$(run_in "$id" 'echo $((6*7))' 2>&1 | jq -r .stdout)" = 42 ] &&
              curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$id" || echo "request $n: $id" >>/lab/wrong
          n=$((n + 1))
          echo $n >/lab/count
      done ) >/dev/null 2>&1 &
    load=$!
}
load_ends() { # WHAT
    touch /lab/stop
    wait $load
    expect "" "$(head -n 3 /lab/wrong)" "$1, of $(cat /lab/count) sessions,"
}

systemctl start sandboxd@worker1 || fail "start"
expect "" "$(systemctl list-units --failed --no-legend)" "failed units"
id=$(create)
run_in "$id" 'echo kept >f' >/dev/null || fail "exec"

step "reload with another configuration, and with one that is broken"
was=$(pid "$worker")
load
for size in 4 6 3; do
    sed -i "/^POOL_SIZE=/d" /etc/default/sandboxd
    echo "POOL_SIZE=$size" >>/etc/default/sandboxd
    systemctl reload "$worker" || fail "reload"
    sleep 0.3
done
sed -i "/^POOL_SIZE=/d" /etc/default/sandboxd
conf=/etc/sandboxd/sandboxd.conf
cp "$conf" /lab/conf.was
echo 'Nonsense=1' >>"$conf"
systemctl reload "$worker" || true
sleep 0.5
expect "$was" "$(pid "$worker")" "the worker's process"
journalctl -q -b -u "$worker" | grep -q Nonsense || fail "the journal does not name the setting"
cp /lab/conf.was "$conf"
systemctl reload "$worker" || fail "reload"
load_ends "reloads"

step "a stop in the middle of a reload is a stop"
sandboxctl -q worker add brief || fail "another worker"
for n in 1 3 6; do # more in a short time would be too many starts
    systemctl reload --no-block sandboxd@brief
    sleep 0.0$n
    systemctl stop sandboxd@brief.service 2>/dev/null
    expect "inactive success" "$(systemctl show -P ActiveState sandboxd@brief) $(systemctl show -P Result sandboxd@brief)" "stop $n"
    systemctl reset-failed 'sandboxd*@brief.*' 2>/dev/null # so many starts in so few seconds
    systemctl start sandboxd@brief || fail "start"
done
sandboxctl -q worker remove brief --purge || fail "remove"
expect "" "$(find /run/sandboxd -name '.*keys*')" "halves of copies"

step "no journal"
load
systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald 2>/dev/null
sleep 2
expect "$was" "$(pid "$worker")" "the worker's process"
before=$(cat /lab/count)
sleep 2
[ "$(cat /lab/count)" -gt "$before" ] || fail "nothing goes on without a journal"
systemctl start systemd-journald
load_ends "a journal that stops"

step "no more control groups: refused for a while, and all is well after"
tree=/sys/fs/cgroup/sandboxd.slice/$spawner
find "$tree" -mindepth 1 -type d | wc -l >"$tree/cgroup.max.descendants"
for _ in $(seq 40); do
    status=$(curl -sS -D /lab/head -o /lab/answer -w '%{http_code}' -X POST "$WORKER_URL/v1/sessions")
    [ "$status" = 201 ] || break
    jq -r .session_id /lab/answer >>/lab/made
done
expect 503 "$status" "a create without a control group: $(cat /lab/answer)"
grep -qi '^retry-after:' /lab/head || fail "no Retry-After"
expect kept "$(run_in "$id" 'cat f' | jq -r .stdout)" "a session"
echo max >"$tree/cgroup.max.descendants"
until_true 5 eval 'next=$(create 2>/dev/null)' || fail "no session after that"
for made in $(cat /lab/made) "$next"; do curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$made" || fail "delete"; done

step "workers are killed 200 times at any moment of a session's life: nothing half stays"
mkdir -p /run/systemd/system/sandboxd@.service.d
printf '[Unit]\nStartLimitIntervalSec=0\n' >/run/systemd/system/sandboxd@.service.d/often.conf
systemctl daemon-reload
for n in 2 3 4; do sandboxctl -q worker add "often$n" --listen "127.0.0.1:500$n" || fail "another worker"; done
python3 /lab/system/kills.py 200 worker1=5000 often2=5002 often3=5003 often4=5004 || fail "see above"
for n in 2 3 4; do sandboxctl -q worker remove "often$n" --purge || fail "remove"; done
rm /run/systemd/system/sandboxd@.service.d/often.conf
systemctl daemon-reload
until_true 60 eval '[ "$(health pool_ready)" = "$(health pool_size)" ]' || fail "the pool is not full: $(get /health)"
# the pool's, the session's, and those that are made ahead; those that ended a moment ago are being reaped
boxes() { cat "$tree"/slot-*/cgroup.procs | wc -l; }
until_true 20 eval '[ "$(boxes)" -le $(($(health pool_ready) + 1 + BLANKS_MAX)) ]' || fail "$(boxes) sandboxes, $(get /health)"
expect kept "$(run_in "$id" 'cat f' | jq -r .stdout)" "the session"
was=$(pid "$worker")

# with systemd 254 and later, see spawner-heir.conf
kept=$(systemctl show -P KillMode "$spawner")
case $kept in process) outcome="sessions stay" ;; *) outcome="sessions are lost and told so" ;; esac
step "the spawner's main process is killed: $outcome, the next are served within 2 s"
former=$(pid "$spawner")
kill -9 "$former"
# three times that on a machine that is busy
next=
until_true 6 eval 'next=$(create 2>/dev/null)' || fail "no session"
expect 42 "$(run_in "$next" 'echo $((6*7))' | jq -r .stdout)"
if [ "$kept" = process ]; then
    until_true 20 eval '[ "$(pid "$spawner")" != "$former" ] && [ "$(pid "$spawner")" != 0 ]' || fail "no other"
    expect kept "$(run_in "$id" 'cat f' | jq -r .stdout)" "a session that outlives it"
    # now all of it
    systemctl kill -s KILL "$spawner"
    until_true 6 eval 'next=$(create 2>/dev/null)' || fail "no session"
    expect 42 "$(run_in "$next" 'echo $((6*7))' | jq -r .stdout)"
fi
expect "410 lost" "$(curl -sS -o /lab/answer -w '%{http_code} ' "$WORKER_URL/v1/sessions/$id"; jq -r .reason /lab/answer)"
expect "$was" "$(pid "$worker")" "the worker's process"

step "a stop under load: answers or ends of connections, nothing else, and all ends in time"
load
sleep 0.5
begin=$SECONDS
systemctl stop "$worker" sandboxd@worker1.socket
[ $((SECONDS - begin)) -lt 25 ] || fail "it took $((SECONDS - begin)) s"
touch /lab/stop
wait $load
# those that still wait in the socket when it is closed are reset
! grep -vE 'Failed to connect|Connection refused|Connection reset|Empty reply|Could.?n.t connect|503|410|request [0-9]+: [0-9a-f-]*$' /lab/wrong || fail "other than refused"
expect success "$(systemctl show -P Result "$worker")" "the worker's result"
until_true 20 stopped "$spawner" || fail "the spawner does not stop"
expect "" "$(remains)" "what remains"

step "a worker that falls at once is not started for ever, and says so"
mkdir -p "/run/systemd/system/$worker.d"
printf '[Service]\nExecStart=\nExecStart=/bin/sh -c "kill -SEGV $$$$"\n' >"/run/systemd/system/$worker.d/fall.conf"
systemctl daemon-reload
systemctl start "$worker" 2>/dev/null && fail "it starts"
until_true 30 eval '[ "$(systemctl show -P ActiveState $worker)" = failed ]' || fail "it is still tried: $(systemctl show -P ActiveState "$worker")"
[ "$(systemctl show -P NRestarts "$worker")" -le 11 ] || fail "$(systemctl show -P NRestarts "$worker") restarts"
rm "/run/systemd/system/$worker.d/fall.conf"
systemctl daemon-reload
systemctl reset-failed "$worker"
systemctl start sandboxd@worker1.socket "$worker" || fail "start"
id=$(create) || fail "create"
expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)"
