/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "attack.h"

static bool is_null_device(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* Opens what changes the host, for writing; nothing is written. */
int attack_proc_sys_write(char part) {
        static const char *const paths[] = { "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
                "/proc/sys/kernel/hotplug", "/proc/sys/vm/panic_on_oom", "/proc/sys/vm/drop_caches",
                "/proc/sys/fs/binfmt_misc", "/proc/sys/fs/binfmt_misc/register", "/proc/sys/kernel/domainname",
                "/proc/sys/kernel/hostname", "/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/kernel/ns_last_pid",
                "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/core/somaxconn",
                "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/user/max_user_namespaces",
                "/proc/sys/kernel/sem", "/proc/sys/kernel/shmmax", "/proc/sys/fs/mqueue/queues_max",
                "/proc/sys/kernel/randomize_va_space", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
                "/proc/mtrr", "/proc/acpi/wakeup", "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/projid_map",
                "/proc/self/setgroups", "/proc/self/timens_offsets", "/proc/kcore", "/proc/kmem", "/proc/scsi/scsi",
                "/proc/timer_stats", "/proc/fs/nfsd/threads", "/proc/dynamic_debug/control" };
        char buf[8];

        (void) part;
        for (size_t i = 0; i < N_OF(paths); i++) {
                int fd = open(paths[i], O_WRONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                /* maps may be opened by their owner, the check comes with the write: one of nothing at all */
                if (!is_null_device(fd) && !(strncmp(paths[i], "/proc/self/", 11) == 0 && write(fd, "", 0) <= 0))
                        hole("%s can be opened for writing", paths[i]);
                (void) close(fd);
        }
        int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, "0 0 1\n", 6) == 6)
                hole("the id map can be written again");
        if (read_file("/proc/sys/kernel/core_pattern", buf, sizeof buf) == 0)
                hole("/proc/sys shows nothing"); /* the check above would prove nothing */
        return verdict("%zu files", N_OF(paths));
}

/* Reads what tells of the host or its other users. */
int attack_proc_masked(char part) {
        static const char *const files[] = { "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/kallsyms", "/proc/config.gz",
                "/proc/cmdline", "/proc/bootconfig", "/proc/interrupts", "/proc/softirqs", "/proc/schedstat",
                "/proc/modules", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup",
                "/proc/slabinfo", "/proc/vmallocinfo", "/proc/pagetypeinfo", "/proc/locks", "/proc/diskstats",
                "/proc/partitions", "/proc/mdstat", "/proc/swaps", "/proc/mtrr", "/proc/allocinfo", "/proc/1/environ",
                "/proc/1/maps", "/proc/1/auxv", "/proc/1/stack", "/proc/1/syscall", "/proc/1/wchan", "/proc/1/io" };
        static const char *const folders[] = { "/proc/acpi", "/proc/asound", "/proc/scsi", "/proc/pressure",
                "/proc/driver", "/proc/dynamic_debug", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/spl",
                "/proc/tty/driver", "/proc/device-tree", "/proc/xen", "/sys" };

        (void) part;
        for (size_t i = 0; i < N_OF(files); i++) {
                char text[64];
                /* of another user's process the kernel itself says "0" */
                if (read_file(files[i], text, sizeof text) > 0 && strcmp(text, "0") != 0)
                        hole("%s can be read: %.30s", files[i], text);
        }
        for (size_t i = 0; i < N_OF(folders); i++) {
                DIR *d = opendir(folders[i]);
                for (struct dirent *e; d && (e = readdir(d));)
                        if (e->d_name[0] != '.')
                                hole("%s/%s is there", folders[i], e->d_name);
                if (d)
                        (void) closedir(d);
        }
        return verdict("%zu files, %zu folders", N_OF(files), N_OF(folders));
}

/* Command line and name of process 1, sources and roots of mounts: nothing of the host may show in them. */
int attack_argv_visible(char part) {
        static const char *const telling[] = { "/var/lib", "/tmp/", "/home/", "/root/", "/srv", "/usr/lib", "/run/",
                "upperdir", "workdir" };
        char text[16384];

        (void) part;
        ssize_t n = read_file("/proc/1/cmdline", text, sizeof text);
        if (n > 0)
                hole("command line of process 1: %.60s", text);
        if (read_file("/proc/1/environ", text, sizeof text) > 0)
                hole("environment of process 1: %.60s", text);
        if (readlink("/proc/1/exe", text, sizeof text) > 0)
                hole("the program of process 1 can be named");

        FILE *f = fopen("/proc/self/mountinfo", "re");
        while (f && fgets(text, sizeof text, f)) {
                char root[512] = "", where[512] = "", *options = strstr(text, " - ");
                if (sscanf(text, "%*s %*s %*s %511s %511s", root, where) != 2 || !options)
                        continue;
                for (size_t i = 0; i < N_OF(telling); i++)
                        if (strstr(root, telling[i]) || strstr(options, telling[i])) {
                                hole("a mount tells of the host: %.250s", text);
                        }
        }
        if (f)
                (void) fclose(f);
        return verdict("process 1 and the mounts tell nothing");
}

/* Addresses of the kernel and its log. */
int attack_kernel_info(char part) {
        static const char *const files[] = { "/proc/kallsyms", "/proc/modules", "/proc/net/unix", "/proc/self/stack",
                "/proc/1/stack", "/proc/net/tcp", "/proc/iomem", "/proc/ioports", "/proc/net/netlink" };
        static char text[65536];

        (void) part;
        for (size_t i = 0; i < N_OF(files); i++) {
                if (read_file(files[i], text, sizeof text) <= 0)
                        continue;
                const char *p = strstr(text, "ffff8");
                if (!p)
                        p = strstr(text, "ffffffff");
                if (p && strspn(p, "0123456789abcdef") == 16 && strncmp(p, "ffffffffffffffff", 16) != 0)
                        hole("%s has an address: %.16s", files[i], p);
        }
        if (klogctl(3, text, sizeof text) > 0 || klogctl(10, NULL, 0) > 0)
                hole("the kernel's log can be read");
        if (open("/dev/kmsg", O_RDONLY | O_CLOEXEC) >= 0)
                hole("/dev/kmsg can be opened");
        return verdict("no address, no log");
}

/* What names this machine. The kernel's version and the sizes of memory and CPU cannot be hidden. */
int attack_host_identity(char part) {
        struct utsname u;
        char text[4096];

        (void) part;
        if (uname(&u) == 0 && strcmp(u.nodename, "sandbox") != 0)
                hole("the host name is %.40s", u.nodename);
        if (strcmp(u.domainname, "(none)") != 0)
                hole("the domain name is %.40s", u.domainname);
        FILE *f = fopen("/proc/self/cgroup", "re");
        while (f && fgets(text, sizeof text, f)) {
                char *path = strrchr(text, ':');
                if (path && strcmp(path, ":/\n") != 0)
                        hole("a control group of the host: %.80s", text);
        }
        if (f)
                (void) fclose(f);
        static const char *const files[] = { "/etc/machine-id", "/sys/class/dmi/id/product_uuid", "/proc/diskstats",
                "/proc/partitions", "/proc/bus/pci/devices", "/proc/bus/input/devices", "/proc/driver/rtc",
                "/proc/mdstat", "/proc/swaps" };
        for (size_t i = 0; i < N_OF(files); i++)
                if (has_content(files[i]))
                        hole("%s can be read", files[i]);
        if (read_file("/etc/hostname", text, sizeof text) > 0 && strncmp(text, "sandbox", 7) != 0)
                hole("/etc/hostname is %.40s", text);
        return verdict("host name, domain, control groups, disks, buses");
}

/* Looks for control files by every path where one could be, and for a way to make a group. */
int attack_cgroup_write(char part) {
        static const char *const folders[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory",
                "/proc/1/root/sys/fs/cgroup", "/proc/self/root/sys/fs/cgroup", "/cgroup", "/dev/cgroup" };
        static const char *const files[] = { "cgroup.procs", "cgroup.kill", "cgroup.subtree_control", "memory.max",
                "memory.high", "cpu.max", "pids.max", "release_agent", "notify_on_release", "cgroup.freeze" };
        char path[128], text[256];

        (void) part;
        for (size_t i = 0; i < N_OF(folders); i++) {
                for (size_t j = 0; j < N_OF(files); j++) {
                        (void) snprintf(path, sizeof path, "%s/%s", folders[i], files[j]);
                        int fd = open(path, O_WRONLY | O_CLOEXEC);
                        if (fd >= 0) {
                                hole("%s can be opened for writing", path);
                                (void) close(fd);
                        }
                        if (has_content(path))
                                hole("%s can be read", path);
                }
                (void) snprintf(path, sizeof path, "%s/attack", folders[i]);
                if (mkdir(path, 0755) == 0)
                        hole("a group can be made in %s", folders[i]);
        }
        if (read_file("/proc/self/cgroup", text, sizeof text) > 0 && strstr(text, "sandboxd"))
                hole("the control group's path shows: %.80s", text);
        return verdict("%zu files in %zu places", N_OF(files), N_OF(folders));
}

/* Locks of the newer kind are shown to every reader of /proc/locks, ranges and all: 126 bits a lock from one tenant
 * to another. */
int attack_proc_locks(char part) {
        char text[8192];

        if (part == 'a') {
                struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x5ab0, .l_len = 0x1234 };
                int fd = open("/tmp/attack-lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
                if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0)
                        return broken("cannot take a lock: %s", strerror(errno));
                ready();
                wait_for_other();
                return held("a lock was held");
        }
        if (read_file("/proc/locks", text, sizeof text) > 0)
                return broken("/proc/locks shows %.70s", text);
        return held("nothing to see");
}

/* Mounts that take part in propagation, and calls that would change the tree. */
int attack_mount_table(char part) {
        static char text[65536];
        unsigned n = 0;

        (void) part;
        if (read_file("/proc/self/mountinfo", text, sizeof text) <= 0)
                return skipped("there is no /proc/self/mountinfo");
        for (char *p = text; (p = strchr(p, '\n')); p++)
                n++;
        if (strstr(text, " shared:") || strstr(text, " master:") || strstr(text, " propagate_from:"))
                hole("a mount takes part in propagation");
        if (strstr(text, "cgroup"))
                hole("a cgroup file system is mounted");
        if (strstr(text, "sysfs") || strstr(text, "debugfs") || strstr(text, "securityfs") || strstr(text, "bpf "))
                hole("a file system of the kernel is mounted");
        if (strstr(text, "/ / ro,") == NULL)
                hole("the root is not read-only");
        return verdict("%u mounts, all private", n);
}
