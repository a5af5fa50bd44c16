#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 180
# copy: packaging/nginx:/lab/nginx
# The coordinator as its package installs it: started by a connection, finds the workers of its machine, passes all of
# the API on, forgets nothing when it restarts, leaves out workers that fail; behind nginx; with keys.
. /lab/system/lib.sh

coordinator=http://127.0.0.1:8000
coord() { WORKER_URL=$coordinator "$@"; }
status_of() { coord get /health | jq -r --arg name "$1" '.workers[] | select(.worker_id == $name) | .status'; }
is_at() { [ "$(status_of "$1" 2>/dev/null)" = "$2" ]; }
main_pid() { systemctl show -P MainPID "$1"; }
now() { date +%s%N; }
# within MILLISECONDS TEXT COMMAND...: waits for COMMAND and fails when that took longer
within() {
    local limit=$1 text=$2 start took
    shift 2
    start=$(now)
    until_true 20 "$@" || fail "$text: never"
    took=$((($(now) - start) / 1000000))
    echo "$text: $took ms"
    [ $took -le "$limit" ] || fail "$text: that took more than $limit ms"
}

step "a connection starts it, and without workers it says so"
systemctl start sandbox-coord.socket || fail "start of the socket"
expect inactive "$(systemctl is-active sandbox-coord.service)"
expect 503 "$(curl -sS -o /lab/answer -w '%{http_code}' $coordinator/health)"
expect "unhealthy 0" "$(jq -r '"\(.status) \(.workers | length)"' /lab/answer)"
expect active "$(systemctl is-active sandbox-coord.service)"
expect "root:sandbox 660" "$(stat -c '%U:%G %a' /run/sandbox-coord.sock)"

step "workers come and go without a restart"
pid=$(main_pid sandbox-coord)
systemctl start sandboxd@worker1 || fail "start of worker1"
until_true 10 is_at worker1 healthy || fail "worker1 is not found: $(curl -s $coordinator/health)"
sandboxctl -q worker add worker2 --listen 127.0.0.1:5001 || fail "worker add"
until_true 10 is_at worker2 healthy || fail "worker2 is not found"
expect "healthy 10" "$(coord get /health | jq -r '"\(.status) \(.pool_size)"')"
expect unix:/run/sandboxd/worker2.sock "$(coord get /v1/workers | jq -r '.workers[] | select(.worker_id == "worker2").url')"
sandboxctl -q worker add worker3 || fail "worker add"
until_true 10 is_at worker3 healthy || fail "worker3 is not found"
id=
until [ -n "$id" ] && [ "$(coord get "/v1/sessions/$id" | jq -r .worker_id)" = worker3 ]; do id=$(coord create); done
sandboxctl -q worker remove worker3 --purge || fail "worker remove"
# it is not waited for: what it had is gone, and nothing is missing
within 3000 "a removed worker is out" eval '! is_at worker3 healthy'
within 4000 "and its sessions with it" eval '[ "$(curl -sS -o /lab/answer -w "%{http_code}" "$coordinator/v1/sessions/$id")" = 410 ]'
expect "lost" "$(jq -r .reason /lab/answer)" "the reason"
expect healthy "$(coord health status)" "without a removed worker"
for id in $(coord get '/v1/sessions?limit=1000' | jq -r '.sessions[].session_id'); do
    curl -sS -f -X DELETE "$coordinator/v1/sessions/$id" || fail "delete"
done
expect "$pid" "$(main_pid sandbox-coord)" "the coordinator's process"

step "everything of the API"
python3 /lab/system/whole-api.py $coordinator || fail "the API"
sandboxctl test >/lab/selftest || { cat /lab/selftest; fail "sandboxctl test"; }
expect 0 "$(coord health active_sessions)"

step "bodies of 100 MB"
peak() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$1/status"; }
head -c 100000000 /dev/zero | tr '\0' x >/lab/large
id=$(coord create '{"disk_limit":"250M"}')
put() { curl -sS -o /lab/answer -w '%{http_code}' -T /lab/large "$@" -X "${method-PUT}"; }
path=/v1/sessions/$id
# files go through: nobody keeps what is on its way
for process in sandbox-coord sandboxd@worker1 sandboxd@worker2; do echo 5 >"/proc/$(main_pid $process)/clear_refs"; done
declare -A before
for process in sandbox-coord sandboxd@worker1 sandboxd@worker2; do before[$process]=$(peak "$(main_pid $process)"); done
expect 201 "$(put "$coordinator$path/files?path=large")" "a file of 100 MB"
expect "100000000 x" "$(coord run_in "$id" 'stat -c %s large | tr "\n" " "; tr -d x <large; tail -c 1 large' | jq -r .stdout)"
expect "$(sha256sum </lab/large)" "$(coord get "$path/files?path=large" | sha256sum)" "and back"
expect 201 "$(put -H 'Transfer-Encoding: chunked' "$coordinator$path/files?path=chunks")" "one in chunks"
# a third one is more than the session may have
expect 507 "$(put "$coordinator$path/files?path=more")" "a third one"
jq -r .detail /lab/answer | grep disk_limit || fail "it does not say which limit: $(cat /lab/answer)"
# requests have a limit, whoever answers
for header in Expect: Expect:100-continue Transfer-Encoding:chunked; do
    for target in /v1/sessions "$path/exec"; do
        status=$(method=POST put -H "$header" -H Content-Type:application/json "$coordinator$target" || :)
        expect "413 body" "$status $(jq -r .field /lab/answer)" "$target, $header"
    done
done
for process in sandbox-coord sandboxd@worker1 sandboxd@worker2; do
    grown=$(($(peak "$(main_pid $process)") - before[$process]))
    echo "$process: $grown KiB more at most"
    [ $grown -lt $((32 * 1024)) ] || fail "$process keeps bodies"
done
expect 204 "$(curl -sS -o /dev/null -w '%{http_code}' -X DELETE "$coordinator$path")"
rm /lab/large

step "clients all at once"
hey -n 100 -c 10 -m POST $coordinator/create_session >/lab/hey || fail "hey"
grep -E '^ *\[[0-9]+\]|Requests/sec' /lab/hey
expect '[201]100' "$(grep -E '^ *\[[0-9]+\]' /lab/hey | awk '{ print $1 $2 }')"
expect 100 "$(coord get '/v1/sessions?limit=1000' | jq '.sessions | length')"
expect 2 "$(coord get '/v1/sessions?limit=1000' | jq '[.sessions[].worker_id] | unique | length')" "workers with sessions"
coord get '/v1/sessions?limit=1000' | jq -r '.sessions[].session_id' | xargs -P 8 -I{} curl -sS -f -X DELETE $coordinator/v1/sessions/{}

step "nothing is lost with it"
declare -A sessions
for i in 1 2 3 4 5 6; do
    id=$(coord post /v1/sessions "{\"key\":\"kept-$i\"}" | jq -r .session_id)
    coord run_in "$id" "echo $i >file" >/dev/null || fail "exec"
    sessions[$i]=$id
done
intact() {
    for i in "${!sessions[@]}"; do
        expect "$i" "$(coord run_in "${sessions[$i]}" 'cat file' | jq -r .stdout)" "after $1: session $i"
        expect "${sessions[$i]} true" "$(coord post /create_session "{\"key\":\"kept-$i\"}" | jq -r '"\(.session_id) \(.attached)"')" \
            "after $1: the session of key $i"
    done
}
systemctl restart sandbox-coord || fail "restart"
intact "a restart"
systemctl kill -s KILL --kill-whom=main sandbox-coord
intact "kill -9"
systemctl stop sandbox-coord.service
intact "a stop, by activation"
systemctl reload sandbox-coord || fail "reload"
intact "a reload"
for id in "${sessions[@]}"; do curl -sS -f -X DELETE "$coordinator/v1/sessions/$id"; done

step "a worker that hangs is left out, and used again"
until_true 10 is_at worker2 healthy || fail "worker2 is not healthy"
worker=$(main_pid sandboxd@worker2)
kill -STOP "$worker"
# asked every 2 s, with 0.6 s for the answer; and what a busy machine adds
within 4500 "a worker that hangs is out" eval '! is_at worker2 healthy'
for _ in 1 2 3 4 5 6; do expect worker1 "$(coord post /create_session '{}' | jq -r .worker_id)"; done
expect degraded "$(coord health status)"
kill -CONT "$worker"
within 6000 "and back" is_at worker2 healthy

step "so is one that is killed, with the sessions it kept"
id=
until [ -n "$id" ] && [ "$(coord get "/v1/sessions/$id" | jq -r .worker_id)" = worker2 ]; do id=$(coord create); done
coord run_in "$id" 'echo kept >file' >/dev/null
start=$(now)
systemctl kill -s KILL --kill-whom=main sandboxd@worker2
until_true 20 eval '[ "$(coord run_in "$id" "cat file" 2>/dev/null | jq -r .stdout)" = kept ]' || fail "its session is lost"
took=$((($(now) - start) / 1000000))
echo "its session answers again after $took ms"
[ $took -le 6000 ] || fail "that took more than 6 s"
systemctl stop sandboxd@worker2.service 2>/dev/null
within 3000 "a worker that is stopped is out" eval '! is_at worker2 healthy'
expect 201 "$(curl -sS -o /dev/null -w '%{http_code}' -X POST $coordinator/create_session)"
# its socket would start it: it is not asked how it is, and not for sessions that nobody knows
expect 404 "$(curl -sS -o /dev/null -w '%{http_code}' $coordinator/v1/sessions/11111111-1111-4111-8111-111111111111)"
coord get '/v1/sessions?limit=1000' >/dev/null || fail "no list"
sleep 5
expect "active inactive" "$(systemctl is-active sandboxd@worker2.socket sandboxd@worker2.service | xargs)" "nobody woke it"
systemctl start sandboxd@worker2
within 6000 "and back" is_at worker2 healthy

step "a worker that drains takes no new session"
sandboxctl worker drain worker2 || fail "drain"
until_true 5 is_at worker2 draining || fail "it does not drain"
for _ in 1 2 3 4 5 6; do expect worker1 "$(coord post /create_session '{}' | jq -r .worker_id)"; done
sandboxctl --url $coordinator worker undrain worker2 || fail "undrain through the coordinator"
until_true 5 is_at worker2 healthy || fail "it still drains"

step "an address for other machines takes keys"
mkdir -p /etc/systemd/system/sandbox-coord.socket.d
# as the manual has it
printf '%s\n' '[Socket]' ListenStream= ListenStream=/run/sandbox-coord.sock ListenStream=0.0.0.0:8000 \
    >/etc/systemd/system/sandbox-coord.socket.d/listen.conf
systemctl daemon-reload
systemctl stop sandbox-coord.socket sandbox-coord.service
! systemctl start sandbox-coord 2>/dev/null || fail "it listens for everyone without keys"
until_true 5 eval 'journalctl -q -b -u sandbox-coord | grep -q "no API keys are set"' || fail "it does not say why"
expect "78 0" "$(systemctl show -P ExecMainStatus sandbox-coord) $(systemctl show -P NRestarts sandbox-coord)"
systemctl stop sandbox-coord.socket sandbox-coord.service
systemctl reset-failed 'sandbox-coord.*'
{ read -r key; read -r line; } < <(sandboxctl -q key new alice)
printf '%s\n' "$line" | install -m 600 /dev/stdin /etc/sandboxd/coordinator-keys
printf '[Http]\nTrustedProxies=127.0.0.1\n[Coordinator]\nWorkers=http://127.0.0.1:5099\n' |
    install -D -m 644 /dev/stdin /etc/sandboxd/coordinator.conf.d/nginx.conf

step "nginx in front"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sandbox.example.org \
    -addext subjectAltName=DNS:sandbox.example.org -keyout /etc/ssl/private/sandbox.key -out /etc/ssl/certs/sandbox.pem 2>/dev/null ||
    fail "openssl"
echo '127.0.0.1 sandbox.example.org' >>/etc/hosts
cp /lab/nginx/sandbox-coord.conf /etc/nginx/conf.d/
# between the coordinator and worker1, to see what arrives there
cat >/etc/nginx/conf.d/witness.conf <<'CONF'
log_format witness '$request_method $uri from $http_x_forwarded_for';
server {
    listen 127.0.0.1:5099;
    access_log /var/log/nginx/witness.log witness;
    location / {
        proxy_pass http://unix:/run/sandboxd/worker1.sock:;
        proxy_http_version 1.1;
        proxy_set_header Host localhost;
        proxy_set_header Connection $sandbox_connection;
        proxy_set_header Upgrade $http_upgrade;
        proxy_buffering off;
        proxy_request_buffering off;
        client_max_body_size 0;
    }
}
CONF
usermod -a -G sandbox www-data
nginx -t 2>/lab/nginx-test || { cat /lab/nginx-test; fail "the configuration of nginx"; }
systemctl start nginx sandbox-coord || fail "start of nginx"
front=https://sandbox.example.org
tls() { curl -sS --cacert /etc/ssl/certs/sandbox.pem "$@"; }
until_true 10 eval '[ "$(tls $front/health | jq -r ".workers[0].url")" = http://127.0.0.1:5099 ]' || fail "nothing through nginx: $(tls $front/health)"
expect 401 "$(tls -o /dev/null -w '%{http_code}' -X POST $front/create_session)" "without a key"
KEY=$key python3 /lab/system/whole-api.py $front /etc/ssl/certs/sandbox.pem || fail "the API through nginx"
# what a client says of its address is not believed, nor passed on
spoofed() { tls -o /dev/null -w '%{http_code}' -X POST --interface "$1" -H "X-Forwarded-For: $2" "${@:3}" $front/v1/sessions; }
expect 201 "$(spoofed 127.0.0.2 203.0.113.9 -H "X-API-Key: $key")"
until_true 5 grep -q 'POST /v1/sessions from 127\.0\.0\.2, 127\.0\.0\.1$' /var/log/nginx/witness.log ||
    { tail -n 5 /var/log/nginx/witness.log; fail "the client's address does not arrive"; }
! grep -F 203.0.113. /var/log/nginx/witness.log || fail "an address that a client made up arrives"
printf '[Auth]\nRateLimit=6/h\n' | install -m 644 /dev/stdin /etc/sandboxd/coordinator.conf.d/rate.conf
systemctl reload sandbox-coord || fail "reload"
for i in 1 2 3 4 5 6; do expect 401 "$(spoofed 127.0.0.3 "203.0.113.$i")" "request $i without a key"; done
expect 429 "$(spoofed 127.0.0.3 203.0.113.7)" "one more, under another made up address"
expect 429 "$(spoofed 127.0.0.3 127.0.0.4)" "one more, under another's address"
expect 401 "$(spoofed 127.0.0.4 127.0.0.3)" "another client"
rm /etc/sandboxd/coordinator.conf.d/rate.conf
systemctl reload sandbox-coord || fail "reload"
expect 200 "$(tls -o /dev/null -w '%{http_code}%{num_connects}' -H "X-API-Key: $key" $front/v1/sessions | cut -c1-3)"
connections=$(ss -Htn state established '( sport = :8000 )' | wc -l)
for _ in 1 2 3 4 5 6 7 8; do tls -o /dev/null "$front/health"; done
[ "$(ss -Htn state established '( sport = :8000 )' | wc -l)" -le $((connections + 1)) ] || fail "connections are not kept"
systemctl stop nginx

step "a stop in the middle of a reload is a stop"
for n in 1 2 3 4 5 6 7 8; do
    systemctl reload --no-block sandbox-coord
    sleep 0.0$n
    systemctl stop sandbox-coord.service 2>/dev/null
    expect "inactive success" "$(systemctl show -P ActiveState sandbox-coord) $(systemctl show -P Result sandbox-coord)" "stop $n"
    systemctl start sandbox-coord || fail "start"
done
expect "" "$(find /run/sandboxd -name '.*keys*')" "halves of copies"

step "and nothing has gone wrong"
expect "" "$(journalctl -q -b -o cat -p crit -u sandbox-coord)"
expect "" "$(systemctl list-units --failed --no-legend 'sandbox*')" "failed units"
