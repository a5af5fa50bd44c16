/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/sweep.h"

#include <dirent.h>
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

unsigned sweep_signal(uint64_t tag, int signal) {
        _Alignas(struct linux_dirent64) char buf[4096];
        unsigned found = 0;
        long n;

        (void) lseek(INIT_PROC_FD, 0, SEEK_SET);
        while ((n = syscall(SYS_getdents64, INIT_PROC_FD, buf, sizeof buf)) > 0)
                for (long at = 0; at < n;) {
                        const struct linux_dirent64 *entry = (const struct linux_dirent64 *) (void *) (buf + at);
                        pid_t pid = name_to_pid(entry->d_name);
                        struct rlimit limit;

                        at += entry->d_reclen;
                        if (pid <= 1 || prlimit(pid, RLIMIT_RTTIME, NULL, &limit) < 0 || limit.rlim_max != tag)
                                continue;
                        if (kill(pid, signal) == 0)
                                found++;
                }
        return found;
}
