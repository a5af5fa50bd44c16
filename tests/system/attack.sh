#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container vm
# timeout: 1500
# takes: 200 800
# copy: /bin/busybox:/lab/busybox
# The attack suite against the installed service, and what the outside can see of it: ids, capabilities, limits.
. /lab/system/lib.sh

attack=/usr/libexec/sandboxd/attack/run
socket=/run/sandboxd/worker1.sock

systemctl start sandboxd@worker1 || fail "start"
until_true 60 eval '[ "$(health status)" = healthy ]' || fail "health: $(get /health)"
get /health

step "attacks"
thorough=
[ "$LAB_MODE" = vm ] || thorough=--thorough # 100,000 reads and writes of names that change
"$attack" --socket "$socket" --verbose $thorough || fail "something did not hold"

step "the same by sandboxctl"
sandboxctl doctor || [ "$LAB_MODE" != vm ] || fail "doctor finds something wrong"
text=$(sandboxctl doctor --attack fd_leak caps_zero) || [ "$LAB_MODE" != vm ] || fail "doctor --attack"
echo "$text" | tail -n 1
[[ $text == *"2 passed, 0 failed" ]] || fail "doctor --attack: $text"

if [ "$LAB_MODE" = container ]; then
    step "an image that is one static program"
    python3 -B - /lab/busybox /lab/tiny.tar <<'PYTHON'
import sys
sys.path.insert(0, "/lab/system")
from image_archives import *
program, path = sys.argv[1:]
names = "sh cat chmod id echo test printf true sleep".split()
with open(program, "rb") as f:
    files = [folder("bin"), entry("bin/busybox", data=f.read(), mode=0o755)]
files += [link("bin/" + name, "busybox") for name in names]
files += [folder("etc"), entry("etc/passwd", data=b"root:x:0:0:root:/:/bin/sh\n")]
write_tar(Oci([layer(*files)], name="tiny:1"), path)
PYTHON
    sandboxctl image import --name tiny:1 /lab/tiny.tar || fail "import"
    "$attack" --socket "$socket" --image tiny:1 >/lab/tiny || { cat /lab/tiny; fail "something did not hold in it"; }
    grep -v ' held ' /lab/tiny
    grep -q '(no python3)' /lab/tiny || fail "python3 is in it"

    step "what is made of a snapshot"
    id=$(create)
    run_in "$id" true >/dev/null # no file of its own: what sandboxes leave to others is looked for by its name
    snapshot=$(post "/v1/sessions/$id/snapshots" '{}' | jq -r .snapshot_id)
    expect 204 "$(curl -s -o /dev/null -w '%{http_code}' -X DELETE "$WORKER_URL/v1/sessions/$id")"
    "$attack" --socket "$socket" --image "snapshot:$snapshot" >/lab/copies || { cat /lab/copies; fail "something did not hold in it"; }
    grep -v ' held ' /lab/copies

    step "what is forked of another"
    "$attack" --socket "$socket" --fork --brief >/lab/forks || { cat /lab/forks; fail "something did not hold in it"; }
    grep -v ' held ' /lab/forks
fi

suite() { # pids of all processes of the service
    find /sys/fs/cgroup/sandboxd.slice -name cgroup.procs -exec cat {} + 2>/dev/null
}
field() { # PID KEY
    awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status" 2>/dev/null
}

step "no process has uid 0, none has a capability in the host's user namespace"
id=$(create)
run_in "$id" 'sleep 300 >/dev/null 2>&1 & echo started' >/dev/null
host=$(readlink /proc/1/ns/user)
n=0
for pid in $(suite); do
    [ -e "/proc/$pid/status" ] || continue
    n=$((n + 1))
    [ "$(field "$pid" Uid)" != 0 ] || fail "$(cat "/proc/$pid/comm") has uid 0"
    for set in CapInh CapPrm CapEff CapAmb; do
        [ "$(field "$pid" $set)" = 0000000000000000 ] || [ "$(readlink "/proc/$pid/ns/user")" != "$host" ] ||
            fail "$(cat "/proc/$pid/comm") has $set $(field "$pid" $set)"
    done
    expect 1 "$(field "$pid" NoNewPrivs)" "no_new_privs of $(cat "/proc/$pid/comm")"
    expect 2 "$(field "$pid" Seccomp)" "filters of $(cat "/proc/$pid/comm")"
done
[ $n -ge 5 ] || fail "only $n processes are seen"

step "each sandbox has a uid, namespaces and an overlay of its own"
inits=()
for pid in $(suite); do
    # the zygote has the same name, but no pid namespace of its own
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sandbox-init ] &&
        [ "$(readlink "/proc/$pid/ns/pid")" != "$(readlink /proc/1/ns/pid)" ] && inits+=("$pid")
done
[ ${#inits[@]} -ge 3 ] || fail "only ${#inits[@]} sandboxes"
expect "" "$(for pid in "${inits[@]}"; do field "$pid" Uid; done | sort | uniq -d)" "shared uids"
for kind in user mnt pid ipc uts net cgroup; do
    expect "" "$(for pid in "${inits[@]}"; do readlink "/proc/$pid/ns/$kind"; done | sort | uniq -d)" "shared $kind namespaces"
done
for pid in "${inits[@]}"; do
    awk '$5 == "/" { print $3 }' "/proc/$pid/mountinfo"
done | sort | uniq -d | grep . && fail "a root is shared"
expect 204 "$(curl -s -o /dev/null -w '%{http_code}' -X DELETE "$WORKER_URL/v1/sessions/$id")"

[ "$LAB_MODE" = vm ] || exit 0

step "a program behind core_pattern does not run"
printf '#!/bin/sh\necho "$@" >>/run/handled\n' >/usr/local/bin/core-handler
chmod 755 /usr/local/bin/core-handler
sysctl -q kernel.core_pattern='|/usr/local/bin/core-handler %p %e'
"$attack" --socket "$socket" core_dump || fail "core_dump"
id=$(create)
expect 134 "$(run_in "$id" 'kill -ABRT $$' | jq .exit_code)"
sh -c 'kill -ABRT $$' # and it would
until_true 10 test -s /run/handled || fail "the handler does not work at all"
expect 1 "$(wc -l </run/handled)" "crashes handled"

step "huge pages of the host stay where they are"
sysctl -q vm.nr_hugepages=8 vm.nr_overcommit_hugepages=8
"$attack" --socket "$socket" huge_pages || fail "huge_pages"
expect "$(awk '/HugePages_Total/ { print $2 }' /proc/meminfo)" "$(awk '/HugePages_Free/ { print $2 }' /proc/meminfo)"
sysctl -q vm.nr_hugepages=0

step "a user's message queues are counted for each sandbox alone"
ids=()
for i in 1 2 3 4 5; do
    ids[i]=$(create)
    expect 3 "$(run_in "${ids[i]}" 'python3 - <<EOF
import ctypes, os
libc, n = ctypes.CDLL(None, use_errno=True), 0
while n < 100 and libc.mq_open(b"/q%d" % n, os.O_CREAT | os.O_RDWR, 0o600, None) >= 0: n += 1
print(n)
EOF' | jq -r .stdout)" "queues in sandbox $i"
done

step "files that fill the memory can be removed again"
id=$(create)
expect 1 "$(run_in "$id" 'head -c 600M /dev/zero >big' | jq .exit_code)" "exit code of filling it"
expect 0 "$(run_in "$id" 'rm big && python3 -c "bytearray(100 << 20)"' | jq .exit_code)" "exit code of removing it"
