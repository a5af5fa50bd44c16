/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fd.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int fd_close(int fd) {
        if (fd >= 0) {
                int saved = errno;
                (void) close(fd); /* nothing can be done about a failing close */
                errno = saved;
        }
        return -EBADF;
}

void fds_close(int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                fds[i] = fd_close(fds[i]);
}

int socket_close(int fd) {
        static const struct linger none = { 0 };

        if (fd >= 0) {
                int saved = errno;
                (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
                errno = saved;
        }
        return fd_close(fd);
}

void sockets_close(int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                fds[i] = socket_close(fds[i]);
}

int fd_set_nonblock(int fd, bool nonblock) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        flags = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int file_write(int dirfd, const char *path, const char *text) {
        _cleanup_fd_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        size_t length = strlen(text);

        if (fd < 0)
                return -errno;

        ssize_t n = write(fd, text, length);
        if (n < 0)
                return -errno;
        return (size_t) n == length ? 0 : -EIO;
}

int file_writef(int dirfd, const char *path, const char *format, ...) {
        char text[512];
        va_list ap;

        va_start(ap, format);
        int n = vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        if (n < 0 || (size_t) n >= sizeof text)
                return -E2BIG;
        return file_write(dirfd, path, text);
}

ssize_t file_read(int dirfd, const char *path, char *buf, size_t size) {
        _cleanup_fd_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        size_t used = 0;

        assert(size > 0);

        if (fd < 0)
                return -errno;

        for (;;) {
                ssize_t n = read(fd, buf + used, size - used);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        break;
                used += (size_t) n;
                if (used == size)
                        return -EFBIG;
        }
        if (used > 0 && buf[used - 1] == '\n')
                used--;
        buf[used] = '\0';
        return (ssize_t) used;
}

int message_send(int sock, const struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds) {
        union {
                char buf[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct msghdr m = {
                .msg_iov = (struct iovec *) iov,
                .msg_iovlen = n_iov,
        };

        assert(n_fds <= MESSAGE_FDS_MAX);

        if (n_fds > 0) {
                memset(&control, 0, sizeof control);
                m.msg_control = control.buf;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                struct cmsghdr *h = CMSG_FIRSTHDR(&m);
                h->cmsg_level = SOL_SOCKET;
                h->cmsg_type = SCM_RIGHTS;
                h->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(h), fds, sizeof(int) * n_fds);
        }

        for (;;) {
                if (sendmsg(sock, &m, MSG_NOSIGNAL) >= 0)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
}

ssize_t message_recv(int sock, void *buf, size_t size, int *ret_fds, size_t *ret_n_fds, int flags) {
        union {
                char buf[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct iovec iov = { .iov_base = buf, .iov_len = size };
        struct msghdr m = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.buf,
                .msg_controllen = sizeof control.buf,
        };
        size_t n_fds = 0;
        ssize_t n;

        do
                n = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
                if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t k = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < k; i++) {
                        int fd;
                        memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
                        if (n_fds < MESSAGE_FDS_MAX)
                                ret_fds[n_fds++] = fd;
                        else
                                (void) fd_close(fd);
                }
        }

        if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
                fds_close(ret_fds, n_fds);
                return -EBADMSG;
        }
        if (n == 0) {
                /* An empty message looks like the end: its descriptors must not be lost with it. */
                fds_close(ret_fds, n_fds);
                n_fds = 0;
        }
        *ret_n_fds = n_fds;
        return n;
}
