#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 1800
# need: image
# takes: 140
# args: @build@ @top@
# Builds Dockerfile.secure with podman, from an image made of Debian packages under the name that its FROM line has,
# imports what podman saves, and pulls it from a registry; code runs in it: image-dockerfile.sh BUILD TOP
# Needs root and the packages of `tools/need image`. The base image is kept in $SANDBOXD_LAB_CACHE.
set -euo pipefail
export LC_ALL=C.UTF-8

build=$1 top=$2
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
"$top/tools/need" image || exit 1

work=$(mktemp -d /var/tmp/image-dockerfile.XXXXXX)
chmod 755 "$work"
images=$work/state/images
ctl=$build/src/ctl/sandboxctl
worker='' registry=''

podman=(podman --root "$work/podman" --runroot "$work/run-podman" --storage-driver vfs)
finish() {
    [ -z "$worker" ] || kill "$worker" 2>/dev/null || :
    [ -z "$registry" ] || kill "$registry" 2>/dev/null || :
    wait 2>/dev/null || :
    "${podman[@]}" unmount --all >/dev/null 2>&1 || :
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
fail() { echo "FAILED: $*"; exit 1; }
step() { echo "-- $* ($SECONDS s)"; }
expect() { [ "$1" = "$2" ] || fail "${3-}${3+: }expected \"$1\", got \"$2\""; }

step "the image of the FROM line"
base=$(sed -n 's/^FROM //p' "$top/Dockerfile.secure")
made=$("$top/tests/lab/lab-dockerfile") || fail "lab-dockerfile"
"${podman[@]}" import --quiet "$made/base.tar" "$base" >/dev/null

step "building"
mkdir "$work/empty"
# where packages come from is this machine's business, and no part of the image
"${podman[@]}" build --isolation chroot --network host --pull=never --volume /etc/apt:/etc/apt:ro \
    --file "$top/Dockerfile.secure" --tag sandbox-secure:latest "$work/empty" >"$work/build.log" 2>&1 ||
    { tail -n 20 "$work/build.log"; fail "podman build"; }

step "what is in it"
inside() { "${podman[@]}" run --rm --network none --cgroups disabled --ulimit host sandbox-secure:latest "$@"; }
if inside true 2>"$work/run.log"; then
    expect sandboxuser "$(inside whoami)"
    expect "uid=1000(sandboxuser) gid=1000(sandboxuser) groups=1000(sandboxuser)" "$(inside id)"
    expect /home/sandboxuser "$(inside pwd)"
    expect "" "$(inside find / -xdev ! -type l -perm /6000)" "set-id files"
else
    echo "podman runs no containers here ($(tail -n 1 "$work/run.log")): looked at without"
    mounted=$("${podman[@]}" image mount sandbox-secure:latest)
    expect "" "$(find "$mounted" ! -type l -perm /6000)" "set-id files"
    as_user() { chroot --userspec=1000:1000 --groups=1000 "$mounted" "$@"; }
    expect sandboxuser "$(as_user whoami)"
    expect "uid=1000(sandboxuser) gid=1000(sandboxuser) groups=1000(sandboxuser)" "$(as_user id)"
    expect "sandboxuser /home/sandboxuser" "$("${podman[@]}" image inspect --format '{{.Config.User}} {{.Config.WorkingDir}}' sandbox-secure)"
fi

step "a worker"
mkdir -p "$work/run"
"$build/src/daemon/sandboxd" --standalone --worker image-test --state "$work/state" --runtime "$work/run" \
    >"$work/worker.log" 2>&1 &
worker=$!
export SANDBOXD_SOCKET=$work/run/image-test.sock
timeout 120 sh -c "until grep -qx ready '$work/worker.log'; do sleep 0.2; done" || { tail "$work/worker.log"; fail "no worker"; }

check_session() { # IMAGE
    local id
    id=$("$ctl" create --image "$1")
    expect sandboxuser "$("$ctl" exec "$id" -- whoami)"
    expect "uid=1000(sandboxuser) gid=1000(sandboxuser) groups=1000(sandboxuser)" "$("$ctl" exec "$id" -- id)"
    expect /home/sandboxuser "$("$ctl" exec "$id" -- pwd)"
    expect C.UTF-8 "$("$ctl" exec "$id" --shell 'echo $LANG')"
    expect 5050 "$("$ctl" exec "$id" -- python3 -c 'import ssl, json, sqlite3; print(sum(range(101)))')"
    expect 42 "$("$ctl" exec "$id" -- node -e 'console.log(6 * 7)')"
    "$ctl" exec "$id" --shell 'set -e; git init -q r; cd r; echo x >f; git add f
        git -c user.name=n -c user.email=e@x commit -qm m; test "$(git log --oneline | wc -l)" = 1; bash --version; curl --version' \
        >/dev/null || fail "git, bash, curl"
    "$ctl" kill "$id"
}

for form in docker-archive oci-archive; do
    step "$form"
    "${podman[@]}" save --quiet --format $form --output "$work/saved.tar" sandbox-secure:latest
    "$ctl" image import --images "$images" "$work/saved.tar"
    check_session sandbox-secure:latest
    expect "" "$(find "$images/sandbox-secure_3alatest/rootfs" ! -type l -perm /6000)" "set-id files"
    rm "$work/saved.tar"
done

step "pulled from a registry"
mkdir "$work/registry"
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:0"}\n' "$work/registry" >"$work/registry.yml"
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
port=
for _ in $(seq 300); do
    port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/registry.log" | head -n 1)
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || { cat "$work/registry.log"; fail "no registry"; }
printf '[[registry]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$port" >"$work/registries.conf"
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$work/policy.json"
"${podman[@]}" push --quiet --tls-verify=false sandbox-secure:latest "127.0.0.1:$port/acme/secure:1"
# skopeo's own configuration, of the user who runs it
export HOME=$work/home
mkdir -p "$HOME/.config/containers"
mv "$work/registries.conf" "$work/policy.json" "$HOME/.config/containers/"
"$ctl" image pull --images "$images" --name acme/secure:1 "127.0.0.1:$port/acme/secure:1"
check_session acme/secure:1
if "$ctl" image pull --images "$images" "127.0.0.1:$port/acme/missing:1" 2>"$work/refusal"; then
    fail "an image that is not there was pulled"
fi
grep -q "skopeo could not fetch 127.0.0.1:$port/acme/missing:1" "$work/refusal" || { cat "$work/refusal"; fail "the refusal"; }
expect "" "$(find "$images" -maxdepth 1 -name '.*' ! -path "$images")" "left behind"

step "the list"
expect "acme/secure:1 base sandbox-secure:latest" "$("$ctl" image list -q | tr '\n' ' ' | sed 's/ $//')"
step "done"
