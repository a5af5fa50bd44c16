#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 300
# args: @build@/src/image/sandboxd-base-image @top@/src/image/base.packages
# Makes an image of a root folder whose packages are known to the real rpm: image-rpm.sh PROGRAM LIST
# Needs rpm and rpmbuild. Ends with "N passed, N failed"; 77 when it cannot run.
set -u

program=$1
for tool in rpm rpmbuild; do
        command -v $tool > /dev/null || { echo "needs $tool"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }

top=$(mktemp -d /var/tmp/image-rpm.XXXXXX)
trap 'umount "$top/root/usr" 2> /dev/null; rm -rf "$top"' EXIT
trap 'exit 1' INT TERM
passed=0 failed=0
chmod 755 "$top"
machine=$(uname -m)

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

# package NAME ARCH "HEADER LINES" FILE...: a file is PATH or PATH=MODE
package() {
        name=$1 arch=$2 header=$3
        shift 3
        {
                printf 'Name: %s\nVersion: 1.0\nRelease: 1\nSummary: test\nLicense: none\n' "$name"
                [ "$arch" != noarch ] || echo 'BuildArch: noarch'
                printf '%s\n' "$header" 'AutoReqProv: no' '%description' 'test' '%install'
                for file; do
                        path=${file%=*}
                        printf 'mkdir -p %%{buildroot}%s\n' "$(dirname "$path")"
                        printf 'echo %s > %%{buildroot}%s\n' "$name" "$path"
                done
                echo '%files'
                for file; do
                        path=${file%=*} mode=${file#*=}
                        [ "$mode" != "$file" ] || mode=0644
                        printf '%%attr(%s, root, root) %s\n' "$mode" "$path"
                done
        } > "$top/$name.spec"
        rpmbuild --quiet --define "_topdir $top/build" --define '_build_id_links none' --target "$arch" -bb "$top/$name.spec" \
                > "$top/rpmbuild" 2>&1 || { cat "$top/rpmbuild"; exit 1; }
}

package bash noarch 'Requires: libc.so.6(GLIBC_2.34)(64bit), (gawk or mawk >= 1), (langs if desktop), /usr/bin/env
Requires(post): onlyscripts
Provides: /bin/sh' /usr/bin/bash=4755 /usr/share/doc/bash/README /usr/share/odd+name
package glibc "$machine" 'Provides: libc.so.6(GLIBC_2.34)(64bit)
Requires: stopped' /lib64/libc.so.6=0755 /etc/ld.so.conf
package mawk noarch 'Requires: /bin/sh' /usr/bin/mawk=0755
package coreutils noarch 'Requires: rpmlib(PayloadIsXz) <= 5' /usr/bin/env=0755
package onlyscripts noarch 'Provides: x' /usr/bin/onlyscripts
package stopped noarch 'Requires: behind' /usr/bin/stopped
package behind noarch 'Provides: y' /usr/bin/behind
package langs noarch 'Provides: z' /usr/bin/langs
package unrelated noarch 'Provides: bash-thing' /usr/bin/unrelated

root=$top/root
mkdir -p "$root/usr/bin" "$root/usr/lib64" "$root/usr/lib" "$root/usr/lib/sysimage/rpm" "$top/images"
ln -s usr/bin "$root/bin"
ln -s usr/lib64 "$root/lib64"
ln -s bin "$root/usr/sbin"
ln -s usr/sbin "$root/sbin"
echo 'ID=test' > "$root/usr/lib/os-release"
rpm --dbpath "$root/usr/lib/sysimage/rpm" --initdb
# rpm puts the database below the root by itself, and --nodeps for what this root does without (rpmlib features stay)
rpm --root "$root" --dbpath /usr/lib/sysimage/rpm --install --nodeps --noscripts --ignorearch --ignoreos \
        $(find "$top/build/RPMS" -name '*.rpm') > "$top/install" 2>&1 || { cat "$top/install"; exit 1; }
printf 'bash\n?missing\n!stop*\n' > "$top/list"

make_image() {
        "$program" --root "$root" --images "$top/images" --packages "$top/list" --owner 0:0 "$@"
}

check "an image is made" make_image
image=$top/images/base
check "the right packages" test "$(grep '^package: ' "$image/manifest" | cut -d ' ' -f 2 | sort | xargs)" = "bash coreutils glibc mawk"
check "version and architecture" grep -qx "package: glibc 1.0-1 $machine" "$image/manifest"
check "files" test -s "$image/rootfs/usr/bin/bash" -a -s "$image/rootfs/usr/bin/mawk" -a -s "$image/rootfs/usr/share/odd+name"
check "files below a link" test -s "$image/rootfs/usr/lib64/libc.so.6"
check "no set-id bits" test "$(stat -c %a "$image/rootfs/usr/bin/bash")" = 755
check "no documentation" test ! -e "$image/rootfs/usr/share/doc"
check "links of the root" test "$(readlink "$image/rootfs/bin") $(readlink "$image/rootfs/lib64") $(readlink "$image/rootfs/usr/sbin") $(readlink "$image/rootfs/sbin")" = "usr/bin usr/lib64 bin usr/sbin"
check "its own release" grep -qx ID=test "$image/rootfs/etc/os-release"
check "nothing to do" sh -c '"$@" | grep -q "up to date"' sh "$program" --root "$root" --images "$top/images" --packages "$top/list" --owner 0:0
stamp=$(grep ^stamp: "$image/manifest")
rpm --dbpath "$root/usr/lib/sysimage/rpm" -qa > /dev/null
check "asking rpm changes no stamp" sh -c '"$@" > /dev/null; grep -qFx "$0" "$3/base/manifest"' "$stamp" "$program" --images "$top/images" --packages "$top/list" --owner 0:0 --root "$root"
rpm --root "$root" --dbpath /usr/lib/sysimage/rpm --erase --nodeps --noscripts unrelated 2> "$top/erase"
check "an unrelated package went" sh -c '"$@" | grep -q "base-1 is up to date"' sh "$program" --root "$root" --images "$top/images" --packages "$top/list" --owner 0:0
rpm --root "$root" --dbpath /usr/lib/sysimage/rpm --erase --nodeps --noscripts mawk 2> "$top/erase"
check "a package of it went" sh -c '"$@" | grep -q "made .*base-2:"' sh "$program" --root "$root" --images "$top/images" --packages "$top/list" --owner 0:0
check "and is not in the new one" test ! -e "$image/rootfs/usr/bin/mawk"
if mount --bind "$root/usr" "$root/usr" 2> /dev/null && mount -o remount,bind,ro "$root/usr"; then
        check "the database may be read-only" make_image --force
        umount "$root/usr"
fi
check "an ordinary user may ask" sh -c '
        install -m 755 "$1" "$2/program"
        install -d -o 65534 -g 65534 "$2/user"
        setpriv --reuid 65534 --regid 65534 --clear-groups "$2/program" --root "$2/root" --images "$2/user" --packages "$2/list"' \
        sh "$program" "$top"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
