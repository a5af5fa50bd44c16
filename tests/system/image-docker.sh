#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# copy: @dockerfile@:/lab/dockerfile
# copy: Dockerfile.secure:/lab/Dockerfile.secure
# timeout: 300
# Dockerfile.secure with the real Docker, from an image of Debian packages under the name that its FROM line has: built,
# run as any guide has it, saved, imported, and sessions run from it. Runs in a virtual machine just as well.
. /lab/system/lib.sh

start_docker

step "the image of the FROM line"
python3 -m http.server --bind 127.0.0.1 --directory /lab/dockerfile/packages 8099 >/lab/requests 2>&1 &
until_true 10 eval 'curl -sS -f -o /dev/null http://127.0.0.1:8099/Packages 2>/lab/refusal' || fail "no packages: $(cat /lab/refusal)"
mkdir -p /lab/base/etc/apt /lab/empty
# where packages come from is this machine's business
echo 'deb [trusted=yes] http://127.0.0.1:8099/ ./' >/lab/base/etc/apt/sources.list
tar --delete -f /lab/dockerfile/base.tar ./etc/apt/sources.list && tar -C /lab/base --owner=0 --group=0 -r -f /lab/dockerfile/base.tar \
    ./etc/apt/sources.list || fail "tar"
docker import /lab/dockerfile/base.tar "$(sed -n 's/^FROM //p' /lab/Dockerfile.secure)" >/dev/null || fail "docker import"

step "building"
docker build --network host -f /lab/Dockerfile.secure -t sandbox-secure:latest /lab/empty >/lab/build 2>&1 ||
    { tail -n 40 /lab/build; fail "docker build"; }

step "containers of it"
inside() { docker run --rm sandbox-secure:latest "$@"; }
expect sandboxuser "$(inside whoami)"
expect "uid=1000(sandboxuser) gid=1000(sandboxuser) groups=1000(sandboxuser)" "$(inside id)"
expect /home/sandboxuser "$(inside pwd)"
expect "" "$(inside find / -xdev ! -type l -perm /6000 2>/dev/null)" "set-id files"

step "docker save, sandboxctl image import"
docker save sandbox-secure:latest -o /lab/image.tar || fail "docker save"
docker rmi --force sandbox-secure:latest >/dev/null
systemctl stop docker docker.socket
sandboxctl image import /lab/image.tar || fail "import"
expect "" "$(find /var/lib/sandboxd/images/sandbox-secure_3alatest/rootfs ! -type l -perm /6000)" "set-id files"

step "sessions"
systemctl start sandboxd@worker1 || fail "start"
id=$(create '{"image":"sandbox-secure:latest"}') || fail "create"
in_it() { run_in "$id" "$1" | jq -r .stdout; }
expect sandboxuser "$(in_it whoami)"
expect "uid=1000(sandboxuser) gid=1000(sandboxuser) groups=1000(sandboxuser)" "$(in_it id)"
expect /home/sandboxuser "$(in_it pwd)"
expect 42 "$(in_it "node -e 'console.log(6 * 7)'")"
expect 5050 "$(in_it "python3 -c 'import ssl, json, sqlite3; print(sum(range(101)))'")"
expect 1 "$(in_it 'git init -q r && cd r && git -c user.name=n -c user.email=e@x commit -q --allow-empty -m m && git log --oneline | wc -l')"
