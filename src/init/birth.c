/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/init.h"
#include "init/landlock.h"

/*
 * How a process that the zygote cloned becomes process 1 of a sandbox. It starts as root of the worker's user
 * namespace, in new mount, pid, ipc and uts namespaces, in the network namespace and cgroup that it keeps. The order
 * of the steps at the end of this file is the security argument; each relies on those before it.
 */

#define OOM_SCORE_ADJUST "500"
#define NOFILE_MAX 16384U
#define SIGPENDING_MAX 1024U
#define MSGQUEUE_MAX 262144U
#define BYTES_PER_INODE 8192U
/* What a device and the terminals are mounted on later: empty, there anyway, and this sandbox's own, or locks on what is
 * covered would be seen by its neighbours. */
#define COVER_FILE TEMPLATE_NEW "/dev/null"
#define COVER_FOLDER TEMPLATE_NEW "/dev/pts"

static int check(int result) {
        return result < 0 ? -errno : 0;
}

/* All that the zygote holds is closed but the control socket, which gets its place. */
static int step_descriptors(Birth *b) {
        if (b->control != INIT_CONTROL_FD && dup3(b->control, INIT_CONTROL_FD, O_CLOEXEC) < 0)
                return -errno;
        b->control = INIT_CONTROL_FD;
        int null = open(TEMPLATE_DEV "/null", O_RDWR | O_CLOEXEC);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
                return -errno;
        return check((int) syscall(SYS_close_range, INIT_CONTROL_FD + 1, ~0U, 0));
}

/* The cgroup namespace is made inside the leaf, so that the leaf is its root and no path of the host shows. */
static int step_cgroup_namespace(Birth *b) {
        (void) b;
        return check(unshare(CLONE_NEWCGROUP));
}

/* The root: an overlay of its own, so that no lock and no inotify watch meets one of another sandbox. */
static int step_root(Birth *b) {
        char options[IMAGE_NAME_MAX + 96];

        (void) snprintf(
                options, sizeof options, "lowerdir=" TEMPLATE_SKELETON ":" TEMPLATE_IMAGES "/%s/rootfs", b->image);
        return check(mount("root", TEMPLATE_NEW, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, options));
}

static int bind_data(const char *from, const char *to, mode_t mode, uid_t owner, unsigned long flags) {
        if (mkdir(from, mode) < 0 || (owner != 0 && chown(from, owner, owner) < 0))
                return -errno;
        if (mount(from, to, NULL, MS_BIND, NULL) < 0)
                return -errno;
        if (flags)
                return check(mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | flags, NULL));
        return 0;
}

static int cover(const char *source, const char *path) {
        char where[64];

        (void) snprintf(where, sizeof where, TEMPLATE_NEW "%s", path);
        if (mount(source, where, NULL, MS_BIND, NULL) < 0)
                return errno == ENOENT ? 0 : -errno; /* this /proc has no such file */
        return 0;
}

/* A /proc of its own pid namespace; what tells of the host is covered, what changes the host is read-only. */
static int step_proc(Birth *b) {
        char where[64];
        int r;

        (void) b;
        if (mount("proc", TEMPLATE_NEW "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return -errno;
        for (const char *const *p = masked_files; *p; p++) {
                r = cover(COVER_FILE, *p);
                if (r < 0)
                        return r;
        }
        for (const char *const *p = masked_folders; *p; p++) {
                r = cover(COVER_FOLDER, *p);
                if (r < 0)
                        return r;
        }
        for (const char *const *p = readonly_paths; *p; p++) {
                (void) snprintf(where, sizeof where, TEMPLATE_NEW "%s", *p);
                r = cover(where, *p);
                if (r < 0)
                        return r;
                if (mount(NULL, where, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                            NULL) < 0 &&
                        errno != ENOENT)
                        return -errno;
        }
        return 0;
}

/* The folder /dev is the root's own; in it are our copies of the template's devices and a terminal multiplexer of its
 * own. */
static int step_devices(Birth *b) {
        char from[32], to[48];

        (void) b;
        for (const char *const *name = template_devices; *name; name++) {
                (void) snprintf(from, sizeof from, TEMPLATE_DEV "/%s", *name);
                (void) snprintf(to, sizeof to, TEMPLATE_NEW "/dev/%s", *name);
                if (mount(from, to, NULL, MS_MOVE, NULL) < 0)
                        return -errno;
        }
        return check(mount("devpts", TEMPLATE_NEW "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                "newinstance,ptmxmode=0666,mode=620,max=64"));
}

/* What can be written: one file system in memory for all of it, so that one limit holds for the sum. */
static int step_data(Birth *b) {
        uint64_t bytes = limits_files(&b->limits, !(b->flags & ZYGOTE_NO_CGROUP));
        uid_t owner = NAMESPACE_SANDBOX_ID + b->identity;
        char options[96];
        int r;

        (void) umask(0);
        (void) snprintf(options, sizeof options, "mode=755,size=%" PRIu64 ",nr_inodes=%" PRIu64, bytes,
                MAX(bytes / BYTES_PER_INODE, UINT64_C(1024)));
        if (mount("data", TEMPLATE_DATA, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
                return -errno;
        r = bind_data(TEMPLATE_DATA "/home", TEMPLATE_NEW SANDBOX_HOME, 0700, owner, 0);
        if (r == 0)
                r = bind_data(TEMPLATE_DATA "/tmp", TEMPLATE_NEW "/tmp", 01777, 0, 0);
        if (r == 0)
                r = bind_data(TEMPLATE_DATA "/shm", TEMPLATE_NEW "/dev/shm", 01777, 0, MS_NOEXEC);
        (void) umask(022);
        return r;
}

/* What the second wall lets through. Message queues lie in a file system of their own, which the sandbox does not see:
 * it goes with the template. */
static int step_rules(Birth *b) {
        static const LandlockPlace places[] = {
                { TEMPLATE_NEW, LANDLOCK_READS },
                { TEMPLATE_NEW SANDBOX_HOME, LANDLOCK_WRITES | LANDLOCK_TREE },
                { TEMPLATE_NEW "/tmp", LANDLOCK_WRITES | LANDLOCK_TREE },
                { TEMPLATE_NEW "/dev", LANDLOCK_WRITES },
                { TEMPLATE_NEW "/dev/shm", LANDLOCK_WRITES | LANDLOCK_TREE },
                { TEMPLATE_NEW "/proc", LANDLOCK_WRITES },
                { TEMPLATE_QUEUES, LANDLOCK_READS | LANDLOCK_WRITES },
        };

        if (landlock_version() == 0)
                return 0;
        /* in a kernel that has none the empty folder serves */
        if (mount("mqueue", TEMPLATE_QUEUES, "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 && errno != ENODEV)
                return -errno;
        b->rules = landlock_rules(places, ELEMENTSOF(places));
        return MIN(b->rules, 0);
}

/* The template goes out of sight for good: nothing above the new root can be named any more. */
static int step_pivot(Birth *b) {
        (void) b;
        if (chdir(TEMPLATE_NEW) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
                return -errno;
        return check(chdir("/"));
}

/* Where the kernel has Landlock. It forbids mounts, so that it comes after the last. */
static int step_landlock(Birth *b) {
        if (landlock_version() == 0)
                return 0;
        int r = landlock_enter(b->rules);
        b->rules = fd_close(b->rules);
        return r;
}

static int limit(__rlimit_resource_t resource, uint64_t soft, uint64_t hard) {
        struct rlimit now;

        if (getrlimit(resource, &now) < 0)
                return -errno;
        struct rlimit wanted = { .rlim_cur = MIN(soft, MIN(hard, now.rlim_max)), .rlim_max = MIN(hard, now.rlim_max) };
        return check(setrlimit(resource, &wanted));
}

/* What the service manager gave the spawner is not for payloads. */
int birth_limit_all(void) {
        /* no file is as small as 1 byte, and a program behind a core_pattern is not run at all: at 0 it would be */
        int r = limit(RLIMIT_CORE, 1, 1);

        if (r == 0)
                r = limit(RLIMIT_NOFILE, NOFILE_MAX, NOFILE_MAX);
        if (r == 0)
                r = limit(RLIMIT_SIGPENDING, SIGPENDING_MAX, SIGPENDING_MAX);
        if (r == 0)
                r = limit(RLIMIT_MSGQUEUE, MSGQUEUE_MAX, MSGQUEUE_MAX);
        if (r == 0)
                r = limit(RLIMIT_MEMLOCK, 64 * KIB, 64 * KIB);
        if (r == 0)
                r = limit(RLIMIT_RTPRIO, 0, 0);
        if (r == 0)
                r = limit(RLIMIT_NICE, 0, 0);
        if (r == 0)
                r = limit(RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY); /* as high as it may be: the zygote's was 0 */
        return r;
}

/* Behind a control group the limit of processes is one looser than the group's, which refuses first: it alone counts
 * what it refused, so that the command is told why. */
int birth_limit(const Limits *l, uint32_t flags) {
        uint64_t processes = (uint64_t) l->pids + (flags & ZYGOTE_NO_CGROUP ? 1 : 2);
        int r = limit(RLIMIT_NPROC, processes, processes);

        if (r == 0)
                r = limit(RLIMIT_FSIZE, l->disk, l->disk);
        if (r == 0 && (flags & ZYGOTE_NO_CGROUP))
                r = limit(RLIMIT_DATA, l->memory, l->memory);
        return r;
}

/* Those that differ from one sandbox to the next, or from the zygote, which is to be killed last. By the number, here
 * and below, since what is looked up in /proc stays in memory: a link to it would be one thing more. */
static int step_limits(Birth *b) {
        int r = b->flags & ZYGOTE_BLANK ? 0 : birth_limit(&b->limits, b->flags);

        return r < 0 ? r : file_write(AT_FDCWD, "/proc/1/oom_score_adj", OOM_SCORE_ADJUST);
}

/* An id of the host that no other sandbox has. Capabilities are kept until the maps are written. */
static int step_identity(Birth *b) {
        uid_t id = NAMESPACE_SANDBOX_ID + b->identity;

        if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
                return -errno;
        if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
                return -errno;
        return check(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); /* or uid_map would belong to the host's root */
}

/* The user namespace comes last: it owns no other namespace, so that even all capabilities in it would open nothing.
 * Its one id is this process's own, which is why the process may write the maps itself. */
static int step_user_namespace(Birth *b) {
        char map[48];
        int r;

        if (unshare(CLONE_NEWUSER) < 0)
                return -errno;
        (void) snprintf(map, sizeof map, "%u %u 1\n", SANDBOX_UID, NAMESPACE_SANDBOX_ID + b->identity);
        r = file_write(AT_FDCWD, "/proc/1/setgroups", "deny");
        if (r == 0)
                r = file_write(AT_FDCWD, "/proc/1/gid_map", map);
        if (r == 0)
                r = file_write(AT_FDCWD, "/proc/1/uid_map", map);
        return r;
}

/* No capability is left, none can come back, and nobody in the sandbox can look into this process. */
static int step_rights(Birth *b) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[2] = { 0 };

        (void) b;
        for (unsigned long cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
                ;
        if (errno != EINVAL) /* it ends with the first number that is no capability */
                return -errno;
        if (prctl(PR_SET_SECUREBITS,
                    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                            SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
                    0, 0, 0) < 0)
                return -errno;
        if (syscall(SYS_capset, &header, none) < 0)
                return -errno;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0)
                return -errno;
        return check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

/* /proc is kept open for the reaper, opened with the payload's rights. */
static int step_proc_descriptor(Birth *b) {
        (void) b;
        int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fd != INIT_PROC_FD) {
                if (dup3(fd, INIT_PROC_FD, O_CLOEXEC) < 0)
                        return -errno;
                (void) close(fd);
        }
        return 0;
}

static int step_filter(Birth *b) {
        return filter_install_lock(b->calls);
}

static const struct {
        const char *name;
        int (*run)(Birth *b);
} steps[] = {
        { "descriptors", step_descriptors },
        { "cgroup namespace", step_cgroup_namespace },
        { "root file system", step_root },
        { "/proc", step_proc },
        { "/dev", step_devices },
        { "writable files", step_data },
        { "Landlock rules", step_rules },
        { "changing the root", step_pivot },
        { "Landlock", step_landlock },
        { "limits", step_limits },
        { "identity", step_identity },
        { "user namespace", step_user_namespace },
        { "dropping rights", step_rights },
        { "opening /proc", step_proc_descriptor },
        { "system call filter", step_filter },
};

void birth_run(Birth *b) {
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = steps[i].run(b);
                if (r < 0) {
                        InitEvent e = { .type = INIT_BROKEN, .error = -r };
                        (void) snprintf(e.text, sizeof e.text, "%s", steps[i].name);
                        (void) send(b->control, &e, sizeof e, MSG_NOSIGNAL);
                        _exit(EXIT_FAILURE);
                }
        }
        init_run(b->flags);
}
