/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/socket.h>

#include "base/macro.h"

/* Descriptors: -EBADF means none, all are O_CLOEXEC from birth. */

/* Closes @fd if there is one; keeps errno; returns -EBADF for assignment. */
int fd_close(int fd);

static inline void fd_closep(int *fd) {
        (void) fd_close(*fd);
}
#define _cleanup_fd_ _cleanup_(fd_closep)

void fds_close(int *fds, size_t n);

/* fd_close() for a TCP socket that others have had: one that lingers, as they may have asked for, would block here. */
int socket_close(int fd);
void sockets_close(int *fds, size_t n);

/* Sets or clears O_NONBLOCK. Returns 0 or -errno. */
int fd_set_nonblock(int fd, bool nonblock);

/* Writes all of @text to the file at @path, below @dirfd, in one write() as kernel files want it.
 * Returns 0 or -errno. */
int file_write(int dirfd, const char *path, const char *text);
int file_writef(int dirfd, const char *path, const char *format, ...) _printf_(3, 4);

/* Reads at most @size - 1 bytes of a small file, ends them with NUL and drops one final newline.
 * Returns the length or -errno; -EFBIG when the file is longer. */
ssize_t file_read(int dirfd, const char *path, char *buf, size_t size);

/* Most descriptors one message carries in any protocol of ours. */
#define MESSAGE_FDS_MAX 8U

/* Sends one message over a SOCK_SEQPACKET socket with @n_fds descriptors (borrowed).
 * Returns 0 or -errno (-EAGAIN, -EPIPE, -EMSGSIZE ...). */
int message_send(int sock, const struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds);

/* Receives one message. @ret_fds: room for MESSAGE_FDS_MAX, the received ones are owned by the caller.
 * A message that was cut off, in data or in descriptors, is refused as a whole and its descriptors are
 * closed. Returns the length, 0 at the end of the stream, or -errno (-EBADMSG when it was cut off). */
ssize_t message_recv(int sock, void *buf, size_t size, int *ret_fds, size_t *ret_n_fds, int flags);
