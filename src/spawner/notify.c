/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/notify.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

static int through = -EBADF;

void notify_through(int fd) {
        through = fd;
}

int notify_send_fd(const char *state, int fd) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (!path || (path[0] != '/' && path[0] != '@'))
                return 0;

        size_t length = strlen(path);
        if (length >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length);
        if (path[0] == '@')
                address.sun_path[0] = '\0';

        _cleanup_fd_ int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (sock < 0)
                return -errno;
        if (connect(sock, (struct sockaddr *) &address, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length)) <
                0)
                return -errno;

        struct iovec iov = { .iov_base = (char *) state, .iov_len = strlen(state) };
        return message_send(sock, &iov, 1, &fd, fd >= 0 ? 1 : 0);
}

int notify_send(const char *state) {
        if (through >= 0) {
                struct iovec iov = { .iov_base = (char *) state, .iov_len = strlen(state) };
                return message_send(through, &iov, 1, NULL, 0);
        }
        return notify_send_fd(state, -EBADF);
}

int notify_barrier(void) {
        int p[2];

        if (!getenv("NOTIFY_SOCKET"))
                return 0;
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;

        int r = notify_send_fd("BARRIER=1", p[1]);
        p[1] = fd_close(p[1]);
        if (r == 0) {
                struct pollfd wait = { .fd = p[0], .events = 0 };
                int n = poll(&wait, 1, 5000);
                r = n < 0 ? -errno : n == 0 ? -ETIMEDOUT : 0;
        }
        fds_close(p, 2);
        return r;
}

unsigned notify_n_fds(void) {
        const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");

        if (!pid || !n || strtol(pid, NULL, 10) != (long) getpid())
                return 0;
        long count = strtol(n, NULL, 10);
        return count > 0 && count < 65536 ? (unsigned) count : 0;
}

const char *notify_fd_name(unsigned index, char *buf, size_t size) {
        const char *names = getenv("LISTEN_FDNAMES");

        for (unsigned i = 0; names && i < index; i++) {
                names = strchr(names, ':');
                if (names)
                        names++;
        }
        if (!names)
                return NULL;
        size_t length = strcspn(names, ":");
        if (length >= size)
                return NULL;
        memcpy(buf, names, length);
        buf[length] = '\0';
        return buf;
}
