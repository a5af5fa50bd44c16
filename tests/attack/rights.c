/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attack.h"

int attack_caps_zero(char part) {
        static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
        const char *path = "/proc/self/status";

        (void) part;
        for (size_t i = 0; i < N_OF(sets); i++)
                if (status_number(path, sets[i], 16) != 0)
                        hole("%s is %lx", sets[i], status_number(path, sets[i], 16));
        if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
                hole("no_new_privs is not set");
        if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
                hole("there is no filter");
        int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
        if (!(bits & SECBIT_NOROOT) || !(bits & SECBIT_NOROOT_LOCKED) || !(bits & SECBIT_KEEP_CAPS_LOCKED) ||
                !(bits & SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED))
                hole("securebits are %x", bits);
        if (getgroups(0, NULL) != 0)
                hole("there are supplementary groups");
        if (getuid() != 1000 || geteuid() != 1000 || getgid() != 1000)
                hole("the ids are %u:%u", getuid(), getgid());
        return verdict("all sets empty, securebits %x", bits);
}

int attack_regain_rights(char part) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct all[2] = { { ~0U, ~0U, ~0U }, { ~0U, ~0U, ~0U } };
        static const uid_t ids[] = { 0, 1, 999, 1001, 65533, 65534, 65536, 100000 };

        (void) part;
        for (size_t i = 0; i < N_OF(ids); i++) {
                if (setresuid(ids[i], ids[i], ids[i]) == 0 || setuid(ids[i]) == 0 || setreuid(ids[i], ids[i]) == 0)
                        hole("becoming uid %u works", ids[i]);
                if (setresgid(ids[i], ids[i], ids[i]) == 0 || setgid(ids[i]) == 0)
                        hole("becoming gid %u works", ids[i]);
                (void) setfsuid(ids[i]);
                if (setfsuid((uid_t) -1) == (int) ids[i])
                        hole("the file system uid can be set to %u", ids[i]);
        }
        if (setgroups(1, &(gid_t){ 0 }) == 0 || setgroups(0, NULL) == 0)
                hole("groups can be set");
        if (syscall(SYS_capset, &header, all) == 0)
                hole("capabilities can be raised");
        for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
                if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0)
                        hole("ambient capability %d can be raised", cap);
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0)
                hole("capabilities can be kept over a change of ids");
        if (prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == 0)
                hole("securebits can be cleared");
        if (prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0)
                hole("no_new_privs can be cleared");
        if (prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, 0, 0, 0) == 0)
                hole("the program of a process can be renamed");
        return verdict("%zu ids, %d capabilities", N_OF(ids), CAP_LAST_CAP + 1);
}

int attack_inherited_state(char part) {
        const char *path = "/proc/self/status";
        struct itimerval timer;
        char text[64];

        (void) part;
        if (status_number(path, "SigIgn", 16) != 0)
                hole("ignored signals: %lx", status_number(path, "SigIgn", 16));
        if (status_number(path, "SigBlk", 16) != 0)
                hole("blocked signals: %lx", status_number(path, "SigBlk", 16));
        if (status_number(path, "SigPnd", 16) != 0 || status_number(path, "ShdPnd", 16) != 0)
                hole("there are pending signals");
        mode_t mask = umask(0);
        if (mask != 022)
                hole("umask is %o", mask);
        if (sched_getscheduler(0) != SCHED_OTHER)
                hole("the scheduler is %d", sched_getscheduler(0));
        if (getpriority(PRIO_PROCESS, 0) < 0)
                hole("the priority is %d", getpriority(PRIO_PROCESS, 0));
        if (read_file("/proc/self/oom_score_adj", text, sizeof text) > 0 && atoi(text) < 500)
                hole("oom_score_adj is %d", atoi(text));
        if (getsid(0) != getpid() || getpgrp() != getpid())
                hole("session and process group are those of another");
        for (int i = 0; i < 3; i++)
                if (getitimer(i, &timer) == 0 && (timer.it_value.tv_sec || timer.it_value.tv_usec))
                        hole("timer %d runs", i);
        if (personality(0xffffffff) != 0)
                hole("the personality is %x", personality(0xffffffff));
        int signal_of_parent = 0, reaper = 0;
        if (prctl(PR_GET_PDEATHSIG, &signal_of_parent, 0, 0, 0) == 0 && signal_of_parent != 0)
                hole("signal %d comes with the parent's end", signal_of_parent);
        if (prctl(PR_GET_CHILD_SUBREAPER, &reaper, 0, 0, 0) == 0 && reaper)
                hole("it reaps for others");
        if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)
                hole("dumpable is %d", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
        int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
        if (tty >= 0)
                hole("there is a controlling terminal");
        if (!getcwd(text, sizeof text) || strcmp(text, "/home/sandboxuser") != 0)
                hole("the working folder is %.40s", text);
        return verdict("signals, umask, priority, score, session, timers");
}

int attack_rlimits(char part) {
        static const struct {
                int resource;
                const char *name;
                rlim_t most;
        } wanted[] = {
                { RLIMIT_CORE, "core", 1 },
                { RLIMIT_NOFILE, "open files", 65536 },
                { RLIMIT_NPROC, "processes", 65536 },
                { RLIMIT_SIGPENDING, "pending signals", 65536 },
                { RLIMIT_MSGQUEUE, "message queues", 819200 },
                { RLIMIT_MEMLOCK, "locked memory", 8 << 20 },
                { RLIMIT_FSIZE, "file size", (rlim_t) 1 << 40 },
                { RLIMIT_RTPRIO, "real time", 0 },
                { RLIMIT_NICE, "nice", 0 },
        };

        (void) part;
        for (size_t i = 0; i < N_OF(wanted); i++) {
                struct rlimit now, more;
                if (getrlimit(wanted[i].resource, &now) < 0)
                        continue;
                if (now.rlim_max > wanted[i].most)
                        hole("the hard limit of %s is %llu", wanted[i].name, (unsigned long long) now.rlim_max);
                more = (struct rlimit){ now.rlim_cur, now.rlim_max + 1 };
                (void) setrlimit(wanted[i].resource, &more);
                if (getrlimit(wanted[i].resource, &more) == 0 && more.rlim_max > now.rlim_max)
                        hole("the hard limit of %s can be raised", wanted[i].name);
        }
        return verdict("%zu hard limits", N_OF(wanted));
}

static int crash(void *argument) {
        struct rlimit limit = *(struct rlimit *) argument;

        (void) chdir("/tmp");
        (void) setrlimit(RLIMIT_CORE, &limit);
        abort();
}

/* Crashes with every limit it can have. A file is not the only danger: a handler behind a pipe runs on the host, as
 * root, whatever the limit is, but for the one value that the kernel reserves. */
int attack_core_dump(char part) {
        static struct rlimit limits[] = { { 0, 0 }, { 1, 1 }, { RLIM_INFINITY, RLIM_INFINITY }, { 1 << 20, 1 << 20 } };
        struct rlimit now;

        (void) part;
        for (size_t i = 0; i < N_OF(limits); i++) {
                int status;
                pid_t pid = fork();
                if (pid == 0)
                        _exit(crash(&limits[i]));
                if (pid < 0 || waitpid(pid, &status, 0) < 0)
                        return broken("cannot fork");
                if (!WIFSIGNALED(status))
                        hole("the child did not crash");
                else if (WCOREDUMP(status))
                        hole("a core was dumped with limit %zu", i);
        }
        (void) setrlimit(RLIMIT_CORE, &limits[0]);
        (void) syscall(SYS_prlimit64, getpid(), RLIMIT_CORE, &limits[0], NULL);
        if (getrlimit(RLIMIT_CORE, &now) < 0 || now.rlim_cur != 1 || now.rlim_max != 1)
                hole("the limit can be made %llu: a core_pattern with a pipe would run its program on the host",
                        (unsigned long long) now.rlim_cur);
        for (int i = 0; i < 2; i++)
                if (access(i ? "/tmp/core" : "core", F_OK) == 0)
                        hole("there is a file core");
        return verdict("four limits, none dumps, the limit stays 1");
}

static const struct {
        const char *name;
        unsigned long flag;
} kinds[] = {
        { "user", CLONE_NEWUSER },
        { "mnt", CLONE_NEWNS },
        { "pid", CLONE_NEWPID },
        { "net", CLONE_NEWNET },
        { "ipc", CLONE_NEWIPC },
        { "uts", CLONE_NEWUTS },
        { "cgroup", CLONE_NEWCGROUP },
        { "time", CLONE_NEWTIME },
};

static bool is_policy(int error) {
        return error == EPERM || error == ENOSYS || error == EACCES;
}

int attack_ns_create(char part) {
        (void) part;
        for (size_t i = 0; i < N_OF(kinds); i++) {
                int e = TRY(unshare((int) kinds[i].flag));
                if (!is_policy(e))
                        hole("unshare() of %s: %s", kinds[i].name, e ? strerror(e) : "done");
                e = TRY(unshare((int) (kinds[i].flag | CLONE_NEWUSER)));
                if (!is_policy(e))
                        hole("unshare() of user and %s: %s", kinds[i].name, e ? strerror(e) : "done");
                if (kinds[i].flag != CLONE_NEWTIME) { /* lies in clone()'s bits of the signal */
                        long pid = syscall(SYS_clone, kinds[i].flag | SIGCHLD, NULL, NULL, NULL, NULL);
                        if (pid == 0)
                                _exit(0);
                        if (pid > 0 || !is_policy(errno))
                                hole("clone() into a new %s namespace: %s", kinds[i].name,
                                        pid > 0 ? "done" : strerror(errno));
                }
                for (int own = 0; own < 2; own++) {
                        char path[64];
                        (void) snprintf(path, sizeof path, "/proc/%s/ns/%s", own ? "self" : "1", kinds[i].name);
                        int fd = open(path, O_RDONLY | O_CLOEXEC);
                        if (fd >= 0 && !own)
                                hole("%s can be opened", path);
                        e = TRY(syscall(SYS_setns, fd >= 0 ? fd : 0, 0));
                        if (!is_policy(e))
                                hole("setns() to %s: %s", path, e ? strerror(e) : "done");
                        if (fd >= 0)
                                (void) close(fd);
                }
        }
        if (TRY(unshare(CLONE_FS | CLONE_FILES)) != 0)
                hole("unshare() of files, which is harmless, does not work");
        return verdict("%zu kinds, three ways", N_OF(kinds));
}

#define NS_GET_USERNS_ _IO(0xb7, 1)
#define NS_GET_PARENT_ _IO(0xb7, 2)
#define NS_GET_OWNER_UID_ _IO(0xb7, 4)

/* Asks namespace descriptors for those above them. */
int attack_namespace_files(char part) {
        uid_t owner;
        char path[64];

        (void) part;
        for (size_t i = 0; i < N_OF(kinds); i++) {
                (void) snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i].name);
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                if (ioctl(fd, NS_GET_USERNS_) >= 0)
                        hole("the user namespace that owns %s can be opened", kinds[i].name);
                if (ioctl(fd, NS_GET_PARENT_) >= 0)
                        hole("the parent of the %s namespace can be opened", kinds[i].name);
                (void) close(fd);
        }
        int fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, NS_GET_OWNER_UID_, &owner) == 0 && owner != getuid())
                hole("the user namespace belongs to uid %u", owner);
        int pidfd = (int) syscall(SYS_pidfd_open, 1, 0);
        for (unsigned i = 1; pidfd >= 0 && i <= 10; i++)
                if (ioctl(pidfd, _IO(0xff, i), 0) >= 0)
                        hole("a namespace of process 1 can be opened through its pidfd");
        fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, "monotonic 100 0\n", 16) > 0)
                hole("the time namespace can be changed");
        return verdict("%zu kinds: no owner, no parent", N_OF(kinds));
}

static char first_setuid[256];
static unsigned n_files;

static int look_at(const char *path, const struct stat *st, int type, struct FTW *w) {
        char value[64];

        (void) w;
        if (type == FTW_D && strcmp(path, "/proc") == 0)
                return FTW_SKIP_SUBTREE;
        if (type != FTW_F)
                return FTW_CONTINUE;
        n_files++;
        if (!first_setuid[0] && ((st->st_mode & (S_ISUID | S_ISGID)) ||
                                        lgetxattr(path, "security.capability", value, sizeof value) > 0))
                (void) snprintf(first_setuid, sizeof first_setuid, "%s", path);
        return FTW_CONTINUE;
}

static int run_setuid(void *argument) {
        (void) execl(argument, argument, "caps_zero", NULL);
        return 3;
}

static int copy_self(const char *path, mode_t mode) {
        int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
        ssize_t n;

        if (from < 0 || to < 0)
                return -1;
        while ((n = sendfile(to, from, NULL, 1 << 20)) > 0)
                ;
        int r = n < 0 ? -1 : fchmod(to, mode);
        (void) close(to);
        (void) close(from);
        return r;
}

int attack_setuid_files(char part) {
        static char path[] = "/tmp/attack-setuid";
        struct stat st;

        (void) part;
        (void) nftw("/", look_at, 32, FTW_PHYS | FTW_ACTIONRETVAL);
        if (first_setuid[0])
                hole("%s gives rights", first_setuid);
        if (copy_self(path, 06755) == 0 || stat(path, &st) == 0) {
                int r = in_child(run_setuid, path);
                if (r != 0)
                        hole("a setuid program of its own ends with %d", r);
        }
        return verdict("%u files, none gives rights", n_files);
}

static int run_fd(void *argument) {
        char *argv[] = { (char *) "attack", (char *) "caps_zero", NULL }, *envp[] = { NULL };

        (void) syscall(SYS_execveat, *(int *) argument, "", argv, envp, AT_EMPTY_PATH);
        return 3;
}

/* Runs a program that has no name, and looks whether it is as confined as its parent. */
int attack_memfd_exec(char part) {
        int fd = (int) syscall(SYS_memfd_create, "attack", 1U /* MFD_CLOEXEC */), from;
        ssize_t n;

        (void) part;
        from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || from < 0)
                return skipped("no memfd");
        while ((n = sendfile(fd, from, NULL, 1 << 20)) > 0)
                ;
        int r = in_child(run_fd, &fd);
        if (r != 0)
                hole("a program without a name ends with %d", r);
        return verdict("as confined as any other");
}

int attack_scheduler(char part) {
        struct sched_param high = { .sched_priority = 1 };
        char text[32];

        (void) part;
        if (nice(-1) != -1 || setpriority(PRIO_PROCESS, 0, -1) == 0 || setpriority(PRIO_PROCESS, 0, -20) == 0)
                hole("the priority can be raised");
        if (sched_setscheduler(0, SCHED_FIFO, &high) == 0 || sched_setscheduler(0, SCHED_RR, &high) == 0)
                hole("real-time scheduling can be had");
        struct {
                uint32_t size, policy;
                uint64_t flags;
                int32_t nice;
                uint32_t priority;
                uint64_t runtime, deadline, period;
        } deadline = {
                .size = sizeof deadline, .policy = 6, .runtime = 1000000, .deadline = 10000000, .period = 10000000
        };
        if (syscall(SYS_sched_setattr, 0, &deadline, 0) == 0)
                hole("deadline scheduling can be had");
        if (syscall(SYS_ioprio_set, 1, 0, 1 << 13) == 0)
                hole("real-time I/O can be had");
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        for (int score = -1000; fd >= 0 && score < 0; score += 111) {
                int n = snprintf(text, sizeof text, "%d", score);
                if (write(fd, text, (size_t) n) == n)
                        hole("oom_score_adj can be made %d", score);
        }
        fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, "-20", 3) == 3)
                hole("the group's share of CPU can be raised");
        if (open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC) >= 0)
                hole("the latency of CPUs can be set");
        return verdict("nice, real time, deadline, I/O, oom_score_adj");
}

/* Looks for processes that are not its own. */
int attack_foreign_pids(char part) {
        if (part == 'a') {
                ready();
                wait_for_other();
                return held("it lived on");
        }
        for (pid_t pid = 2; pid < 70000; pid++) {
                if (pid == getpid())
                        continue;
                if (kill(pid, 0) == 0 || errno == EPERM)
                        hole("there is a process %d", pid);
                if ((pid & 15) == 0 && (getpgid(pid) >= 0 || getsid(pid) >= 0 || sched_getscheduler(pid) >= 0))
                        hole("something is known of process %d", pid);
        }
        return verdict("70,000 pids, none is foreign");
}

/* A process has at most 16 layers of Landlock. One is there already if one less can be added; and with a layer nobody
 * mounts, whatever the filter says. */
#define LANDLOCK_LAYERS_MAX 16
#define LANDLOCK_MAKE_BLOCK (UINT64_C(1) << 11)

static int add_layers(void *argument) {
        struct {
                uint64_t handled_fs;
        } attr = { .handled_fs = LANDLOCK_MAKE_BLOCK };
        int n = 0;

        (void) argument;
        int rules = (int) syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
        if (rules < 0)
                return 100;
        while (n <= LANDLOCK_LAYERS_MAX && syscall(SYS_landlock_restrict_self, rules, 0) == 0)
                n++;
        return errno == E2BIG ? n : 101;
}

/* Made in the folders that the rules are about; nothing else would be in the way of one of them. */
static void write_as_before(const char *folder) {
        char a[64], b[64], file[96], moved[96];

        (void) snprintf(a, sizeof a, "%s/wall-a", folder);
        (void) snprintf(b, sizeof b, "%s/wall-b", folder);
        (void) snprintf(file, sizeof file, "%s/f", a);
        (void) snprintf(moved, sizeof moved, "%s/f", b);
        int fd = mkdir(a, 0755) == 0 && mkdir(b, 0755) == 0 ? open(file, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600) : -1;
        if (fd < 0 || write(fd, "x", 1) != 1 || rename(file, moved) < 0 || truncate(moved, 0) < 0 || link(moved, file) < 0)
                hole("%s is not as writable as it was: %s", folder, strerror(errno));
        (void) close(fd);
        (void) unlink(file);
        (void) unlink(moved);
        (void) rmdir(a);
        (void) rmdir(b);
}

int attack_second_wall(char part) {
        long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);

        (void) part;
        write_as_before("/tmp");
        write_as_before("/dev/shm");
        int null = open("/dev/null", O_RDWR | O_CLOEXEC), tty = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        long queue = syscall(SYS_mq_open, "second_wall", O_CREAT | O_RDWR, 0600, NULL);
        if (null < 0 || tty < 0 || (queue < 0 && errno != ENOSYS))
                hole("/dev/null, a terminal or a message queue cannot be opened any more");
        (void) syscall(SYS_mq_unlink, "second_wall");
        if (version < 2)
                return skipped("this kernel has no Landlock that serves");
        int layers = in_child(add_layers, NULL);
        if (layers != LANDLOCK_LAYERS_MAX - 1)
                hole("%d layers of rules can be added: there is none yet", layers);
        return verdict("Landlock %ld, a layer of it; %d more can be added", version, layers);
}
