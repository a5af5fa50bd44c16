#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: vm
# timeout: 600
# takes: 150
# What only a machine of its own can have: a slow disk, a suspension, no more processes, a program that cannot be killed.
. /lab/system/lib.sh

worker=sandboxd@worker1.service spawner=sandboxd-spawner@worker1.service
tree=/sys/fs/cgroup/sandboxd.slice/$spawner
images=/var/lib/sandboxd/images

# disk NAME MIB FOLDER: an ext4 of its own, with a journal, on a device that can be slowed and stopped
disk() {
    local loop
    truncate -s "$2M" "/lab/$1.disk"
    mkfs.ext4 -q "/lab/$1.disk" || fail "mkfs"
    loop=$(losetup --show -f "/lab/$1.disk") || fail "losetup"
    dmsetup create "$1" --table "0 $(blockdev --getsz "$loop") delay $loop 0 0 $loop 0 0" || fail "dm-delay"
    mkdir -p "$3"
    mount "/dev/mapper/$1" "$3" || fail "mount"
}

# delay NAME MILLISECONDS: of each write
delay() {
    local table
    table=$(dmsetup table "$1" | awk -v ms="$2" '{ $9 = ms; print }')
    dmsetup suspend --nolockfs --noflush "$1" && dmsetup load "$1" --table "$table" &&
        dmsetup resume --noudevsync "$1" || fail "delay"
}

# An image with bash, on a disk of its own.
small_image() {
    local from to=$images/stuck-1/rootfs file
    from=$(readlink -f $images/base)/rootfs
    mkdir -p $to/many
    (
        cd "$from" && cp -a etc $to/ && find . -maxdepth 1 -type l -exec cp -a {} $to/ \; || exit
        for file in /usr/bin/bash /usr/bin/sh $(ldd /usr/bin/bash /usr/bin/sh | grep -o '/[^ :]*'); do
            file=$(readlink -f "$(dirname "$file")")/${file##*/}
            cp -L --parents ".$file" $to || exit
        done
    ) || return
    echo word >$to/many/word
    chown -R --reference="$from" $images/stuck-1
    ln -s stuck-1 $images/stuck
}
now() { date +%s%3N; }

# One session from its beginning to its end; says nothing.
cycle() {
    local made
    made=$(create) && [ "$(run_in "$made" 'echo $((6*7))' | jq -r .stdout)" = 42 ] &&
        curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$made"
}

modprobe -a dm-delay loop || fail "no dm-delay"
disk slow 64 /var/lib/sandboxd/worker1
chown --reference=/var/lib/sandboxd /var/lib/sandboxd/worker1
disk stuck 64 $images/stuck-1
small_image || fail "another image"
systemctl start "$worker" || fail "start"
until_true 60 eval '[ "$(health pool_ready)" = "$(health pool_size)" ]' || fail "the pool"
id=$(create) || fail "create"
run_in "$id" 'echo kept >f' >/dev/null || fail "exec"

step "a disk that takes 5 s for each write: the worker never waits for it"
delay slow 5000
# writes without end, and those that wait for them
cat >/lab/watch.py <<'PY'
import os, sys, threading, time
folder, pid = sys.argv[1:]
longest = waits = looks = 0
def write():
    global longest
    while not os.path.exists("/lab/written"):
        begin = time.monotonic()
        fd = os.open(folder + "/other", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"x")
        os.fsync(fd)
        os.close(fd)
        longest = max(longest, int(1000 * (time.monotonic() - begin)))
writer = threading.Thread(target=write)
writer.start()
while not os.path.exists("/lab/written"):
    with open(f"/proc/{pid}/stack") as f:
        waits += "jbd2" in f.read()
    looks += 1
    time.sleep(0.1)
writer.join()
print(looks, waits, longest)
PY
python3 /lab/watch.py /var/lib/sandboxd/worker1 "$(systemctl show -P MainPID $worker)" >/lab/watched &
watch=$!
slowest=0 begin=$(now) n=0
while [ $n -lt 4 ] || [ $(($(now) - begin)) -lt 16000 ]; do
    start=$(now)
    cycle || fail "a session with a slow disk"
    took=$(($(now) - start))
    [ $took -le $slowest ] || slowest=$took
    n=$((n + 1))
done
touch /lab/written
delay slow 0
wait $watch || fail "watch.py"
read -r looks waits longest </lab/watched
echo "$n sessions, the slowest took $slowest ms; a write up to $longest ms; looked $looks times, $waits times it waited"
[ "$looks" -gt 20 ] || fail "the worker was not watched"
[ "$longest" -ge 4500 ] || fail "the disk is not slow: a write takes $longest ms"
expect 0 "$waits" "how often the worker waited for the disk"
until_true 30 cmp -s /run/sandboxd/worker1/sessions /var/lib/sandboxd/worker1/sessions || fail "it is not written to the disk"

step "a machine that is suspended: that time does not count"
clocks() { python3 -c 'import time; print(int(time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()))'; }
for try in 1 2; do
    slept=$(clocks)
    short=$(create '{"timeout":25}') || fail "create"
    run_in "$id" 'sleep 8' >/lab/answer &
    command=$!
    sleep 2
    rtcwake -m mem -s 32 >/dev/null || fail "no suspension"
    slept=$(($(clocks) - slept))
    state=$(get "/v1/sessions/$short" | jq -r .state)
    wait $command || fail "a command"
    [ $slept -lt 26 ] || break
done
duration=$(jq -r '.duration_ms / 1000 | floor' /lab/answer)
echo "slept for $slept s; a session of 25 s is $state; a command of 8 s took $duration s"
[ $slept -ge 26 ] || fail "the machine slept for $slept s"
expect running "$state" "a session of 25 s"
expect 0 "$(jq -r .exit_code /lab/answer)" "a command that slept too"
[ "$duration" -lt $slept ] || fail "its time counts"

step "no more processes for the spawner: refused, and well again"
tasks=$(systemctl show -P TasksCurrent "$spawner")
systemctl set-property --runtime "$spawner" "TasksMax=$tasks" || fail "TasksMax"
for _ in $(seq 20); do
    status=$(curl -sS -D /lab/head -o /lab/answer -w '%{http_code}' -d '{"pids_limit":64}' "$WORKER_URL/v1/sessions")
    [ "$status" = 201 ] || break
    jq -r .session_id /lab/answer >>/lab/made
done
expect 503 "$status" "a create without a process"
grep -qi '^retry-after:' /lab/head || fail "no Retry-After"
echo "after $(cat /lab/made 2>/dev/null | wc -l) that were made ahead: $(jq -r .detail /lab/answer)"
expect running "$(get "/v1/sessions/$id" | jq -r .state)" "another session"
systemctl set-property --runtime "$spawner" TasksMax=infinity
until_true 15 eval 'next=$(create "{\"pids_limit\":64}" 2>/dev/null)' || fail "no session after that"
expect kept "$(run_in "$id" 'cat f' | jq -r .stdout)" "a session"
for made in $(cat /lab/made 2>/dev/null) "$next"; do curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$made" || fail "delete"; done

step "a session ends by its time: that of a machine awake"
until_true 30 eval '[ "$(curl -sS -o /lab/answer -w "%{http_code}" "$WORKER_URL/v1/sessions/$short")" = 410 ]' || fail "it never ends"
expect expired "$(jq -r .reason /lab/answer)"

step "a program that cannot be killed: its slot is kept back, nobody waits for it"
one=$(create '{"image":"stuck"}') || fail "a session of the other image"
post "/v1/sessions/$one/exec" "$(jq -n '{ background: true, command: "exec bash -c \"coproc read
    until [ -e /tmp/go ]; do read -t 0.2 -u \\${COPROC[0]} x; done
    : >/tmp/gone; read x </many/word\"" }')" >/dev/null || fail "exec"
# stuck FILE...: the process of those in these groups that waits for the device
stuck() {
    local pid
    for pid in $(cat "$@" 2>/dev/null); do
        ! grep -q '^State:.D' "/proc/$pid/status" 2>/dev/null || echo "$pid"
    done
}
# what is in folders has to be read again; the program's own pages stay: a wait for those can be killed
sync
echo 2 >/proc/sys/vm/drop_caches
blockdev --flushbufs /dev/mapper/stuck
dmsetup suspend --nolockfs --noflush stuck || fail "suspend"
curl -sS -f -X PUT --data-binary x "$WORKER_URL/v1/sessions/$one/files?path=/tmp/go" >/dev/null || fail "put"
until_true 15 eval '[ -n "$(stuck $tree/slot-*/cgroup.procs)" ]' || fail "nothing is stuck"
pid=$(stuck $tree/slot-*/cgroup.procs | head -n 1)
leaf=$(grep -lx "$pid" $tree/slot-*/cgroup.procs)
sort "$leaf" >/lab/before
start=$(now)
curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$one" || fail "delete"
took=$(($(now) - start))
expect "$pid" "$(stuck "$leaf")" "what is stuck"
for _ in 1 2 3; do cycle || fail "another session meanwhile"; done
expect kept "$(run_in "$id" 'cat f' | jq -r .stdout)" "a session"
for _ in 1 2 3 4 5 6; do next=$(create '{"pids_limit":64}') || fail "create"; echo "$next" >>/lab/after; done
expect "$pid" "$(stuck "$leaf")" "what is stuck"
expect "" "$(sort "$leaf" | comm -13 /lab/before -)" "others in its slot"
echo "deleted in $took ms; 9 other sessions were made while $(cat /proc/$pid/comm) was stuck, none in its slot"
expect 410 "$(curl -sS -o /dev/null -w '%{http_code}' "$WORKER_URL/v1/sessions/$one")" "the session"
dmsetup resume stuck
until_true 20 eval '[ ! -e /proc/$pid ]' || fail "it goes on"
for next in $(cat /lab/after); do curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$next" || fail "delete"; done
until_true 20 eval '[ "$(health active_sessions)" = 1 ]' || fail "sessions are left"
