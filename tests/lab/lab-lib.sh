# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Common parts of lab-root and lab-run, which source it.
#
#   SANDBOXD_LAB_CACHE  where all is kept (default /var/tmp/sandboxd-test-lab; not on an overlay file system).
#                       May be deleted whenever no lab runs.
#   SANDBOXD_LAB_SUITE  Debian release inside (default: this machine's)
#   SANDBOXD_LAB_ACCEL  QEMU's accelerator (default: kvm where it works, else tcg)

lab_home=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
lab_cache=${SANDBOXD_LAB_CACHE:-/var/tmp/sandboxd-test-lab}
lab_suite=${SANDBOXD_LAB_SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")}

case $lab_suite in
    bookworm) lab_libraries="libcurl4 libmicrohttpd12 libhiredis0.14 libarchive13 libnettle8 libwslay1" ;;
    *)        lab_libraries="libcurl4t64 libmicrohttpd12t64 libhiredis1.1.0 libarchive13t64 libnettle8t64 libwslay1" ;;
esac
# what the packages under test depend on, then what tests use
lab_packages="systemd systemd-sysv dbus udev kmod libpam-systemd passwd uidmap
    libsystemd0 libjansson4 libuuid1 libinih1 libseccomp2 libsodium23 $lab_libraries
    procps iproute2 util-linux libcap2-bin strace python3 curl jq hey gcc libc6-dev nodejs
    redis-server redis-tools nginx-light openssl polkitd libglib2.0-bin python3-dbus
    docker.io docker-compose iptables"

lab_die() { echo "lab: $*" >&2; exit 125; }

# The folder of this release, these packages and this recipe.
lab_base() {
    echo "$lab_cache/$lab_suite-$({ echo "$lab_packages"; cat "$lab_home/lab-root"; } | sha256sum | cut -c1-12)"
}

# Sets $run to a new folder, locked (descriptor 9) for as long as this process lives; first removes those that
# processes killed with SIGKILL left behind.
lab_run_make() {
    local folder
    mkdir -p "$lab_cache/run"
    exec 8>"$lab_cache/run.lock"
    flock 8
    for folder in "$lab_cache"/run/*/; do
        [ -e "$folder/lock" ] || continue
        ( flock -n 9 && lab_run_remove "${folder%/}" ) 9<"$folder/lock" || :
    done
    run=$(mktemp -d "$lab_cache/run/XXXXXX")
    exec 9>"$run/lock"
    flock 9
    exec 8>&-
}

lab_run_remove() {
    lab_cgroup_remove "$1"
    rm -rf "$1"
}

# nspawn makes its groups below the one it is started in, so each lab starts in one of its own, in the cgroup2 tree
# and, on a machine that still has it, in that of systemd.
lab_cgroup_trees() {
    awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /name=systemd/) { print $2 }' /proc/self/mounts
}

lab_cgroup_enter() {
    local tree
    for tree in $(lab_cgroup_trees); do
        mkdir -p "$tree/lab-sandboxd.${1##*/}" && echo "$BASHPID" >"$tree/lab-sandboxd.${1##*/}/cgroup.procs" || :
    done
}

lab_cgroup_remove() {
    local tree group
    for tree in $(lab_cgroup_trees); do
        group=$tree/lab-sandboxd.${1##*/}
        [ -d "$group" ] || continue
        [ ! -w "$group/cgroup.kill" ] || echo 1 >"$group/cgroup.kill"
        # what was killed takes a moment to leave
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || :
            [ -d "$group" ] || break
            sleep 0.1
        done
    done
}
