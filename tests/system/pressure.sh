#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: vm
# options: --mem 768
# timeout: 600
# The machine has too little memory for what runs on it: the pool gives way first, then no sessions are made, all before
# the kernel kills anything, and it is over when there is memory again. Who is killed when all that is not enough is in
# power-cut.sh. Before that: too few processors, as the kernel would tell after minutes.
. /lab/system/lib.sh

worker=sandboxd@worker1.service spawner=sandboxd-spawner@worker1.service
pressure=9e93e20379234cfc807eb5f2ab128ac1
killed() { journalctl -k -b -o cat | grep -c 'Killed process'; }

[ -e /proc/pressure/memory ] || { echo "this kernel does not tell of pressure"; exit 77; }
sed -i '/^POOL_SIZE=/d' /etc/default/sandboxd
echo POOL_SIZE=8 >>/etc/default/sandboxd
# percent of the last minute in which some task waited for a processor; 99 takes the kernel's average four and a half
# minutes of nothing else
waited() { echo "some avg10=$1.00 avg60=$1.00 avg300=$1.00 total=1" 1<>/lab/cpu.pressure; } # never without a line
waited 90
mkdir -p /etc/systemd/system/$worker.d
printf '[Service]\nBindReadOnlyPaths=/lab/cpu.pressure:/sys/fs/cgroup/cpu.pressure\n' >/etc/systemd/system/$worker.d/lab.conf
systemctl daemon-reload
systemctl start "$worker" || fail "start"
until_true 60 eval '[ "$(health pool_ready)" = 8 ]' || fail "the pool: $(get /health)"
id=$(create) || fail "create"
run_in "$id" 'echo kept >f' >/dev/null || fail "exec"
main="$(systemctl show -P MainPID "$worker") $(systemctl show -P MainPID "$spawner")"

step "tasks wait for a processor all the time: the pool shrinks, sessions are made"
expect 8 "$(health pool_size)" "the pool of a machine that is busy"
waited 99
until_true 10 eval '[ "$(health pool_size)" = 2 ]' || fail "the pool stays: $(get /health)"
expect 1 "$(journal_count $pressure)" "what the journal says of it"
for _ in 1 2 3; do next=$(create) && curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$next" || fail "create"; done
waited 60
sleep 5 # looks twice, and stays
expect 2 "$(health pool_size)" "the pool while it eases"
waited 40
until_true 10 eval '[ "$(health pool_ready)" = 8 ]' || fail "the pool does not grow: $(get /health)"

step "other services take the memory: the pool shrinks"
# reads a file that does not fit in what is left beside what it holds, so that all wait for memory and nothing is refused
cat >/lab/hog.py <<'PY'
import mmap, os, sys
total = int(next(l for l in open("/proc/meminfo") if l.startswith("MemAvailable")).split()[1]) << 10
held = mmap.mmap(-1, total - (int(sys.argv[1]) << 20))
for at in range(0, len(held), 4096):
    held[at] = 1
fd = os.open("/lab/file", os.O_RDONLY)
while not os.path.exists("/lab/enough"):
    at = 0
    while os.pread(fd, 1 << 20, at):
        at += 1 << 20
PY
head -c 300M /dev/zero >/lab/file
sync
echo 1 >/proc/sys/vm/drop_caches
python3 /lab/hog.py 50 &
hog=$!
until_true 20 eval '[ "$(journal_count $pressure)" -ge 3 ]' || fail "no pressure: $(cat /proc/pressure/memory; get /health)"
until_true 15 eval '[ "$(health pool_size)" = 2 ]' || fail "the pool stays: $(get /health)"
echo "$(head -n 1 /proc/pressure/memory); pool $(health pool_ready) of $(health pool_size)"

step "no session is made where there is no room, and none ends"
for _ in $(seq 20); do
    status=$(curl -sS -D /lab/head -o /lab/answer -w '%{http_code}' -m 60 -X POST "$WORKER_URL/v1/sessions")
    [ "$status" = 201 ] || break
    jq -r .session_id /lab/answer >>/lab/made
done
expect 503 "$status" "a create"
grep -qi '^retry-after:' /lab/head || fail "no Retry-After"
jq -r .detail /lab/answer
expect kept "$(run_in "$id" 'cat f' | jq -r .stdout)" "a session"
expect 0 "$(killed)" "what the kernel killed"
touch /lab/enough
wait $hog
until_true 40 eval '[ "$(journal_count $pressure)" -ge 4 ]' || fail "it does not ease: $(cat /proc/pressure/memory)"
until_true 20 eval 'next=$(create 2>/dev/null)' || fail "no session after that"
expect "$main" "$(systemctl show -P MainPID "$worker") $(systemctl show -P MainPID "$spawner")" "the processes"
