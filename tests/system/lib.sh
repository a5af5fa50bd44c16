# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# For system tests, which source /lab/system/lib.sh. A test ends with the first thing that is not as it should be.

export LC_ALL=C.UTF-8
export WORKER_URL=http://127.0.0.1:5000
# shellcheck disable=SC2034
BLANKS_MAX=4 # sandboxes that a spawner makes ahead, beside those of the pool

fail() {
    echo "FAILED: $*"
    exit 1
}

# step TEXT: what the lines after it are about
step() { echo "-- $*"; }

# expect WANTED GOT [WHAT]
expect() { [ "$1" = "$2" ] || fail "${3-}${3+: }expected \"$1\", got \"$2\""; }

# until_true SECONDS COMMAND...: waits for COMMAND to succeed, four times as long as a machine at rest may take
until_true() {
    local end=$((SECONDS + 4 * $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# in_a_minute COMMAND...: and where others use the machine too, in a minute of its processors
in_a_minute() {
    local took status=0 TIMEFORMAT=$'real %R\nuser %U\nsys %S'
    took=$(mktemp)
    { time "$@" 2>&3; } 3>&2 2>"$took" || status=$?
    [ $status = 0 ] && awk '$1 == "real" { real = $2 } $1 != "real" { cpu += $2 }
        END { print "took " real " s, " cpu " s of a processor"; exit !(real < 60 || (cpu < 60 && real < 300)) }' "$took" || status=1
    rm "$took"
    return $status
}

# busy: how many times longer something may take than on a machine at rest, as in patience.py
busy() {
    awk -v cpus="$(nproc)" '{ n = int(2 * $1 / cpus); print (n < 1 ? 1 : n > 8 ? 8 : n) }' /proc/loadavg
}

# stopped UNIT: nothing of it is left, nor on its way
stopped() { [ "$(systemctl show -P ActiveState "$1")" = inactive ]; }

# get PATH, post PATH JSON: the body; -f makes a status of 400 and above a failure
get() { curl -sS -f "$WORKER_URL$1"; }
post() { curl -sS -f -H 'Content-Type: application/json' -d "$2" "$WORKER_URL$1"; }

# health MEMBER
health() { get /health | jq -r ".$1"; }

# create [JSON]: the id of a new session
create() { post /v1/sessions "${1-{\}}" | jq -er .session_id; }

# run_in ID COMMAND: the answer, JSON
run_in() { post "/v1/sessions/$1/exec" "$(jq -n --arg command "$2" '{$command}')"; }

# start_docker: the real one, with its images in memory
start_docker() {
    mkdir -p /var/lib/docker && mount -t tmpfs tmpfs /var/lib/docker || fail "tmpfs"
    # a kernel that has AppArmor on a machine without the programs for it: Docker does without
    if [ -e /sys/module/apparmor/parameters/enabled ] && ! command -v apparmor_parser >/dev/null; then
        echo N >/lab/no && mount --bind /lab/no /sys/module/apparmor/parameters/enabled || fail "AppArmor"
    fi
    systemctl start docker || fail "docker does not start"
}

# journal_count MESSAGE_ID [FIELD=VALUE...]: how many entries
journal_count() {
    local id=$1
    shift
    journalctl -q -b -o json "MESSAGE_ID=$id" "$@" | wc -l
}

# What of the suite is left: processes, control groups, mounts
remains() {
    ps -eo user:20,pid,args | awk '$1 == "sandboxd" || $1 == "sandbox-coord" || $1 == "sandboxd-box" || $1 ~ /^[0-9]+$/ || /[s]andbox-init/'
    find /sys/fs/cgroup/sandboxd.slice -mindepth 1 -type d ! -name '*.socket' 2>/dev/null
    awk '$5 ~ /sandboxd/ && $5 !~ "^/var/lib/sandboxd(/images)?$"' /proc/self/mountinfo
}
