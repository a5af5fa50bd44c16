#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 300
# What people run: a load of creates by hey, a long program on stdin, a compiler, a node script, output of a mebibyte, a
# hundred children, three hundred sessions at once.
set -u
. /lab/system/lib.sh

# as sandboxd-base-image(8) says
sed 's/^#?/?/' /usr/lib/sandboxd/base.packages >/etc/sandboxd/base.packages
systemctl start sandboxd@worker1 || fail "the worker does not start"

step "hey"
hey -n 100 -c 10 -m POST http://localhost:5000/create_session >/tmp/hey || fail "hey fails"
grep -q '\[201\].*100 responses' /tmp/hey || fail "not all are created: $(cat /tmp/hey)"
expect "" "$(grep -A 5 'Error distribution' /tmp/hey)" "errors of hey"
for id in $(get '/v1/sessions?limit=1000' | jq -r '.sessions[].session_id'); do
    curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$id" || fail "$id does not end"
done
expect 0 "$(health active_sessions)" "sessions left"

id=$(create)

step "a python program of 200 lines on stdin"
{
    echo 'import sys'
    for i in $(seq 1 197); do echo "def f$i(x): return x + $i  # ünïcödé and \"quotes\" \\ \$HOME \`id\`"; done
    echo 'total = sum(globals()[f"f{i}"](0) for i in range(1, 198))'
    echo 'print(total, len(sys.argv))'
} >/tmp/program.py
expect 200 "$(wc -l </tmp/program.py)" "lines"
answer=$(jq -n --rawfile stdin /tmp/program.py '{"argv": ["python3", "-", "a", "b"], $stdin}' |
    curl -sS -f -d @- "$WORKER_URL/v1/sessions/$id/exec")
expect "19503 3" "$(jq -r .stdout <<<"$answer")" "the program"
expect 0 "$(jq -r .exit_code <<<"$answer")" "its exit status"

step "a program in C, compiled and run"
compiles=$(create) # one of its own: what serves files stays in it
put() { curl -sS -f -o /dev/null -T "$1" "$WORKER_URL/v1/sessions/$compiles/files?path=$2" || fail "put $2"; }
for i in $(seq 1000); do echo "a$((i % 40)) Common"; done >/tmp/text
put /lab/system/words.c words.c
put /tmp/text text
answer=$(run_in "$compiles" 'gcc -O2 -g -Wall -Wextra -Werror -o words words.c -lm -pthread && ./words 2 <text')
expect 0 "$(jq -r .exit_code <<<"$answer")" "the compiler: $(jq -r .stderr <<<"$answer")"
# 17984 primes below 200000
expect "1000 common
25 a0
41 words, 17984 primes" "$(jq -r .stdout <<<"$answer")" "what was compiled"
answer=$(run_in "$compiles" 'echo "int main(void) { return nothing; }" >bad.c; gcc bad.c')
expect 1 "$(jq -r .exit_code <<<"$answer")" "a mistake in a program"
jq -r .stderr <<<"$answer" | grep -q "bad.c:1:.*error:.*nothing" || fail "what the compiler says: $answer"
curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$compiles" || fail "delete"

step "a node script"
answer=$(jq -n '{"argv": ["node", "-"], "stdin": "const a=[3,1,2].sort();console.log(JSON.stringify({a,n:process.version.length>1}))"}' |
    curl -sS -f -d @- "$WORKER_URL/v1/sessions/$id/exec")
expect '{"a":[1,2,3],"n":true}' "$(jq -r .stdout <<<"$answer")" "node"

step "output of a mebibyte"
answer=$(run_in "$id" 'head -c 1048576 /dev/zero | tr "\0" x')
expect 1048576 "$(jq -r '.stdout | length' <<<"$answer")" "bytes"
expect false "$(jq -r .stdout_truncated <<<"$answer")" "truncated"
answer=$(run_in "$id" 'head -c 1048577 /dev/zero | tr "\0" x')
expect true "$(jq -r .stdout_truncated <<<"$answer")" "truncated, one byte more"

step "a hundred children"
answer=$(run_in "$id" 'for i in $(seq 100); do (sleep 0.2; echo $i) & done; wait; echo all')
expect 101 "$(jq -j .stdout <<<"$answer" | wc -l)" "lines"
expect all "$(jq -j .stdout <<<"$answer" | tail -n 1)" "the last"
# process 1, the shell and what it runs
left=$(run_in "$id" 'ps -e -o pid=' | jq -j .stdout | wc -l)
[ "$left" -le 3 ] || fail "$left processes are left"

step "three hundred sessions"
hey -n 300 -c 10 -m POST http://localhost:5000/create_session >/tmp/hey
grep -q '\[201\].*300 responses' /tmp/hey || fail "not all are created: $(cat /tmp/hey)"
expect 301 "$(health active_sessions)" "alive"
n=0
for other in $(get '/v1/sessions?limit=1000' | jq -r '.sessions[].session_id' | shuf -n 20); do
    expect "sandboxuser" "$(run_in "$other" 'whoami' | jq -r .stdout)" "one of them"
    n=$((n + 1))
done
expect 20 $n "asked"
# each has a host id of its own
ids() { # of the first process of each: others of its program have the pid namespace of the system
    local pid
    for pid in $(pgrep -x sandbox-init); do
        [ "$(readlink "/proc/$pid/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || stat -c %u "/proc/$pid"
    done
}
ids >/tmp/ids
[ "$(wc -l </tmp/ids)" -ge 301 ] || fail "there are $(wc -l </tmp/ids) sandboxes"
expect "" "$(sort /tmp/ids | uniq -d)" "ids of two sandboxes"
systemctl stop sandboxd@worker1 || fail "does not stop"
until_true 20 stopped sandboxd-spawner@worker1.service || fail "the spawner does not stop"
expect "" "$(ps -eo args | grep '[s]andbox-init')" "left"
