#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container vm
# timeout: 400
# takes: 40 90
# What a machine may lack: the start fails, the journal says what and how to mend it, and once mended all works.
. /lab/system/lib.sh

# Starting fails, in time, and the journal says PATTERN; leaves nothing running.
refuses() { # PATTERN
    local since unit start=$SECONDS
    since=$(date '+%F %T.%6N')
    ! timeout 240 systemctl start sandboxd@worker1 2>/dev/null || fail "it starts"
    echo "failed after $((SECONDS - start)) s"
    for unit in sandboxd-base-image.service sandboxd-spawner@worker1.service sandboxd@worker1.service; do
        [ "$(systemctl show -P Result "$unit")" != timeout ] || fail "$unit: its time was over"
    done
    # restarts come to an end by themselves
    until_true 60 eval 'systemctl is-failed --quiet sandboxd@worker1 ||
        [ "$(systemctl is-active sandboxd@worker1)" = inactive ]' || fail "it goes on trying"
    journalctl -q -b -o cat --since "$since" -u 'sandboxd*' >/lab/said
    grep -q -- "$1" /lab/said || { cat /lab/said; fail "the journal does not say \"$1\""; }
    grep -m 1 -- "$1" /lab/said
    systemctl stop sandboxd@worker1.socket sandboxd@worker1
    until_true 10 eval '[ -z "$(remains)" ]' || fail "left: $(remains)"
    systemctl reset-failed 'sandboxd*'
}

status_says() { systemctl status sandboxd@worker1 | grep -q -- "$1"; }

# What only an administrator can mend is not tried again and again: systemctl status shows why, and once it is mended the
# next start is none too many.
is_tried_once() { # PATTERN
    ! systemctl start sandboxd@worker1 2>/dev/null || fail "it starts"
    expect failed "$(systemctl is-active sandboxd@worker1)"
    expect 78 "$(systemctl show -P ExecMainStatus sandboxd@worker1)" "exit status"
    expect 0 "$(systemctl show -P NRestarts sandboxd@worker1)" "restarts"
    until_true 10 status_says "$1" || { systemctl status sandboxd@worker1; fail "systemctl status does not say why"; }
    # nor is the spawner, which has not failed, started more often here than anybody would
    systemctl reset-failed sandboxd-spawner@worker1.service
}

works() {
    local id
    systemctl start sandboxd@worker1 || fail "does not start once that is mended"
    id=$(create) || fail "create"
    expect sandboxuser "$(run_in "$id" whoami | jq -r .stdout)"
    systemctl stop sandboxd.target
    until_true 10 eval '[ -z "$(remains)" ]' || fail "left: $(remains)"
}

drop_in() { # UNIT TEXT
    mkdir -p "/run/systemd/system/$1.d"
    printf '%b' "$2" >"/run/systemd/system/$1.d/test.conf"
    systemctl daemon-reload
}

step "no cgroup is delegated"
drop_in sandboxd-spawner@worker1.service '[Service]\nDelegate=no\n'
refuses 'Delegate='
rm -r /run/systemd/system/sandboxd-spawner@worker1.service.d
systemctl daemon-reload
works

if [ $LAB_MODE = vm ]; then
    # and what only there may be changed; the rest is no matter of the kernel
    step "user namespaces are disabled"
    before=$(cat /proc/sys/user/max_user_namespaces)
    echo 0 >/proc/sys/user/max_user_namespaces
    refuses 'max_user_namespaces'
    echo "$before" >/proc/sys/user/max_user_namespaces
    works
    exit 0
fi

step "no subordinate ids"
cp /etc/subuid /lab/subuid
sed -i /sandboxd-box/d /etc/subuid
refuses 'add-subuids'
cp /lab/subuid /etc/subuid
works

step "an unknown setting"
mkdir -p /etc/sandboxd/sandboxd.conf.d
printf '[Pool]\nSise=5\n' >/etc/sandboxd/sandboxd.conf.d/50-test.conf
refuses '/etc/sandboxd/sandboxd.conf.d/50-test.conf:2: .*Sise'
is_tried_once '50-test.conf:2: .*Sise'
is_tried_once '50-test.conf:2: .*Sise'
rm /etc/sandboxd/sandboxd.conf.d/50-test.conf
works

step "an image that is not there"
printf '[Sandbox]\nImage=sandbox-secure:latest\n' >/etc/sandboxd/sandboxd.conf.d/50-test.conf
is_tried_once 'The image "sandbox-secure:latest" is not in .*`sandboxctl image import`'
rm /etc/sandboxd/sandboxd.conf.d/50-test.conf
works

step "open to the world without keys"
drop_in sandboxd@worker1.socket '[Socket]\nListenStream=0.0.0.0:5009\n'
is_tried_once '0.0.0.0:5009 can be reached from other machines, but no API keys are set'
systemctl stop sandboxd@worker1.socket
rm -r /run/systemd/system/sandboxd@worker1.socket.d
systemctl daemon-reload
works

step "no image"
mv /var/lib/sandboxd/images /var/lib/sandboxd/images.away
drop_in sandboxd-base-image.service '[Service]\nExecStart=\nExecStart=/bin/true\n'
refuses 'is not in .*images.*makes it'
rm -r /run/systemd/system/sandboxd-base-image.service.d /var/lib/sandboxd/images
systemctl daemon-reload
mv /var/lib/sandboxd/images.away /var/lib/sandboxd/images

step "the disk is full while the image is made"
mount -t tmpfs -o size=8m,mode=755 tmpfs /var/lib/sandboxd/images
refuses 'No space left'
expect "" "$(find /var/lib/sandboxd/images -mindepth 1)" "left of the image"
umount /var/lib/sandboxd/images
works
