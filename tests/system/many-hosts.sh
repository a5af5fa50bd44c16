#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 180
# Five hosts, each a network namespace at a bridge: the coordinator, Redis, and three workers that nobody lists. Keys
# between them, cables that are pulled, Redis that goes away.
. /lab/system/lib.sh

url=http://127.0.0.1:8000
fleet() { WORKER_URL=$url "$@"; }
now() { date +%s%N; }
within() { # MILLISECONDS TEXT COMMAND...
    local limit=$1 text=$2 start took
    shift 2
    start=$(now)
    until_true 30 "$@" || fail "$text: never"
    took=$((($(now) - start) / 1000000))
    echo "$text: $took ms"
    [ $took -le "$limit" ] || fail "$text: that took more than $limit ms"
}
is_at() { [ "$(fleet get /health 2>/dev/null | jq -r --arg name "$1" '.workers[] | select(.worker_id == $name) | .status')" = "$2" ]; }
answers() { [ "$(curl -s $url/health | jq -r .status)" = "$1" ]; }

ip link add bridge type bridge && ip addr add 10.99.0.1/24 dev bridge && ip link set bridge up || fail "the bridge"
host() { # NAME NUMBER
    ip netns add "$1" && ip link add "to-$1" type veth peer name eth0 netns "$1" && ip link set "to-$1" master bridge up &&
        ip -n "$1" addr add "10.99.0.$2/24" dev eth0 && ip -n "$1" link set eth0 up && ip -n "$1" link set lo up ||
        fail "host $1"
}
on() { ip netns exec "$@"; }

step "Redis and three workers, on hosts of their own"
host redis 2
printf 'bind 10.99.0.2\nrequirepass secret\nsave ""\n' >/lab/redis.conf
# without the function: $! has to be the server itself, which ip(8) becomes
ip netns exec redis redis-server /lab/redis.conf >/lab/redis.log 2>&1 &
redis=$!
cli() { on redis redis-cli -h 10.99.0.2 -a secret --no-auth-warning "$@"; }
until_true 10 eval '[ "$(cli PING 2>/dev/null)" = PONG ]' || { cat /lab/redis.log; fail "Redis"; }
{ read -r key; read -r line; } < <(sandboxctl -q key new fleet)
printf '[Auth]\nKeys=%s\nCoordinators=fleet\n[Redis]\nHost=10.99.0.2\n' "$line" |
    install -D -m 644 /dev/stdin /etc/sandboxd/sandboxd.conf.d/fleet.conf
for n in 1 2 3; do
    host "host$n" "1$n"
    on "host$n" sandboxd --standalone --worker "host$n" --listen "10.99.0.1$n:5000" >"/lab/host$n.log" 2>&1 &
    until_true 30 grep -q '^ready' "/lab/host$n.log" || { cat "/lab/host$n.log"; fail "the worker of host $n"; }
    REDIS_PASSWORD=secret on "host$n" /usr/libexec/sandboxd/sandboxd-announce --worker "host$n" >"/lab/announce$n.log" 2>&1 &
done
until_true 10 eval '[ "$(cli --raw KEYS "worker:*" | wc -l)" = 3 ]' || { cat /lab/announce*; fail "nobody says that it is there"; }

step "the coordinator finds them"
echo secret | install -m 600 /dev/stdin /etc/sandboxd/redis-password
echo "$key" | install -m 600 /dev/stdin /etc/sandboxd/worker-key
printf '[Coordinator]\nDiscover=none\n[Redis]\nHost=10.99.0.2\n' |
    install -D -m 644 /dev/stdin /etc/sandboxd/coordinator.conf.d/fleet.conf
systemctl start sandbox-coord || fail "start of the coordinator"
until_true 10 answers healthy || fail "it is not well: $(curl -s $url/health)"
fleet get /health | jq -c '[.store, (.workers[] | [.worker_id, .url, .status])]'
expect "redis 3" "$(fleet get /health | jq -r '"\(.store) \(.workers | length)"')"
expect 401 "$(curl -s -o /dev/null -w '%{http_code}' http://10.99.0.11:5000/v1/sessions)" "a worker, without a key"

step "everything of the API, and clients all at once"
python3 /lab/system/whole-api.py $url || fail "the API"
hey -n 100 -c 10 -m POST http://localhost:8000/create_session >/lab/hey || fail "hey"
expect '[201]100' "$(grep -E '^ *\[[0-9]+\]' /lab/hey | awk '{ print $1 $2 }')"
expect 3 "$(fleet get '/v1/sessions?limit=1000' | jq '[.sessions[].worker_id] | unique | length')" "workers with sessions"
until_true 10 eval '[ "$(cli --raw KEYS "session:*" | wc -l)" -ge 100 ]' || fail "Redis knows $(cli --raw KEYS 'session:*' | wc -l)"
id=$(fleet get '/v1/sessions?limit=1000' | jq -r '[.sessions[] | select(.worker_id == "host2")][0].session_id')
expect host2 "$(cli GET "session:$id" | jq -r .worker_id)" "the record in Redis"
[ "$(cli TTL "session:$id")" -gt 3000 ] || fail "the record does not expire with its session"
fleet run_in "$id" 'echo kept >file' >/dev/null || fail "exec"

step "a cable is pulled"
ip link set to-host2 down
# asked every 2 s, with 0.6 s for the answer; and what a busy machine adds
within 4500 "its worker is out" eval '! is_at host2 healthy'
for _ in 1 2 3 4 5 6; do
    [ "$(fleet post /create_session '{}' | jq -r .worker_id)" != host2 ] || fail "a session on host2"
done
start=$(now)
status=$(curl -s -m 30 -o /dev/null -w '%{http_code}' "$url/v1/sessions/$id")
echo "its session answers $status after $((($(now) - start) / 1000000)) ms"
expect 502 "$status"
ip link set to-host2 up
within 8000 "and back" is_at host2 healthy
expect kept "$(fleet run_in "$id" 'cat file' | jq -r .stdout)" "the session"

step "Redis goes, and comes back"
[ "$(cat "/proc/$redis/comm")" = redis-server ] || fail "process $redis is not Redis"
kill -KILL $redis
until_true 10 answers degraded || fail "nobody notices: $(curl -s $url/health)"
other=$(fleet create) || fail "no session without Redis"
expect kept "$(fleet run_in "$id" 'cat file' | jq -r .stdout)" "a session, without Redis"
on redis redis-server /lab/redis.conf >/lab/redis.log 2>&1 &
until_true 20 answers healthy || fail "it is not well again: $(curl -s $url/health)"
until_true 20 eval '[ "$(cli GET "session:$other" | jq -r .session_id)" = "$other" ]' || fail "what Redis missed is not written"

step "the coordinator is killed"
systemctl kill -s KILL --kill-whom=main sandbox-coord
expect kept "$(fleet run_in "$id" 'cat file' | jq -r .stdout)" "the session"
until_true 10 answers healthy || fail "it is not well: $(curl -s $url/health)"
