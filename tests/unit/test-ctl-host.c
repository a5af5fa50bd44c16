/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/host.h"
#include "ctl/terminal.h"

static char root[64];

static void put(const char *path, const char *text) {
        _cleanup_free_ char *full = xasprintf("%s%s", root, path);
        _cleanup_fd_ int fd = -EBADF;

        for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
                *p = '\0';
                (void) mkdir(full, 0755); /* may be there */
                *p = '/';
        }
        fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void drop(const char *path) {
        _cleanup_free_ char *full = xasprintf("%s%s", root, path);

        assert_int_equal(unlink(full), 0);
}

/* A machine where nothing is missing. */
static int make_host(void **state) {
        (void) state;
        (void) snprintf(root, sizeof root, "/tmp/test-ctl-host-XXXXXX");
        if (!mkdtemp(root))
                return -1;
        put("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
        put("/proc/sys/user/max_user_namespaces", "15000\n");
        put("/proc/filesystems", "nodev\tsysfs\nnodev\toverlay\n\text4\n");
        put("/proc/sys/kernel/seccomp/actions_avail", "kill_process kill_thread trap errno trace log allow\n");
        put("/sys/kernel/security/lsm", "lockdown,capability,landlock,yama");
        put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");
        put("/etc/passwd", "root:x:0:0::/:/bin/sh\nsandboxd:x:990:990::/:/\nsandboxd-box:x:991:991::/:/\n");
        put("/etc/subuid", "admin:100000:65536\nsandboxd-box:1879048192:1114112\n");
        put("/etc/subgid", "991:1879048192:1114112\n");
        put("/proc/swaps", "Filename Type Size Used Priority\n");
        return 0;
}

static int drop_host(void **state) {
        _cleanup_free_ char *command = xasprintf("rm -rf '%s'", root);

        (void) state;
        return system(command);
}

/* The worst that is said under a name; @ret_fix: how to mend it, borrowed from @f. */
static FindingState worst(const Findings *f, const char *name, const char **ret_fix) {
        FindingState state = FINDING_GOOD;
        bool found = false;

        for (size_t i = 0; i < f->n; i++)
                if (strcmp(f->items[i].name, name) == 0) {
                        found = true;
                        if (f->items[i].state >= state) {
                                state = f->items[i].state;
                                if (ret_fix)
                                        *ret_fix = f->items[i].fix;
                        }
                }
        if (!found)
                fail_msg("nothing is said about %s", name);
        return state;
}

static void assert_bad(const char *name, const char *fix_part) {
        _cleanup_findings_ Findings f = { 0 };
        const char *fix = NULL;

        host_check(root, &f);
        assert_int_equal(worst(&f, name, &fix), FINDING_BAD);
        assert_non_null(fix);
        if (!strstr(fix, fix_part))
                fail_msg("%s: the fix \"%s\" does not say %s", name, fix, fix_part);
}

static void nothing_is_wrong_with_a_good_host(void **state) {
        _cleanup_findings_ Findings f = { 0 };

        (void) state;
        host_check(root, &f);
        for (size_t i = 0; i < f.n; i++)
                if (f.items[i].state != FINDING_GOOD)
                        fail_msg("%s: %s", f.items[i].name, f.items[i].detail);
        assert_true(f.n >= 10);
}

static void an_old_kernel_is_too_old(void **state) {
        (void) state;
        put("/proc/sys/kernel/osrelease", "5.13.19\n");
        assert_bad("kernel", "newer kernel");
        put("/proc/sys/kernel/osrelease", "4.19\n");
        assert_bad("kernel", "newer kernel");
        put("/proc/sys/kernel/osrelease", "garbage\n");
        assert_bad("kernel", "/proc");
        put("/proc/sys/kernel/osrelease", "5.14.0-rc1\n");
        _cleanup_findings_ Findings f = { 0 };
        host_check(root, &f);
        assert_int_equal(worst(&f, "kernel", NULL), FINDING_GOOD);
}

static void user_namespaces_can_be_switched_off_in_two_ways(void **state) {
        (void) state;
        put("/proc/sys/user/max_user_namespaces", "0\n");
        assert_bad("user namespaces", "user.max_user_namespaces=");
        put("/proc/sys/user/max_user_namespaces", "100\n");
        put("/proc/sys/kernel/unprivileged_userns_clone", "0\n");
        assert_bad("user namespaces", "unprivileged_userns_clone=1");
        drop("/proc/sys/user/max_user_namespaces");
        assert_bad("user namespaces", "CONFIG_USER_NS");
}

static void a_restriction_of_apparmor_needs_the_profile(void **state) {
        _cleanup_findings_ Findings with_file = { 0 }, loaded = { 0 };

        (void) state;
        put("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
        assert_bad("AppArmor", "apparmor_parser -r");
        put("/etc/apparmor.d/sandboxd-spawner", "");
        host_check(root, &with_file);
        assert_int_equal(worst(&with_file, "AppArmor", NULL), FINDING_GOOD);
        /* who can see what is loaded does not trust the file */
        put("/sys/kernel/security/apparmor/profiles", "sandboxd-spawner-old (enforce)\nlsb_release (enforce)\n");
        assert_bad("AppArmor", "apparmor_parser -r");
        put("/sys/kernel/security/apparmor/profiles", "lsb_release (enforce)\nsandboxd-spawner (unconfined)\n");
        host_check(root, &loaded);
        assert_int_equal(worst(&loaded, "AppArmor", NULL), FINDING_GOOD);
}

static void selinux_is_told(void **state) {
        _cleanup_findings_ Findings f = { 0 };
        const char *fix = NULL;

        (void) state;
        put("/sys/fs/selinux/enforce", "1");
        host_check(root, &f);
        assert_int_equal(worst(&f, "SELinux", &fix), FINDING_NOTE);
        assert_non_null(strstr(fix, "ausearch"));
}

static void control_groups_need_three_controllers(void **state) {
        _cleanup_findings_ Findings f = { 0 };

        (void) state;
        put("/sys/fs/cgroup/cgroup.controllers", "cpuset io memory pids\n");
        assert_bad("control groups", "cgroup_no_v1");
        drop("/sys/fs/cgroup/cgroup.controllers");
        assert_bad("control groups", "unified_cgroup_hierarchy");

        put("/sys/fs/cgroup/sandboxd.slice/sandboxd-spawner@w.service/cgroup.controllers", "cpu memory pids\n");
        put("/sys/fs/cgroup/sandboxd.slice/sandboxd-spawner@w.socket/cgroup.controllers", "\n");
        host_check(root, &f);
        assert_int_equal(worst(&f, "delegation", NULL), FINDING_GOOD);
        put("/sys/fs/cgroup/sandboxd.slice/sandboxd-spawner@x.service/cgroup.controllers", "memory\n");
        assert_bad("delegation", "Delegate=");
}

static void overlayfs_and_filters_have_to_be_there(void **state) {
        (void) state;
        put("/proc/filesystems", "nodev\toverlayfs2\n");
        assert_bad("overlayfs", "modprobe overlay");
        drop("/proc/sys/kernel/seccomp/actions_avail");
        assert_bad("seccomp", "CONFIG_SECCOMP_FILTER");
}

static void landlock_that_is_missing_is_a_weakness(void **state) {
        _cleanup_findings_ Findings f = { 0 };
        const char *fix = NULL;

        (void) state;
        put("/sys/kernel/security/lsm", "lockdown,capability,landlocked,yama\n");
        host_check(root, &f);
        assert_int_equal(worst(&f, "Landlock", &fix), FINDING_WEAK);
        assert_non_null(strstr(fix, "lsm="));
}

static void subordinate_ids_are_enough_and_nobody_elses(void **state) {
        (void) state;
        put("/etc/subgid", "sandboxd-box:1879048192:65535\n");
        assert_bad("subordinate gids", "sandboxd-allocate-ids");
        put("/etc/subuid", "guest:1880000000:65536\nsandboxd-box:1879048192:1114112\n");
        assert_bad("subordinate uids", "sandboxd-allocate-ids");
        put("/etc/passwd", "root:x:0:0::/:/bin/sh\nsandboxd-boxer:x:991:991::/:/\n");
        assert_bad("users", "systemd-sysusers");
}

static void weak_settings_come_with_the_command(void **state) {
        _cleanup_findings_ Findings f = { 0 };
        const char *fix = NULL;

        (void) state;
        put("/proc/sys/kernel/unprivileged_bpf_disabled", "0\n");
        put("/proc/sys/kernel/kptr_restrict", "2\n");
        put("/proc/sys/dev/tty/legacy_tiocsti", "1\n");
        put("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n");
        host_check(root, &f);
        assert_int_equal(worst(&f, "hardening", &fix), FINDING_WEAK);
        assert_string_equal(fix, "sysctl -w kernel.unprivileged_bpf_disabled=1 dev.tty.legacy_tiocsti=0");
        assert_int_equal(worst(&f, "swap", &fix), FINDING_NOTE);
}

#define HOST_TEST(f) cmocka_unit_test_setup_teardown(f, make_host, drop_host)

int main(void) {
        const struct CMUnitTest tests[] = {
                HOST_TEST(nothing_is_wrong_with_a_good_host),
                HOST_TEST(an_old_kernel_is_too_old),
                HOST_TEST(user_namespaces_can_be_switched_off_in_two_ways),
                HOST_TEST(a_restriction_of_apparmor_needs_the_profile),
                HOST_TEST(selinux_is_told),
                HOST_TEST(control_groups_need_three_controllers),
                HOST_TEST(overlayfs_and_filters_have_to_be_there),
                HOST_TEST(landlock_that_is_missing_is_a_weakness),
                HOST_TEST(subordinate_ids_are_enough_and_nobody_elses),
                HOST_TEST(weak_settings_come_with_the_command),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
