#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 120
# Workers announce themselves in Redis, coordinators share it: as installed, with a password that only root can read.
. /lab/system/lib.sh

redis_password=secret redis_database=0
redis() { redis-cli --no-auth-warning -a "$redis_password" -n "$redis_database" "$@"; }
coordinator() { curl -sS "http://127.0.0.1:${2:-8000}$1"; }
status() { coordinator /health "${1:-8000}" | jq -r .status; }
worker_status() { coordinator /health | jq -r ".workers[] | select(.worker_id == \"$1\") | .status"; }

step "without Redis nothing is announced"
systemctl start sandboxd@worker1 || fail "start"
until_true 20 eval '[ "$(systemctl is-active sandboxd-announce@worker1)" = inactive ]' || fail "it stays"
expect success "$(systemctl show -P Result sandboxd-announce@worker1)" "how it ended"

step "with Redis, workers and a coordinator find each other"
sed -i '/^requirepass/d' /etc/redis/redis.conf
echo "requirepass secret" >>/etc/redis/redis.conf
systemctl restart redis-server || fail "Redis"
(umask 077 && echo secret >/etc/sandboxd/redis-password)
mkdir -p /etc/sandboxd/sandboxd.conf.d /etc/sandboxd/coordinator.conf.d
printf '[Redis]\nHost=localhost\n' >/etc/sandboxd/sandboxd.conf.d/redis.conf
printf '[Coordinator]\nDiscover=none\n[Redis]\nHost=127.0.0.1\n' >/etc/sandboxd/coordinator.conf.d/redis.conf
systemctl restart sandboxd@worker1 || fail "restart"
sandboxctl -q worker add worker2 --listen 127.0.0.1:5001 || fail "worker add"
systemctl start sandbox-coord || fail "start of the coordinator"
for worker in worker1 worker2; do
    until_true 20 eval '[ "$(worker_status $worker)" = healthy ]' || fail "$worker is not found"
    expect "$worker" "$(redis GET worker:$worker | jq -r .worker_id)" "what Redis has"
done
expect '"redis"' "$(coordinator /health | jq .store)"
expect healthy "$(status)"
[ "$(ps -o user= -p "$(systemctl show -P MainPID sandboxd-announce@worker1)")" != root ] || fail "it is root"

step "sessions are in Redis, as the guide shows them"
id=$(curl -sS -X POST http://127.0.0.1:8000/create_session | jq -r .session_id)
# the answer does not wait for it
until_true 5 eval '[ "$(redis EXISTS "session:$id")" = 1 ]' || fail "there is no record"
expect "session:$id" "$(redis KEYS 'session:*')" "KEYS"
expect "$id" "$(redis GET "session:$id" | jq -r .session_id)" "GET"
ttl=$(redis TTL "session:$id")
[ "$ttl" -gt 3500 ] && [ "$ttl" -le 3600 ] || fail "it lives for $ttl s"

step "another coordinator serves them"
setpriv --reuid sandbox-coord --regid sandbox-coord --groups "$(getent group sandbox | cut -d: -f3)" -- \
    env REDIS_PASSWORD=secret sandbox-coord --listen 127.0.0.1:8001 &
until_true 20 eval '[ "$(status 8001)" = healthy ]' || fail "the other is not healthy"
exec_in() { # PORT
    curl -sS -d '{"command":"whoami"}' "http://127.0.0.1:$1/v1/sessions/$id/exec" | jq -r .stdout
}
expect sandboxuser "$(exec_in 8001)" "a command through the other"
first=$(curl -sS -d '{"key":"k"}' http://127.0.0.1:8000/v1/sessions | jq -r .session_id)
expect "$first" "$(curl -sS -d '{"key":"k"}' http://127.0.0.1:8001/v1/sessions | jq -r .session_id)" "one key"

step "without Redis they go on, and say so once"
systemctl stop redis-server
until_true 20 eval '[ "$(status)" = degraded ]' || fail "not degraded"
expect sandboxuser "$(exec_in 8000)" "a command"
during=$(curl -sS -X POST http://127.0.0.1:8000/create_session | jq -r .session_id)
sleep 1
journalctl -q --sync
expect 1 "$(journalctl -q -b -o cat -u sandbox-coord | grep -c 'Redis cannot be used')" "messages"
systemctl start redis-server || fail "Redis"
until_true 20 eval '[ "$(status)" = healthy ]' || fail "not healthy again"
until_true 20 eval 'redis EXISTS "session:$during" | grep -q 1' || fail "what was missed is not written"

step "a worker that is stopped says good-bye"
systemctl stop sandboxd@worker2.socket sandboxd@worker2.service
until_true 20 eval '[ "$(redis EXISTS worker:worker2)" = 0 ]' || fail "it is still announced"
until_true 20 eval '[ "$(worker_status worker2)" != healthy ]' || fail "it is still used"
id=$(WORKER_URL=http://127.0.0.1:8001 create) || fail "no session of the worker that is left"
until_true 20 eval '[ "$(redis EXISTS "session:$id")" = 1 ]' || fail "it has no record"
expect 204 "$(curl -sS -o /dev/null -w '%{http_code}' -X DELETE "http://127.0.0.1:8001/v1/sessions/$id")" "delete"
until_true 20 eval '[ "$(redis EXISTS "session:$id")" = 0 ]' || fail "its record stays"

step "a configuration that cannot be read, at a reload, costs nothing"
announcer=$(systemctl show -P MainPID sandboxd-announce@worker1)
echo nonsense >/etc/sandboxd/sandboxd.conf.d/wrong.conf
systemctl reload sandboxd@worker1 || fail "reload"
sleep 1
expect "$announcer" "$(systemctl show -P MainPID sandboxd-announce@worker1)" "which process announces it"
rm /etc/sandboxd/sandboxd.conf.d/wrong.conf

step "a wrong password, by a reload, costs nothing"
(umask 077 && echo wrong-secret >/etc/sandboxd/redis-password)
systemctl reload sandbox-coord || fail "reload"
until_true 20 eval 'coordinator /health | grep -q WRONGPASS' || fail "it is not said: $(coordinator /health)"
expect degraded "$(status)"
expect "440 root:sandbox-coord" "$(stat -c '%a %U:%G' /run/sandboxd/redis-password)" "who may read the copy"
id=$(WORKER_URL=http://127.0.0.1:8000 create) || fail "no session"
until_true 20 eval '[ "$(redis EXISTS "session:$id")" = 1 ]' || fail "the former one is not told"

step "another password and another database, by a reload"
id=$(curl -sS -d '{"key":"kept"}' http://127.0.0.1:8000/v1/sessions | jq -r .session_id)
redis CONFIG SET requirepass second-secret >/dev/null
redis_password=second-secret redis_database=3
(umask 077 && echo second-secret >/etc/sandboxd/redis-password)
for program in sandboxd coordinator; do
    echo Database=3 >>/etc/sandboxd/$program.conf.d/redis.conf
done
systemctl reload sandbox-coord sandboxd@worker1 || fail "reload"
until_true 20 eval '[ "$(redis EXISTS "session:$id")" = 1 ]' || fail "what was known is not told: $(coordinator /health)"
expect "$id" "$(curl -sS -d '{"key":"kept"}' http://127.0.0.1:8000/v1/sessions | jq -r .session_id)" "one key"
until_true 20 eval '[ "$(redis EXISTS worker:worker1)" = 1 ]' || fail "the worker is not announced there"
expect worker1 "$(redis EVAL "return redis.call('ZRANGE','workers',0,-1)" 0 | cut -d' ' -f1)" "who is announced there"
until_true 20 eval '[ "$(redis -n 0 EXISTS worker:worker1)" = 0 ]' || fail "it is still announced here"
expect "healthy null" "$(worker_status worker1) $(coordinator /health | jq .store_error)"
printf '[Coordinator]\nDiscover=none\n' >/etc/sandboxd/coordinator.conf.d/redis.conf
systemctl reload sandbox-coord || fail "reload"
until_true 20 eval '[ "$(coordinator /health | jq -r .store)" = memory ]' || fail "Redis is still used"
rm /etc/sandboxd/sandboxd.conf.d/redis.conf
systemctl reload sandboxd@worker1 || fail "reload"
until_true 20 eval '[ "$(systemctl is-active sandboxd-announce@worker1)" = inactive ]' || fail "it is still announced"
expect 0 "$(redis EXISTS worker:worker1)" "what Redis has of it"

step "the password is nowhere to be read"
! journalctl -q -b -o export | grep -aw secret | grep -v 'requirepass\|redis-cli\|REDIS_PASSWORD' || fail "the journal has it"
kill %1 2>/dev/null
wait
