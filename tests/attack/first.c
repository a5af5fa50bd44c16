/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

/* Process 1 has the payload's uid: what keeps the payload out is that it is not dumpable, and the filter. */

static void try_memory(pid_t pid, const char *who) {
        char path[64], byte, target[64];
        struct iovec here = { &byte, 1 }, there = { (void *) 0x400000, 1 };
        static const char *const files[] = { "mem", "maps", "environ", "auxv", "stack", "syscall", "pagemap", "smaps",
                "numa_maps", "personality", "io", "map_files", "fdinfo", "timers" };
        static const char *const links[] = { "exe", "cwd", "root", "fd/3", "fd/4" };

        for (size_t i = 0; i < N_OF(files); i++) {
                (void) snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
                if (has_content(path))
                        hole("%s of %s can be read", files[i], who);
        }
        for (size_t i = 0; i < N_OF(links); i++) {
                (void) snprintf(path, sizeof path, "/proc/%d/%s", pid, links[i]);
                if (readlink(path, target, sizeof target) >= 0)
                        hole("%s of %s can be read", links[i], who);
        }
        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
                (void) ptrace(PTRACE_DETACH, pid, NULL, NULL);
                hole("%s can be traced", who);
        }
        for (uintptr_t at = 0x400000; at < 0x800000; at += 0x100000) {
                there.iov_base = (void *) at;
                if (process_vm_readv(pid, &here, 1, &there, 1, 0) == 1 || errno == EFAULT)
                        hole("memory of %s can be read", who);
                if (process_vm_writev(pid, &here, 0, &there, 0, 0) == 0 && pid != getpid())
                        continue; /* nothing asked, nothing proved */
        }
}

/* Traces process 1, reads its memory and environment, steals its descriptors, writes its files. */
int attack_ptrace_init(char part) {
        static const char *const writable[] = { "mem", "oom_score_adj", "comm", "clear_refs", "coredump_filter",
                "sched", "setgroups", "uid_map", "loginuid", "autogroup", "timens_offsets", "oom_adj", "task/1/comm",
                "make-it-fail" };
        char path[64];

        (void) part;
        try_memory(1, "process 1");
        int pidfd = (int) syscall(SYS_pidfd_open, 1, 0);
        for (int fd = 0; pidfd >= 0 && fd < 16; fd++)
                if (syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0)
                        hole("descriptor %d of process 1 can be taken", fd);
        for (size_t i = 0; i < N_OF(writable); i++) {
                (void) snprintf(path, sizeof path, "/proc/1/%s", writable[i]);
                int fd = open(path, O_WRONLY | O_CLOEXEC);
                if (fd >= 0)
                        hole("%s can be opened for writing", path);
        }
        if (syscall(SYS_get_robust_list, 1, &(void *){ NULL }, &(size_t){ 0 }) == 0)
                hole("the robust list of process 1 can be read");
        if (syscall(SYS_kcmp, 1, getpid(), 0, 0, 0) >= 0)
                hole("kcmp() compares with process 1");
        return verdict("memory, descriptors, links and files of process 1");
}

/* Reads what process 1 is allowed: it has to be as little as the payload. */
int attack_init_confined(char part) {
        static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
        const char *path = "/proc/1/status";

        (void) part;
        for (size_t i = 0; i < N_OF(sets); i++)
                if (status_number(path, sets[i], 16) != 0)
                        hole("%s of process 1 is %lx", sets[i], status_number(path, sets[i], 16));
        if (status_number(path, "NoNewPrivs", 10) != 1)
                hole("process 1 may gain privileges");
        if (status_number(path, "Seccomp", 10) != 2)
                hole("process 1 has no filter");
        long filters = status_number(path, "Seccomp_filters", 10),
             own = status_number("/proc/self/status", "Seccomp_filters", 10);
        if (filters != own)
                hole("process 1 has %ld filters, the payload %ld", filters, own);
        if (status_number(path, "Uid", 10) != (long) getuid())
                hole("process 1 is uid %ld", status_number(path, "Uid", 10));
        if (status_number(path, "PPid", 10) != 0)
                hole("process 1 has a parent here");
        return verdict("no capability, no_new_privs, %ld filters", filters);
}

/* Sets limits, priority and affinity of process 1, to what they are: that it could is the hole. */
int attack_init_limits(char part) {
        struct rlimit limit;
        struct sched_param param = { 0 };
        cpu_set_t cpus;
        struct {
                uint32_t size, policy;
                uint64_t flags;
                int32_t nice;
                uint32_t priority;
                uint64_t runtime, deadline, period;
        } attr = { .size = sizeof attr };

        (void) part;
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (syscall(SYS_prlimit64, 1, i, NULL, &limit) == 0 && syscall(SYS_prlimit64, 1, i, &limit, NULL) == 0)
                        hole("limit %d of process 1 can be set", i);
        if (sched_getaffinity(1, sizeof cpus, &cpus) == 0 && sched_setaffinity(1, sizeof cpus, &cpus) == 0)
                hole("the affinity of process 1 can be set");
        if (sched_setscheduler(1, SCHED_OTHER, &param) == 0 || sched_setparam(1, &param) == 0)
                hole("the scheduler of process 1 can be set");
        if (syscall(SYS_sched_setattr, 1, &attr, 0) == 0)
                hole("the scheduling attributes of process 1 can be set");
        errno = 0;
        int nice_value = getpriority(PRIO_PROCESS, 1);
        if (setpriority(PRIO_PROCESS, 1, nice_value) == 0)
                hole("the priority of process 1 can be set");
        if (setpriority(PRIO_USER, 0, 0) == 0 || setpriority(PRIO_USER, getuid(), 0) == 0)
                hole("the priority of all processes of the user, process 1 too, can be set");
        if (syscall(SYS_ioprio_set, 1, 1, 0) == 0 || syscall(SYS_ioprio_set, 3, getuid(), 0) == 0)
                hole("the I/O priority of process 1 can be set");
        if (setpgid(1, 0) == 0)
                hole("the process group of process 1 can be set");
        if (syscall(SYS_prlimit64, (1L << 32) | 1, RLIMIT_NOFILE, NULL, &limit) == 0)
                hole("bits above the pid lead past the filter");
        return verdict("limits, affinity, priorities");
}

/* Sends process 1 every signal in every way. Whether the sandbox still works the runner sees too. */
int attack_init_signals(char part) {
        char text[4096];

        (void) part;
        int pidfd = (int) syscall(SYS_pidfd_open, 1, 0);
        for (int i = 1; i <= SIGRTMAX; i++) {
                siginfo_t info = { .si_signo = i, .si_code = SI_QUEUE };
                (void) kill(1, i);
                (void) syscall(SYS_tgkill, 1, 1, i);
                (void) syscall(SYS_rt_sigqueueinfo, 1, i, &info);
                if (pidfd >= 0)
                        (void) syscall(SYS_pidfd_send_signal, pidfd, i, NULL, 0);
        }
        for (int i = 0; i < 5000; i++) {
                siginfo_t info = { .si_signo = SIGRTMIN, .si_code = SI_QUEUE };
                if (syscall(SYS_rt_sigqueueinfo, 1, SIGRTMIN, &info) < 0)
                        break;
                if (i == 4999)
                        hole("5,000 signals can be queued to process 1");
        }
        sleep_ms(50);
        if (read_file("/proc/1/status", text, sizeof text) < 0)
                return broken("process 1 is gone");
        char *state = strstr(text, "State:");
        if (!state || (state[7] != 'S' && state[7] != 'R'))
                hole("process 1 is in state %c", state ? state[7] : '?');
        return verdict("%d signals, four ways, and a queue of them", SIGRTMAX);
}

/* Looks for the socket that process 1 is told by, in every place where one could be found. */
int attack_control_socket(char part) {
        static char text[65536];
        char path[64];

        (void) part;
        for (int fd = 0; fd < 64; fd++) {
                int type;
                socklen_t n = sizeof type;
                if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0)
                        hole("descriptor %d is a socket", fd);
                (void) snprintf(path, sizeof path, "/proc/1/fd/%d", fd);
                if (open(path, O_RDWR | O_CLOEXEC) >= 0)
                        hole("%s can be opened", path);
                (void) snprintf(path, sizeof path, "/proc/1/fdinfo/%d", fd);
                if (has_content(path))
                        hole("%s can be read", path);
        }
        if (read_file("/proc/net/unix", text, sizeof text) > 0 && strchr(text, '\n') && strchr(text, '\n')[1])
                hole("there are local sockets: %.80s", strchr(text, '\n') + 1);
        if (opendir("/proc/1/fd"))
                hole("the descriptors of process 1 are listed");
        return verdict("64 descriptors, no local socket");
}

static bool in_window(pid_t pid) {
        char path[64], text[64], first[64];

        (void) snprintf(path, sizeof path, "/proc/%d/comm", pid);
        return read_file(path, text, sizeof text) > 0 && read_file("/proc/1/comm", first, sizeof first) > 0 &&
               strcmp(text, first) == 0;
}

/* Part 'a' goes for each new process while it still shares the memory of process 1; 'b' are the commands that come and
 * go meanwhile. */
int attack_vfork_window(char part) {
        unsigned seen = 0, turns = 0;

        if (part == 'b')
                return held("a command");
        ready();
        for (uint64_t end = now_ms() + 20000; now_ms() < end;) {
                if ((++turns & 15) == 0 && access("/tmp/attack-stop", F_OK) == 0)
                        break;
                for (pid_t pid = getpid() + 1; pid < getpid() + 400; pid++) {
                        char path[64], target[64];
                        if (kill(pid, 0) < 0 || !in_window(pid))
                                continue;
                        seen++;
                        (void) snprintf(path, sizeof path, "/proc/%d/mem", pid);
                        int fd = open(path, O_RDWR | O_CLOEXEC);
                        if (fd >= 0) {
                                if (in_window(pid))
                                        hole("the memory of process 1 can be opened through its child");
                                (void) close(fd);
                        }
                        (void) snprintf(path, sizeof path, "/proc/%d/fd/3", pid);
                        fd = open(path, O_RDWR | O_CLOEXEC);
                        if (fd >= 0 || readlink(path, target, sizeof target) > 0)
                                hole("descriptors of process 1 show through its child");
                        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
                                bool early = in_window(pid);
                                (void) ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
                                (void) waitpid(pid, NULL, __WALL);
                                (void) ptrace(PTRACE_DETACH, pid, NULL, NULL);
                                if (early)
                                        hole("the child of process 1 can be traced before execve()");
                        }
                }
        }
        if (seen == 0)
                return skipped("the window was never open for long enough");
        return verdict("%u looks into the window", seen);
}
