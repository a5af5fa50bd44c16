#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 300
# args: @build@/src/image/sandboxd-base-image @top@/src/image/base.packages
# Makes images out of this machine's packages and uses them: image-build.sh PROGRAM LIST
# Needs root. Ends with "N passed, N failed"; 77 when it cannot run.
set -u

program=$1 list=$2
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
command -v dpkg-query > /dev/null || { echo "needs dpkg"; exit 77; }

top=$(mktemp -d /var/tmp/image-build.XXXXXX)
images=$top/images
passed=0 failed=0
mkdir "$images"
chmod 755 "$top"
trap 'umount "$top/small" 2> /dev/null; rm -rf "$top"' EXIT
trap 'exit 1' INT TERM

check() { # NAME COMMAND...
        name=$1
        shift
        if "$@" > "$top/out" 2>&1; then
                passed=$((passed + 1))
        else
                failed=$((failed + 1))
                echo "FAILED: $name"
                sed 's/^/    /' "$top/out" | head -n 20
        fi
}

make_image() {
        "$program" --images "$images" --packages "$list" --owner 100000:100000 "$@"
}

# refused PATTERN COMMAND...: fails, with one line that has the pattern
refused() {
        pattern=$1
        shift
        "$@" > "$top/refusal" 2>&1 && return 1
        [ "$(wc -l < "$top/refusal")" = 1 ] && grep -q -- "$pattern" "$top/refusal" || { cat "$top/refusal"; return 1; }
}

no_remains() { # FOLDER
        [ -z "$(find "$1" -mindepth 1 -maxdepth 1 -name '.*')" ]
}

inside() {
        chroot --userspec=1000:1000 "$images/base/rootfs" "$@"
}

# --- an image that works
make_image || exit 1
root=$images/base/rootfs
mknod -m 666 "$root/dev/null" c 1 3
check "the user has a name" test "$(inside /bin/sh -c whoami)" = sandboxuser
check "bash" inside /bin/bash -c '[[ $BASH_VERSION ]]'
check "sh" inside /bin/sh -c 'test "$(echo a b | awk "{print \$2}")" = b'
check "tar and gzip" inside /bin/sh -c 'cd /tmp && mkdir t && echo x > t/a && tar czf t.gz t && tar tzf t.gz | grep -q t/a'
check "grep, sed, find" inside /bin/sh -c 'find /etc -name passwd | sed s/x/y/ | grep -q passwd'
check "locale C.UTF-8" inside /bin/sh -c 'LC_ALL=C.UTF-8 ls -d / 2>&1 | grep -qv locale'
check "no missing libraries" inside /bin/sh -c '! ldd /usr/bin/* 2>/dev/null | grep "not found"'
check "cache of the dynamic linker" test -s "$root/etc/ld.so.cache"
mount -t proc proc "$root/proc"
check "ps" inside ps -e
umount "$root/proc"
if [ -e "$root/usr/bin/python3" ]; then
        check "python3" inside python3 -c 'import ssl, sqlite3, ctypes, json, multiprocessing, asyncio, lzma, zlib'
        check "python3 has compiled files" inside python3 -c '
import importlib.util, json, os, struct
path = importlib.util.cache_from_source(json.__file__)
head = open(path, "rb").read(16)
assert struct.unpack("<I", head[8:12])[0] == int(os.stat(json.__file__).st_mtime) & 0xffffffff'
else
        echo "python3 is not a package here: not checked"
fi
[ ! -e "$root/usr/bin/perl" ] || check "perl" inside perl -e 'use POSIX; exit 0'
[ ! -e "$root/usr/bin/git" ] || check "git" inside /bin/sh -c 'cd /tmp && git init -q g && git -C g status'
[ ! -e "$root/usr/bin/node" ] || check "node" inside node -e 'process.exit(0)'
rm -rf "$root"/tmp/* "$root/dev/null"

# --- what must not be in it
check "no set-id bits" test -z "$(find "$root" ! -type l -perm /6000)"
check "one owner" test -z "$(find "$root" \( ! -uid 100000 -o ! -gid 100000 \))"
check "only regular files, folders and links" test -z "$(find "$root" ! -type f ! -type d ! -type l)"
check "nobody else writes" test -z "$(find "$root" ! -type l -perm /022 ! -path "$root/tmp" ! -path "$root/var/tmp")"
check "everybody reads" test -z "$(find "$root" -type f ! -perm -444)"
check "no hard links" test -z "$(find "$root" -type f -links +1)"
check "no capabilities" test -z "$(getcap -r "$root" 2> /dev/null)"
check "nothing names the host" sh -c 'cd "$1/etc" && ! grep -qw -- "$(hostname)" hostname hosts passwd group profile resolv.conf' \
        sh "$root"
check "no machine id, no keys" test ! -e "$root/etc/machine-id" -a ! -e "$root/etc/ssh" -a ! -e "$root/etc/ssl/private"
# the host's own inodes, by device and number
find -L /usr/bin /usr/lib -xdev -type f -printf '%D:%i\n' 2> /dev/null | sort -u > "$top/host"
find "$root" -type f -printf '%D:%i\n' | sort -u > "$top/own"
check "no inode of the host" test -z "$(comm -12 "$top/host" "$top/own")"

# --- runs after the first
check "nothing to do" sh -c '"$@" | grep -q "base-1 is up to date"' sh "$program" --images "$images" --packages "$list" --owner 100000:100000
sed 's/$/ #/' "$list" > "$top/commented"
check "comments do not count" sh -c '"$@" | grep -q "base-1 is up to date"' sh "$program" --images "$images" --packages "$top/commented" --owner 100000:100000
sed -i 's/^stamp: .*/stamp: other/' "$images/base/manifest"
check "the same packages in a changed database" sh -c '"$@" | grep -q "base-1 is up to date"' sh "$program" --images "$images" --packages "$list" --owner 100000:100000
check "the stamp is renewed" sh -c '! grep -q "stamp: other" "$1"' sh "$images/base/manifest"
sed -i -e 's/^stamp: .*/stamp: other/' -e 's/^package: bash .*/package: bash 0 all/' "$images/base/manifest"
check "another version" sh -c '"$@" | grep -q "made .*base-2:"' sh "$program" --images "$images" --packages "$list" --owner 100000:100000
printf 'bash\ncoreutils\n' > "$top/short"
list=$top/short
check "another list" sh -c '"$@" | grep -q "made .*base-3:"' sh "$program" --images "$images" --packages "$list" --owner 100000:100000
check "the one before stays, and the older until the next run" test -e "$images/base-1" -a -e "$images/base-2"
make_image > /dev/null
check "the older goes" test ! -e "$images/base-1" -a -e "$images/base-2"
check "another owner" sh -c '"$@" | grep -q "made .*base-4:"' sh "$program" --images "$images" --packages "$list" --owner 0:0
check "the link is relative" test "$(readlink "$images/base")" = base-4

# --- two at once
rm -rf "$images"/*
make_image > "$top/a" &
make_image > "$top/b"
wait $!
check "one of two made it" test "$(cat "$top/a" "$top/b" | grep -c made)" = 1 -a "$(cat "$top/a" "$top/b" | grep -c 'up to date')" = 1

# --- killed: the signal comes as soon as files are there
list=$2
for signal in KILL TERM; do
        rm -rf "$images"/* "$images"/.base.*
        # not by the function: a shell of its own would get the signal
        "$program" --images "$images" --packages "$list" --owner 0:0 > "$top/killed" 2>&1 &
        pid=$!
        until ls -d "$images"/.base.*/rootfs/usr > /dev/null 2>&1; do kill -0 $pid 2> /dev/null || break; done
        kill -$signal $pid
        wait $pid 2> /dev/null
        check "SIG$signal ends it in the middle" test $? != 0 -a ! -e "$images/base"
        [ $signal = KILL ] || check "SIG$signal leaves nothing" test -z "$(ls -A "$images")"
        list=$top/short make_image > /dev/null
        check "the run after SIG$signal" no_remains "$images"
        list=$2
done

# --- refusals
images=$top/missing
check "no images folder" refused "$top/missing: .*mkdir -p $top/missing" make_image
mkdir "$top/small"
if mount -t tmpfs -o size=8m tmpfs "$top/small" 2> /dev/null; then
        images=$top/small
        check "disk full" refused "$top/small/.*No space left.*--images" make_image
        check "disk full leaves nothing" test -z "$(ls -A "$top/small")"
        mount -o remount,ro "$top/small"
        check "read-only" refused "$top/small: .*Read-only.*--images" make_image
fi
images=$top/images
printf 'bash\nno-such-package\n' > "$top/wrong"
list=$top/wrong
rm -rf "$images"/*
check "missing package" refused "no-such-package.*not installed.*$top/wrong" make_image
check "nothing is left" test -z "$(ls -A "$images")"
list=$2
check "no database" refused "$top: no package database" make_image --root "$top"
mkdir "$images/base"
check "an own image is left alone" sh -c '"$@" | grep -q "left as it is"' sh "$program" --images "$images"
check "and not replaced by force" refused "$images/base: not made by" make_image --force

# --- an ordinary user, root of a namespace of its own
if setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user true 2> /dev/null; then
        install -d -o 65534 -g 65534 "$top/user"
        # copies: the build folder may be closed to other users
        install -m 755 "$program" "$top/program"
        install -m 644 "$2" "$top/list"
        check "as an ordinary user" setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user \
                "$top/program" --images "$top/user" --packages "$top/list"
        check "shell as an ordinary user" setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user \
                --map-root-user chroot "$top/user/base/rootfs" /bin/sh -c 'test "$(id -un)" = root'
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]
