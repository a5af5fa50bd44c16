/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/streams.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A descriptor takes its rights along into the sandbox, so that only those pass which lead to nothing but their own
 * bytes:
 *
 *   pipes, named ones too
 *   regular files: what the caller may read or write of this one file, the command may too
 *   stream sockets of AF_UNIX that are connected: one end of a conversation. One that is not could be connected to
 *   whatever has an abstract name in the caller's network namespace, one that listens could take the clients of a
 *   service, and a TCP socket can be connected anew, to anywhere
 *   pseudo-terminals, on the side of programs. The other side types for whoever sits there; a console has more controls
 *   than a terminal
 *   /dev/null
 *
 * A folder is a way to all that lies below it; O_PATH is no stream; the rest (devices, epoll, pidfd ...) are controls.
 */

#define MEMORY_MAJOR 1U
#define NULL_MINOR 3U
#define PTS_MAJOR_FIRST 136U
#define PTS_MAJOR_LAST 143U

static const char *const names[] = { "stdin", "stdout", "stderr" };

static int refuse(unsigned stream, const char *what, Error *error) {
        return error_set_field(error, ERROR_INVALID_VALUE, names[stream], NULL,
                "The descriptor for %s %s. It has to be a pipe, a regular file, a connected UNIX stream socket, a "
                "pseudo-terminal or /dev/null.",
                names[stream], what);
}

static bool socket_has(int fd, int option, int wanted) {
        int value;
        socklen_t length = sizeof value;

        return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 && value == wanted;
}

static bool socket_is_connected(int fd) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;

        return getpeername(fd, (struct sockaddr *) &peer, &length) == 0;
}

static bool device_is_stream(unsigned device_major, unsigned device_minor) {
        return (device_major >= PTS_MAJOR_FIRST && device_major <= PTS_MAJOR_LAST) ||
               (device_major == MEMORY_MAJOR && device_minor == NULL_MINOR);
}

/* Namespaces, and on newer kernels pidfds, are regular files too, of file systems whose names are no paths. */
static bool file_has_path(int fd) {
        char link[64], target[1];

        (void) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        return readlink(link, target, sizeof target) == 1 && target[0] == '/';
}

static int check_kind(int fd, unsigned stream, const struct statx *sx, Error *error) {
        if (S_ISFIFO(sx->stx_mode))
                return 0;
        if (S_ISREG(sx->stx_mode))
                return file_has_path(fd) ? 0 : refuse(stream, "is no stream", error);
        if (S_ISCHR(sx->stx_mode))
                return device_is_stream(sx->stx_rdev_major, sx->stx_rdev_minor) ? 0
                                                                                : refuse(stream, "is a device", error);
        if (S_ISDIR(sx->stx_mode))
                return refuse(stream, "is a folder", error);
        if (!S_ISSOCK(sx->stx_mode))
                return refuse(stream, "is no stream", error);
        if (!socket_has(fd, SO_DOMAIN, AF_UNIX) || !socket_has(fd, SO_TYPE, SOCK_STREAM))
                return refuse(stream, "is a socket of another kind", error);
        if (!socket_has(fd, SO_ACCEPTCONN, 0) || !socket_is_connected(fd))
                return refuse(stream, "is a socket that is not connected", error);
        return 0;
}

int bus_stream_check(int fd, unsigned stream, Error *error) {
        struct statx sx;

        assert(stream < ELEMENTSOF(names));

        int flags = fcntl(fd, F_GETFL);
        /* a file system that does not answer must not hold us up: what the kernel knows is enough */
        if (flags < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &sx) < 0)
                return refuse(stream, "cannot be looked at", error);
        if (flags & O_PATH)
                return refuse(stream, "was opened with O_PATH", error);
        int r = check_kind(fd, stream, &sx, error);
        if (r < 0)
                return r;
        if ((flags & O_ACCMODE) == (stream == 0 ? O_WRONLY : O_RDONLY))
                return refuse(stream, stream == 0 ? "is not open for reading" : "is not open for writing", error);
        return 0;
}
