/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/init.h"
#include "spec/wire.h"

int launch_program(int *ret_fd) {
        _cleanup_fd_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        _cleanup_fd_ int copy = memfd_create(INIT_PROCESS_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct stat st;

        if (self < 0 || copy < 0 || fstat(self, &st) < 0)
                return -errno;
        for (off_t left = st.st_size; left > 0;) {
                ssize_t n = sendfile(copy, self, NULL, (size_t) left);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                left -= n;
        }
        if (fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;
        *ret_fd = take_fd(copy);
        return 0;
}

/* The heap lies far from all else, and what libc puts there before main() would take a table of pages for each level in
 * every sandbox. Where the soft limit of data is 0 there is no heap, while mappings may have what the hard one allows:
 * libc takes that memory beside the program, since 2.36 also what it needs first. The zygote puts the limit back. */
static void forbid_heap(void) {
        struct rlimit data;

        if (__GLIBC_PREREQ(2, 36) && getrlimit(RLIMIT_DATA, &data) == 0)
                (void) setrlimit(RLIMIT_DATA, &(struct rlimit){ .rlim_max = data.rlim_max }); /* only memory is lost */
}

int launch_zygote(int program, int userns, const char *images, int *ret_sock, int *ret_pidfd) {
        ZygoteMessage setup = { .type = ZYGOTE_SETUP };
        struct iovec iov = { .iov_base = &setup, .iov_len = sizeof setup };
        int ends[2], pidfd;

        if (strlen(images) >= sizeof setup.text)
                return -ENAMETOOLONG;
        (void) snprintf(setup.text, sizeof setup.text, "%s", images);

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;

        pid_t pid = fork();
        if (pid < 0) {
                int r = -errno;
                fds_close(ends, 2);
                return r;
        }
        if (pid == 0) {
                /* For glibc: what it takes before main() is page after page beside the program then, and not 1 MiB
                 * below it, for which every other zygote would have a table of pages more in each sandbox. */
                char tunable[] = "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1";
                char *argv[] = { (char *) INIT_PROCESS_NAME, NULL }, *envp[] = { tunable, NULL };
                sigset_t none;

                forbid_heap();
                (void) sigemptyset(&none);
                (void) sigprocmask(SIG_SETMASK, &none, NULL);
                /* out of the way of the fixed number first; the copy made by dup2() is not close-on-exec */
                int high = fcntl(program, F_DUPFD_CLOEXEC, INIT_ZYGOTE_FD + 1);
                int end = fcntl(ends[1], F_DUPFD_CLOEXEC, INIT_ZYGOTE_FD + 1);
                if (high >= 0 && end >= 0 && dup2(end, INIT_ZYGOTE_FD) == INIT_ZYGOTE_FD)
                        (void) syscall(SYS_execveat, high, "", argv, envp, AT_EMPTY_PATH);
                _exit(127);
        }
        ends[1] = fd_close(ends[1]);

        pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        int r = pidfd < 0 ? -errno : message_send(ends[0], &iov, 1, &userns, 1);
        if (r < 0) {
                (void) kill(pid, SIGKILL);
                fd_close(pidfd);
                ends[0] = fd_close(ends[0]);
                return r;
        }
        *ret_sock = ends[0];
        *ret_pidfd = pidfd;
        return 0;
}
