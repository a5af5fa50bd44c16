#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 600
# Imported images in an installed worker: sessions by name, environment and folder, a pool of its own that follows the
# image, importing again, removing one in use, and the lists.
set -euo pipefail
. /lab/system/lib.sh

images=/var/lib/sandboxd/images
work=$(mktemp -d)

# make NAME FILE [WORDS]: an image of this machine's base, with the file /srv/app/which
make() {
    python3 -B - "$@" <<'PYTHON'
import sys, subprocess
sys.path.insert(0, "/lab/system")
from image_archives import *
name, path, which = sys.argv[1:4]
rootfs = subprocess.run(["tar", "-C", "/var/lib/sandboxd/images/base/rootfs", "-c", "."], stdout=subprocess.PIPE, check=True).stdout
write_tar(docker([rootfs, layer(folder("srv/app"), entry("srv/app/which", data=which.encode()),
                                entry("home/sandboxuser/notes/first", data=b"note", uid=1000, gid=1000),
                                entry("srv/app/suid", data=b"x", mode=0o4755))],
                 name=name, config={"Env": ["GREETING=hello " + which, "PATH=/opt/bin:/usr/bin:/bin"], "WorkingDir": "/srv/app"}), path)
PYTHON
}
said() { run_in "$1" "$2" | jq -r .stdout; }

step "before it is there"
systemctl start sandboxd@worker1 || fail "the worker does not start"
mkdir -p /etc/sandboxd/sandboxd.conf.d
printf '[Pool "demo"]\nSize=2\nMinSize=1\nMaxSize=4\nWarm=python3\n' >/etc/sandboxd/sandboxd.conf.d/images.conf
systemctl reload sandboxd@worker1
size=$(health pool_size)
body=$(curl -sS -H 'Content-Type: application/json' -d '{"image":"demo"}' "$WORKER_URL/v1/sessions")
expect "422 image" "$(jq -r '"\(.status) \(.field)"' <<<"$body")"
until_true 10 sh -c 'journalctl -q -b -u sandboxd@worker1 | grep -q "there is no image of this name"' || fail "nothing told of the missing image"

step "import"
make demo:latest "$work/one.tar" one
sandboxctl image import "$work/one.tar"
expect sandboxd-box "$(stat -c %U $images/demo_3alatest/rootfs >/dev/null; awk -F: '$1 == "sandboxd-box" { print $1 }' /etc/subuid)"
expect "$(stat -c %u $images/base/rootfs)" "$(stat -c %u $images/demo_3alatest/rootfs/srv/app/which)" "owner"
expect 755 "$(stat -c %a $images/demo_3alatest/rootfs/srv/app/suid)" "set-id bits"
# without a word to the worker: its pool is filled
until_true 60 sh -c "[ \"\$(curl -sS $WORKER_URL/health | jq '.pool_size == $size + 2 and .pool_ready == .pool_size')\" = true ]" ||
    fail "the pool is not filled: $(get /health)"
expect healthy "$(health status)"

step "a session of it"
one=$(post /v1/sessions '{"image":"demo"}')
expect true "$(jq .from_pool <<<"$one")" "from the pool:"
id=$(jq -r .session_id <<<"$one")
expect "/srv/app one hello one" "$(said "$id" 'echo $(pwd) $(cat which) $GREETING')"
expect "uid=1000(sandboxuser) gid=1000(sandboxuser) groups=1000(sandboxuser)" "$(said "$id" id)"
expect "/opt/bin:/usr/bin:/bin" "$(said "$id" 'echo $PATH')"
expect "/tmp" "$(post "/v1/sessions/$id/exec" '{"command":"pwd","cwd":"/tmp"}' | jq -r '.stdout | rtrimstr("\n")')"
step "what it may and has"
run_in "$id" 'echo x >/srv/app/which' | jq -e '.exit_code != 0' >/dev/null || fail "the image can be written"
expect "note sandboxuser changed" "$(said "$id" 'cd; echo $(cat notes/first) $(stat -c %U notes/first) $(echo changed >notes/first && cat notes/first)')"
step "the interpreter that waited"
# it has the image's environment and folder
context=$(post "/v1/sessions/$id/contexts" '{"language":"python"}' | jq -r '.context_id // .id')
expect "/srv/app hello one" "$(post "/v1/sessions/$id/contexts/$context/run" '{"code":"import os\nprint(os.getcwd(), os.environ[\"GREETING\"])"}' | jq -r '.stdout | rtrimstr("\n")')"
step "environment of the client"
other=$(create '{"image":"docker.io/library/demo:latest","env":{"GREETING":"mine","MORE":"1"}}')
expect "mine 1 /opt/bin:/usr/bin:/bin" "$(said "$other" 'echo $GREETING $MORE $PATH')"
expect "note" "$(said "$other" 'cat ~/notes/first')"
expect "" "$(said "$(create)" 'echo $GREETING; ls')"

step "system calls that are given to one image"
# how many of io_setup, kcmp and set_mempolicy are answered by the kernel and not by the filter
cat >"$work/calls.py" <<'PYTHON'
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": (206, 312, 238), "aarch64": (0, 272, 237)}[platform.machine()]
def closed(number):
    return libc.syscall(number, *[ctypes.c_long(-1)] * 5) < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)
print(*["closed" if closed(n) else "open" for n in numbers])
PYTHON
calls=$(jq -Rs '{command: "python3", stdin: .}' "$work/calls.py")
answers() { post "/v1/sessions/$1/exec" "$calls" | jq -r '.stdout | rtrimstr("\n")'; }
expect "closed closed closed" "$(answers "$id")" "before"
printf 'SystemCalls=@aio @debug\n' >>/etc/sandboxd/sandboxd.conf.d/images.conf
systemctl reload sandboxd@worker1
until_true 60 sh -c "[ \"\$(curl -sS $WORKER_URL/health | jq '.pool_ready == .pool_size')\" = true ]" || fail "the pool is not filled again"
wide=$(post /v1/sessions '{"image":"demo"}')
expect true "$(jq .from_pool <<<"$wide")" "from the pool:"
wide=$(jq -r .session_id <<<"$wide")
expect "open open closed" "$(answers "$wide")" "a sandbox of the pool"
limited=$(create '{"image":"demo","memory_limit":"256m"}')
expect "open open closed" "$(answers "$limited")" "one made for it"
expect "closed closed closed" "$(answers "$id")" "one of the same image from before"
expect "closed closed closed" "$(answers "$(create)")" "one of another image beside it"
/usr/libexec/sandboxd/attack/run --url "$WORKER_URL" refused_calls aio_contexts io_uring ns_create ||
    fail "what is given to one image weakens another"
sed -i /SystemCalls/d /etc/sandboxd/sandboxd.conf.d/images.conf
systemctl reload sandboxd@worker1
narrow=$(create '{"image":"demo"}')
expect "closed closed closed" "$(answers "$narrow")" "once it has been taken back"
for session in "$wide" "$limited" "$narrow"; do # what is said below of the image's folders
    expect 204 "$(curl -s -o /dev/null -w '%{http_code}' -X DELETE "$WORKER_URL/v1/sessions/$session")"
done

step "the lists"
get /v1/images | jq -e '[.images[].name] == ["base", "demo:latest"] and .images[1].cwd == "/srv/app" and .images[1].files > 100
    and (.images[1].digest | startswith("sha256:")) and .images[0].size > 1000000' >/dev/null || fail "$(get /v1/images)"
expect "base demo:latest" "$(sandboxctl image list -q | tr '\n' ' ' | sed 's/ $//')"
sandboxctl image show demo | grep -qx 'Environment   GREETING=hello one' || fail "image show"

step "a restart of the worker"
systemctl restart sandboxd@worker1
expect "/srv/app hello one" "$(said "$id" 'echo $(pwd) $GREETING')"

step "imported again"
make demo:latest "$work/two.tar" two
zstd -q --rm "$work/two.tar" -o "$work/two.tar.zst" 2>/dev/null || gzip "$work/two.tar"
sandboxctl image import "$work"/two.tar.*
expect one "$(said "$id" 'cat which')" "the session of before"
until_true 60 sh -c "[ \"\$(curl -sS $WORKER_URL/health | jq '.pool_ready == .pool_size and .pool_ready >= $size')\" = true ]" ||
    fail "the pool is not filled again"
new=$(post /v1/sessions '{"image":"demo"}')
expect two "$(said "$(jq -r .session_id <<<"$new")" 'cat which')"

step "removed while it is in use"
sandboxctl image rm demo | grep -q "sandboxes still run from it" || fail "nothing told of those that run"
expect 422 "$(curl -sS -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -d '{"image":"demo"}' "$WORKER_URL/v1/sessions")"
expect "one 3" "$(said "$id" 'echo $(cat which) $(python3 -c "import decimal; print(1+2)")')"
until_true 20 sh -c "[ \"\$(curl -sS $WORKER_URL/health | jq .pool_size)\" = $size ]" || fail "the pool of a removed image stays"
for session in "$id" "$other" "$(jq -r .session_id <<<"$new")"; do
    curl -sS -f -X DELETE "$WORKER_URL/v1/sessions/$session"
done
[ -n "$(find $images -maxdepth 1 -name '.gone-*')" ] || fail "files were taken from under sessions"
make small:1 "$work/three.tar" three
sandboxctl image import "$work/three.tar"
expect "" "$(find $images -maxdepth 1 -name '.*' ! -path $images)" "left behind"

step "who may"
if setpriv --reuid 65534 --regid 65534 --clear-groups sandboxctl image import "$work/three.tar" 2>"$work/refusal"; then
    fail "anybody imports"
fi
grep -q "denied" "$work/refusal" || fail "$(cat "$work/refusal")"
if sandboxctl image rm base 2>"$work/refusal"; then fail "base was removed"; fi
grep -q "no image" "$work/refusal" || fail "$(cat "$work/refusal")"
if sandboxctl image pull docker.io/library/none:1 2>"$work/refusal"; then fail "pulled without skopeo"; fi
grep -q "skopeo is not installed" "$work/refusal" || fail "$(cat "$work/refusal")"
echo "images: as they should be"
