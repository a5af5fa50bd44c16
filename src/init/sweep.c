/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/sweep.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/init.h"

/* The kernel's own record, getdents64(2): readdir(3) would allocate. */
struct linux_dirent64 {
        uint64_t d_ino;
        int64_t d_off;
        uint16_t d_reclen;
        uint8_t d_type;
        char d_name[];
};

static pid_t name_to_pid(const char *name) {
        pid_t pid = 0;

        for (; *name >= '0' && *name <= '9'; name++)
                pid = pid * 10 + (*name - '0');
        return *name == '\0' ? pid : 0;
}

#define MARK_BASE (UINT64_C(1) << 40)

int sweep_mark(pid_t pid, uint32_t number) {
        struct rlimit up = { MARK_BASE + number, MARK_BASE + number },
                      down = { MARK_BASE - number, MARK_BASE - number };

        if (prlimit(pid, RLIMIT_RTTIME, &up, NULL) < 0 || prlimit(pid, RLIMIT_LOCKS, &down, NULL) < 0)
                return -errno;
        return 0;
}

/* The number of the command that @pid is of, 0 when it is of none. Returns false when there is no such process. */
static bool read_mark(pid_t pid, uint32_t *ret) {
        struct rlimit up, down;

        if (prlimit(pid, RLIMIT_RTTIME, NULL, &up) < 0 || prlimit(pid, RLIMIT_LOCKS, NULL, &down) < 0)
                return false;
        uint64_t number = up.rlim_max - MARK_BASE;
        *ret = number <= UINT32_MAX && down.rlim_max == MARK_BASE - number ? (uint32_t) number : 0;
        return true;
}

static unsigned sweep(uint32_t number, int signal, bool (*is_running)(uint32_t)) {
        _Alignas(struct linux_dirent64) char buf[4096];
        unsigned found = 0;
        long n;

        (void) lseek(INIT_PROC_FD, 0, SEEK_SET);
        while ((n = syscall(SYS_getdents64, INIT_PROC_FD, buf, sizeof buf)) > 0)
                for (long at = 0; at < n;) {
                        const struct linux_dirent64 *entry = (const struct linux_dirent64 *) (void *) (buf + at);
                        pid_t pid = name_to_pid(entry->d_name);
                        uint32_t mark;

                        at += entry->d_reclen;
                        if (pid <= 1 || !read_mark(pid, &mark))
                                continue;
                        if (mark != number && !(is_running && !is_running(mark)))
                                continue;
                        if (kill(pid, signal) == 0)
                                found++;
                }
        return found;
}

unsigned sweep_signal(uint32_t number, int signal) {
        return sweep(number, signal, NULL);
}

unsigned sweep_kill(uint32_t number, bool (*is_running)(uint32_t)) {
        return sweep(number, SIGKILL, is_running);
}
