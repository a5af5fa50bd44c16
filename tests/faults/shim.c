/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/macro.h"

/*
 * Preloaded into a worker: library calls that fail when a test wants it. The test writes into the mapped file named by
 * FAULTS: which call, with which errno, and that it is each @every-th, or only the first of these. Only the process
 * @pid is meant. The call "memory" is any that allocates.
 */

typedef struct Faults {
        uint32_t pid, error, every, n_calls, n_hits, once;
        char call[40];
} Faults;

static volatile Faults *faults;
static unsigned spared; /* inside of what does not survive it */

static __attribute__((constructor)) void find_faults(void) {
        const char *path = getenv("FAULTS");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0)
                return;
        void *p = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED)
                faults = p;
        (void) close(fd);
}

static bool fails(const char *call) {
        volatile Faults *f = faults;

        if (!f || f->every == 0 || spared > 0 || strcmp((const char *) f->call, call) != 0 ||
                f->pid != (uint32_t) getpid())
                return false;
        f->n_calls++;
        if (f->n_calls % f->every != 0 || (f->once && f->n_hits > 0))
                return false;
        f->n_hits++;
        errno = (int) f->error;
        return true;
}

/* clang-format off */
#define WRAP(type, failure, name, parameters, arguments)                        \
        type name parameters;                                                   \
        type name parameters {                                                  \
                static type (*next) parameters;                                 \
                if (fails(#name))                                               \
                        return failure;                                         \
                if (!next)                                                      \
                        *(void **) &next = dlsym(RTLD_NEXT, #name);             \
                return next arguments;                                          \
        }

WRAP(int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *l, int flags), (fd, a, l, flags))
WRAP(int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, -1, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))
WRAP(int, -1, pipe2, (int fds[2], int flags), (fds, flags))
WRAP(int, -1, memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP(int, -1, ftruncate64, (int fd, off64_t length), (fd, length))
WRAP(int, -1, fallocate64, (int fd, int mode, off64_t offset, off64_t length), (fd, mode, offset, length))
WRAP(int, -1, timerfd_settime, (int fd, int flags, const struct itimerspec *v, struct itimerspec *o), (fd, flags, v, o))
WRAP(int, -1, setsockopt, (int fd, int level, int name, const void *v, socklen_t l), (fd, level, name, v, l))
WRAP(int, -1, getsockopt, (int fd, int level, int name, void *v, socklen_t *l), (fd, level, name, v, l))
WRAP(int, -1, fstat64, (int fd, struct stat64 *st), (fd, st))
WRAP(int, -1, statx, (int fd, const char *path, int flags, unsigned mask, struct statx *st), (fd, path, flags, mask, st))
WRAP(int, -1, poll, (struct pollfd *p, nfds_t n, int timeout), (p, n, timeout))
WRAP(int, -1, shutdown, (int fd, int how), (fd, how))
WRAP(pid_t, -1, fork, (void), ())
WRAP(int, EAGAIN, posix_spawn, (pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]),
        (pid, path, actions, attributes, argv, envp))
WRAP(ssize_t, -1, read, (int fd, void *buf, size_t size), (fd, buf, size))
WRAP(ssize_t, -1, write, (int fd, const void *buf, size_t size), (fd, buf, size))
WRAP(ssize_t, -1, pread64, (int fd, void *buf, size_t size, off64_t at), (fd, buf, size, at))
WRAP(ssize_t, -1, pwrite64, (int fd, const void *buf, size_t size, off64_t at), (fd, buf, size, at))
WRAP(ssize_t, -1, recv, (int fd, void *buf, size_t size, int flags), (fd, buf, size, flags))
WRAP(ssize_t, -1, send, (int fd, const void *buf, size_t size, int flags), (fd, buf, size, flags))
WRAP(ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, -1, splice, (int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags),
        (in, in_at, out, out_at, size, flags))
WRAP(void *, MAP_FAILED, mmap64, (void *at, size_t size, int p, int flags, int fd, off64_t offset),
        (at, size, p, flags, fd, offset))
/* clang-format on */

/* A stream that says EAGAIN is full, and who waits for the edge of its having room gets one. When that was not so there is
 * none, and the library for HTTP would wait for ever, as it never has to. */
static bool is_never_full(int fd) {
        int type = 0;
        socklen_t length = sizeof type;

        return faults && faults->error == EAGAIN && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
               type == SOCK_STREAM;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
        static ssize_t (*next)(int, const struct msghdr *, int);

        if (!is_never_full(fd) && fails("sendmsg"))
                return -1;
        if (!next)
                *(void **) &next = dlsym(RTLD_NEXT, "sendmsg");
        return next(fd, m, flags);
}

/* Only that something is added can fail in a kernel. */
int epoll_ctl(int e, int op, int fd, struct epoll_event *event) {
        static int (*next)(int, int, int, struct epoll_event *);

        if (op == EPOLL_CTL_ADD && fails("epoll_ctl"))
                return -1;
        if (!next)
                *(void **) &next = dlsym(RTLD_NEXT, "epoll_ctl");
        return next(e, op, fd, event);
}

int openat64(int dir, const char *path, int flags, ...) {
        static int (*next)(int, const char *, int, ...);
        va_list ap;

        va_start(ap, flags);
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
        va_end(ap);
        if (fails("openat64"))
                return -1;
        if (!next)
                *(void **) &next = dlsym(RTLD_NEXT, "openat64");
        return next(dir, path, flags, mode);
}

int fcntl64(int fd, int command, ...);
int fcntl64(int fd, int command, ...) {
        static int (*next)(int, int, ...);
        va_list ap;

        va_start(ap, command);
        void *argument = va_arg(ap, void *);
        va_end(ap);
        if (fails("fcntl64"))
                return -1;
        if (!next)
                *(void **) &next = dlsym(RTLD_NEXT, "fcntl64");
        return next(fd, command, argument);
}

/* The parser of jansson does not look whether it could keep a character, and reads beyond what it has kept. */
/* clang-format off */
#define SPARE(name, parameters, arguments)                             \
        void *name parameters;                                          \
        void *name parameters {                                         \
                static void *(*next) parameters;                        \
                if (!next)                                              \
                        *(void **) &next = dlsym(RTLD_NEXT, #name);     \
                spared++;                                               \
                void *result = next arguments;                          \
                spared--;                                               \
                return result;                                          \
        }

SPARE(json_loadb, (const char *text, size_t length, size_t flags, void *error), (text, length, flags, error))
SPARE(json_loads, (const char *text, size_t flags, void *error), (text, flags, error))
/* clang-format on */

/* dlsym() needs memory itself: these have names of their own. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size) {
        return fails("malloc") || fails("memory") ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
        return fails("calloc") || fails("memory") ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
        return fails("realloc") || fails("memory") ? NULL : __libc_realloc(p, size);
}
