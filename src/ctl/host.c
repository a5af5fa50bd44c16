/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/terminal.h"

/* mount_setattr() came with 5.12, what kills a control group with 5.14 */
#define KERNEL_MAJOR 5
#define KERNEL_MINOR 14

#define APPARMOR_PROFILE "sandboxd-spawner"
#define APPARMOR_SOURCE PKGLIBDIR "/apparmor/" APPARMOR_PROFILE

void findings_clear(Findings *f) {
        for (size_t i = 0; i < f->n; i++) {
                free(f->items[i].detail);
                free(f->items[i].fix);
        }
        free(f->items);
        *f = (Findings){ 0 };
}

void findings_add(Findings *f, const char *name, FindingState state, char *detail, char *fix) {
        f->items = xrealloc(f->items, (f->n + 1) * sizeof *f->items);
        f->items[f->n++] = (Finding){ .name = name, .state = state, .detail = detail, .fix = fix };
}

const char *finding_state_name(FindingState state) {
        static const char *const names[] = {
                [FINDING_GOOD] = "ok",
                [FINDING_NOTE] = "note",
                [FINDING_WEAK] = "weak",
                [FINDING_BAD] = "FAIL",
        };

        return names[state];
}

ssize_t host_read(const char *root, const char *path, char *buf, size_t size) {
        _cleanup_free_ char *full = xasprintf("%s%s", root, path);
        _cleanup_fd_ int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        size_t length = 0;
        ssize_t n = 0;

        buf[0] = '\0';
        if (fd < 0)
                return -errno;
        while (length < size - 1 && (n = read(fd, buf + length, size - 1 - length)) > 0)
                length += (size_t) n;
        if (n < 0)
                return -errno;
        buf[length] = '\0';
        return (ssize_t) length;
}

long host_number(const char *root, const char *path, long fallback) {
        char text[64], *end;

        if (host_read(root, path, text, sizeof text) <= 0)
                return fallback;
        long value = strtol(text, &end, 10);
        return end == text ? fallback : value;
}

bool host_has_word(const char *text, const char *word) {
        size_t n = strlen(word);

        for (const char *p = text; (p = strstr(p, word)); p += n)
                if ((p == text || strchr(" \t\n", p[-1])) && strchr(" \t\n", p[n]))
                        return true;
        return false;
}

static bool exists(const char *root, const char *path) {
        _cleanup_free_ char *full = xasprintf("%s%s", root, path);

        return access(full, F_OK) == 0;
}

static void check_kernel(const char *root, Findings *f) {
        char release[128];
        int major = 0, minor = 0;

        (void) host_read(root, "/proc/sys/kernel/osrelease", release, sizeof release);
        release[strcspn(release, "\n")] = '\0';
        if (sscanf(release, "%d.%d", &major, &minor) != 2)
                findings_add(f, "kernel", FINDING_BAD, xstrdup("/proc/sys/kernel/osrelease names no version of Linux"),
                        xstrdup("mount /proc"));
        else if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
                findings_add(f, "kernel", FINDING_BAD,
                        xasprintf("Linux %s is older than %d.%d", release, KERNEL_MAJOR, KERNEL_MINOR),
                        xstrdup("install a newer kernel and boot it; Debian 12 has 6.1"));
        else
                findings_add(f, "kernel", FINDING_GOOD, xasprintf("Linux %s", release), NULL);
}

static void check_user_namespaces(const char *root, Findings *f) {
        long most = host_number(root, "/proc/sys/user/max_user_namespaces", -1);

        if (most < 0)
                findings_add(f, "user namespaces", FINDING_BAD, xstrdup("this kernel has none"),
                        xstrdup("boot a kernel with CONFIG_USER_NS=y"));
        else if (most == 0)
                findings_add(f, "user namespaces", FINDING_BAD, xstrdup("user.max_user_namespaces is 0"),
                        xstrdup("sysctl -w user.max_user_namespaces=15000; take the setting out of /etc/sysctl.d"));
        else if (host_number(root, "/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
                findings_add(f, "user namespaces", FINDING_BAD, xstrdup("kernel.unprivileged_userns_clone is 0"),
                        xstrdup("sysctl -w kernel.unprivileged_userns_clone=1; take the setting out of /etc/sysctl.d"));
        else
                findings_add(f, "user namespaces", FINDING_GOOD, xasprintf("at most %ld", most), NULL);
}

/* The list of loaded profiles is root's to read; for others the file has to do. */
static bool profile_is_loaded(const char *root) {
        static char text[MIB];

        if (host_read(root, "/sys/kernel/security/apparmor/profiles", text, sizeof text) >= 0)
                return host_has_word(text, APPARMOR_PROFILE);
        return exists(root, "/etc/apparmor.d/" APPARMOR_PROFILE);
}

/* Ubuntu from 23.10 on: a program may make user namespaces only when a profile says so. */
static void check_apparmor(const char *root, Findings *f) {
        if (host_number(root, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 0)
                findings_add(f, "AppArmor", FINDING_GOOD, xstrdup("does not restrict user namespaces"), NULL);
        else if (profile_is_loaded(root))
                findings_add(f, "AppArmor", FINDING_GOOD,
                        xstrdup("restricts user namespaces; the profile " APPARMOR_PROFILE " allows them"), NULL);
        else
                findings_add(f, "AppArmor", FINDING_BAD,
                        xstrdup("kernel.apparmor_restrict_unprivileged_userns is 1 and no profile for the spawner is "
                                "loaded"),
                        xstrdup("install -m 644 " APPARMOR_SOURCE " /etc/apparmor.d/ && apparmor_parser -r "
                                "/etc/apparmor.d/" APPARMOR_PROFILE));
}

static void check_selinux(const char *root, Findings *f) {
        switch (host_number(root, "/sys/fs/selinux/enforce", -1)) {
        case 0:
                findings_add(f, "SELinux", FINDING_NOTE, xstrdup("permissive: it refuses nothing"), NULL);
                break;
        case 1:
                findings_add(f, "SELinux", FINDING_NOTE,
                        xstrdup("enforcing: the services run in the domain that the policy gives to services without "
                                "one of their own, usually unconfined_service_t"),
                        xstrdup("if sandboxes do not start: ausearch -m avc -c sandboxd-spawner"));
                break;
        default:
                findings_add(f, "SELinux", FINDING_GOOD, xstrdup("not in use"), NULL);
        }
}

static char *missing_controllers(const char *text) {
        static const char *const wanted[] = { "cpu", "memory", "pids" };
        _cleanup_free_ char *missing = xstrdup("");

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                if (!host_has_word(text, wanted[i])) {
                        char *more = xasprintf("%s%s%s", missing, *missing ? ", " : "", wanted[i]);
                        free(missing);
                        missing = more;
                }
        return take_ptr(missing);
}

static void check_cgroups(const char *root, Findings *f) {
        char text[512];
        _cleanup_free_ char *missing = NULL;

        if (host_read(root, "/sys/fs/cgroup/cgroup.controllers", text, sizeof text) < 0) {
                findings_add(f, "control groups", FINDING_BAD,
                        xstrdup("no unified hierarchy (cgroup v2) at /sys/fs/cgroup: limits of memory, processor and "
                                "tasks do not hold"),
                        xstrdup("boot with systemd.unified_cgroup_hierarchy=1 and without cgroup_no_v1="));
                return;
        }
        missing = missing_controllers(text);
        if (*missing)
                findings_add(f, "control groups", FINDING_BAD,
                        xasprintf("the controllers %s are missing: these limits do not hold", missing),
                        xstrdup("take cgroup_disable= and cgroup_no_v1= off the kernel's command line; in a container, "
                                "let its manager delegate cpu, memory and pids"));
        else
                findings_add(f, "control groups", FINDING_GOOD, xstrdup("cgroup v2 with cpu, memory and pids"), NULL);
}

/* A spawner's group has the controllers that systemd delegated to it; its socket unit has a group as well. */
static void check_delegation(const char *root, Findings *f) {
        _cleanup_free_ char *slice = xasprintf("%s/sys/fs/cgroup/sandboxd.slice", root);
        DIR *dir = opendir(slice);

        for (const struct dirent *d; dir && (d = readdir(dir));) {
                _cleanup_free_ char *path = NULL, *missing = NULL, *unit = NULL;
                char text[512];

                const char *type = strrchr(d->d_name, '.');
                if (strncmp(d->d_name, "sandboxd-spawner@", 17) != 0 || !type || strcmp(type, ".service") != 0)
                        continue;
                unit = terminal_escape_string(d->d_name);
                path = xasprintf("/sys/fs/cgroup/sandboxd.slice/%s/cgroup.controllers", d->d_name);
                (void) host_read(root, path, text, sizeof text);
                missing = missing_controllers(text);
                if (*missing)
                        findings_add(f, "delegation", FINDING_BAD, xasprintf("%s lacks %s", unit, missing),
                                xasprintf("set Delegate=cpu memory pids again if a drop-in changed it (systemctl cat "
                                          "%s), then restart the worker",
                                        unit));
                else
                        findings_add(f, "delegation", FINDING_GOOD, xasprintf("%s has cpu, memory and pids", unit), NULL);
        }
        if (dir)
                (void) closedir(dir);
}

static void check_overlay(const char *root, Findings *f) {
        static char text[64 * KIB];

        (void) host_read(root, "/proc/filesystems", text, sizeof text);
        if (host_has_word(text, "overlay"))
                findings_add(f, "overlayfs", FINDING_GOOD, xstrdup("there"), NULL);
        else
                findings_add(f, "overlayfs", FINDING_BAD,
                        xstrdup("the kernel does not know it, and an unprivileged program cannot load it"),
                        xstrdup("modprobe overlay; /usr/lib/modules-load.d/sandboxd.conf does it at boot"));
}

static void check_seccomp(const char *root, Findings *f) {
        char text[512];

        (void) host_read(root, "/proc/sys/kernel/seccomp/actions_avail", text, sizeof text);
        if (host_has_word(text, "kill_process") && host_has_word(text, "errno"))
                findings_add(f, "seccomp", FINDING_GOOD, xstrdup("filters that kill and refuse"), NULL);
        else
                findings_add(f, "seccomp", FINDING_BAD, xstrdup("this kernel has no system call filters"),
                        xstrdup("boot a kernel with CONFIG_SECCOMP_FILTER=y"));
}

static bool has_item(char *list, const char *item) {
        for (char *p; (p = strsep(&list, ",\n"));)
                if (strcmp(p, item) == 0)
                        return true;
        return false;
}

/* The list of modules is in a file system that need not be mounted: then the kernel is asked for its version. */
static bool has_landlock(const char *root) {
        char text[512];

        if (host_read(root, "/sys/kernel/security/lsm", text, sizeof text) > 0)
                return has_item(text, "landlock");
        return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

static void check_landlock(const char *root, Findings *f) {
        if (has_landlock(root))
                findings_add(f, "Landlock", FINDING_GOOD, xstrdup("a second wall around each sandbox"), NULL);
        else
                findings_add(f, "Landlock", FINDING_WEAK,
                        xstrdup("not in use: sandboxes are what they are without it, and have no second wall"),
                        xstrdup("boot a kernel from 5.19 on with CONFIG_SECURITY_LANDLOCK=y; where it has lsm= on its "
                                "command line, add landlock to the list"));
}

void host_check(const char *root, Findings *f) {
        check_kernel(root, f);
        check_user_namespaces(root, f);
        check_apparmor(root, f);
        check_selinux(root, f);
        check_cgroups(root, f);
        check_delegation(root, f);
        check_overlay(root, f);
        check_seccomp(root, f);
        check_landlock(root, f);
        host_check_ids(root, f);
        host_check_hardening(root, f);
}
