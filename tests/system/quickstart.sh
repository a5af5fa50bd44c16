#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 900
# takes: alone
# need: container
# args: @top@
# tools/quickstart on a Debian as it comes, without systemd as process 1: as root, then as an ordinary user. Packages are
# downloaded once and kept in the lab's cache; the rest runs without a network.
set -euo pipefail
top=$1
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }

cache=${SANDBOXD_LAB_CACHE:-/var/tmp/sandboxd-test-lab}
suite=${SANDBOXD_LAB_SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")}
base=$cache/quickstart-$suite-$(sha256sum "$top/tools/need" | cut -c1-12)
"$top/tools/need" container

if [ ! -e "$base.done" ]; then
    rm -rf "$base"
    mkdir -p "$cache"
    # what somebody has who starts a container of it
    mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates,iproute2 "$suite" "$base"
    mkdir -p "$base/src/tools"
    cp "$top/tools/need" "$base/src/tools/"
    cp -L /etc/resolv.conf "$base/etc/resolv.conf"
    unshare --mount --pid --fork --kill-child bash -c '
        mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev"
        chroot "$1" /bin/bash -c "apt-get -qq update && /src/tools/need build && apt-get clean"' need "$base"
    rm -rf "$base/src"
    : >"$base.done"
fi

work=$(mktemp -d "$cache/quickstart.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/upper/src" "$work/work" "$work/root"
( cd "$top"
  find . \( -path './build*' -o -path ./out -o -path ./.git \) -prune -o ! -type d -print0 |
      tar --null -T - -c ) | tar -x -C "$work/upper/src"

cat >"$work/inside" <<'E2'
set -euo pipefail
. /src/tests/system/lib.sh
ip link set lo up
try() { # AS...
    in_a_minute "$@" tools/quickstart || fail "too late"
    ! grep -E 'no snapshots|will not be known' build-quickstart/sandboxd.log || fail "its folders are not there"
    "$@" tools/quickstart >again.log 2>&1 || { cat again.log; echo "FAILED: the second time"; exit 1; }
    "$@" tools/quickstart --stop
    [ "$("$@" tools/quickstart --stop)" = "nothing runs" ] || { echo "FAILED: --stop"; exit 1; }
    ! ls /proc/[0-9]*/exe -l 2>/dev/null | grep -E '/sandboxd|memfd' || { echo "FAILED: something runs on"; exit 1; }
}
cd /src
echo "---- as root"
try env HOME=/root
echo "---- as an ordinary user"
useradd --create-home somebody
grep somebody /etc/subuid
cp -a /src /home/somebody/src
rm -rf /home/somebody/src/build-quickstart
chown -R somebody: /home/somebody/src
cd /home/somebody/src
try setpriv --reuid somebody --regid somebody --init-groups env HOME=/home/somebody
E2
# not chroot: a process in one may make no user namespace
unshare --mount --pid --net --fork --kill-child bash -c '
    set -e
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
    mount -t proc proc "$2/root/proc"
    mount --rbind /dev "$2/root/dev"
    cp "$2/inside" "$2/root/inside"
    mkdir "$2/root/old"
    cd "$2/root"
    pivot_root . old
    cd /
    umount -l /old
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
        /bin/bash /inside' lab "$base" "$work"
