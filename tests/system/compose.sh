#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container [vm]
# timeout: 240 1800
# options: --mem 4096
# install: no
# copy: packaging/compose:/lab/compose
# A coordinator, Redis and three workers in containers of the real Docker, by the real Compose. The image that all is
# built on is made of this machine's own packages: there is no registry here. In a virtual machine, where limits of
# sandboxes are real, it takes a quarter of an hour without KVM.
. /lab/system/lib.sh

url=http://127.0.0.1:8000
start_docker
compose() { (cd /lab/compose && BASE=base:1 REDIS_IMAGE=base:1 COMPOSE_PROJECT_NAME=fleet COMPOSE_HTTP_TIMEOUT=600 docker-compose "$@"); }
ready() { [ "$(curl -s $url/health | jq '[.workers[] | select(.status == "healthy" and .pool_ready > 0)] | length')" = "$1" ]; }

step "an image of this machine's packages"
tar -C / --one-file-system -c --exclude=./var/{lib/docker,lib/apt/lists,log/journal} --exclude=./lab \
    --exclude=./usr/lib/modules --exclude=./usr/{lib,libexec}/gcc --exclude=./usr/include --exclude='./usr/bin/docker*' \
    --exclude=./usr/sbin/dockerd --exclude='./usr/bin/containerd*' --exclude=./usr/bin/node --exclude=./etc/apt/sources.list \
    . 2>/dev/null | docker import - base:1 >/dev/null || fail "docker import"

step "up"
mkdir -p /lab/compose/packages
cp /lab/packages/*.deb /lab/compose/packages/
compose up --build --detach >/lab/up 2>&1 || { tail -n 40 /lab/up; fail "compose up"; }
until_true 120 ready 3 || {
    docker ps -a --format '{{.Names}}: {{.Status}}'
    for container in $(docker ps -aq); do docker logs --tail 5 "$container"; done
    fail "no three workers: $(curl -s $url/health)"
}
curl -s $url/health | jq -c '{status, store, workers: [.workers[] | {worker_id, url, status}]}'
expect redis "$(curl -s $url/health | jq -r .store)" "the store"

step "a session, and all of the API"
expect 201 "$(curl -sS -o /lab/answer -w '%{http_code}' -X POST $url/create_session)"
id=$(jq -r .session_id /lab/answer)
expect sandboxuser "$(WORKER_URL=$url run_in "$id" whoami | jq -r .stdout)"
expect "$id" "$(compose exec -T redis redis-cli GET "session:$id" | jq -r .session_id)" "the record in Redis"
python3 /lab/system/whole-api.py $url || fail "the API"
hey -n 100 -c 10 -m POST $url/create_session >/lab/hey || fail "hey"
expect '[201]100' "$(grep -E '^ *\[[0-9]+\]' /lab/hey | awk '{ print $1 $2 }')"

step "no process of a worker keeps a capability"
for container in $(compose ps -q worker); do
    count=0
    for pid in $(docker top "$container" -eo pid | tail -n +2); do
        # those in a user namespace have them there
        [ "$(readlink "/proc/$pid/ns/user")" = "$(readlink /proc/self/ns/user)" ] || continue
        caps=$(awk '$1 == "CapEff:" { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$caps" ] || continue
        expect 0000000000000000 "$caps" "capabilities of $(tr '\0' ' ' <"/proc/$pid/cmdline")"
        count=$((count + 1))
    done
    [ $count -ge 3 ] || fail "only $count processes"
done

step "more workers"
compose up --detach --scale worker=5 >/lab/up 2>&1 || { tail -n 40 /lab/up; fail "scale"; }
until_true 120 ready 5 || fail "no five workers: $(curl -s $url/health)"

step "down"
compose down >/lab/down 2>&1 || { cat /lab/down; fail "down"; }
! curl -s $url/health || fail "something answers"
