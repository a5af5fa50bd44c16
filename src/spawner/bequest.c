/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/bequest.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "spawner/notify.h"

#define LEAVE_PATIENCE_USEC (30 * USEC_PER_SEC) /* for the service manager to start the next one */
#define PIECE_PATIENCE_SEC 10                   /* for what is being made to be done, before the first piece */
#define NUMBERS_MAX (1U << 20)

/* From the heir: an empty one asks for all. To it: descriptors with their numbers; the last one is of the state. */
typedef struct Piece {
        uint32_t n, last;
        int32_t numbers[MESSAGE_FDS_MAX];
} Piece;

int bequest_prepare(StateHead *h) {
        struct timeval patience = { .tv_sec = PIECE_PATIENCE_SEC };
        int ends[2];

        if (h->heir > STDERR_FILENO || !getenv(BEQUEST_VARIABLE))
                return 0;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        /* who sends more than the other end reads waits, but not for ever */
        int r = setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
                                setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0
                        ? -errno
                        : notify_send_fd("FDSTORE=1\nFDNAME=" BEQUEST_NAME, ends[1]);
        ends[1] = fd_close(ends[1]);
        if (r < 0) {
                fd_close(ends[0]);
                return r;
        }
        h->heir = ends[0];
        return 0;
}

/* --- leaving --- */

typedef struct Leaving {
        int sock;
        int result;
        Piece piece;
} Leaving;

static void send_piece(Leaving *l) {
        struct iovec iov = { .iov_base = &l->piece, .iov_len = sizeof l->piece };

        if (l->result == 0 && l->piece.n > 0)
                l->result = message_send(l->sock, &iov, 1, l->piece.numbers, l->piece.n);
        l->piece = (Piece){ 0 };
}

static void leave(int fd, void *userdata) {
        Leaving *l = userdata;

        l->piece.numbers[l->piece.n++] = fd;
        if (l->piece.n == MESSAGE_FDS_MAX)
                send_piece(l);
}

int bequest_leave(const State *s) {
        struct pollfd p = { .fd = s->head->heir, .events = POLLIN };
        Leaving l = { .sock = s->head->heir };
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 0;
        Piece asked;

        int n = poll(&p, 1, (int) (LEAVE_PATIENCE_USEC / USEC_PER_MSEC));
        if (n <= 0)
                return n < 0 ? -errno : -ETIMEDOUT;
        ssize_t size = message_recv(l.sock, &asked, sizeof asked, fds, &n_fds, MSG_DONTWAIT);
        if (size > 0)
                fds_close(fds, n_fds);
        if (size != sizeof asked)
                return size < 0 ? (int) size : -EPIPE; /* the store was emptied: the service is stopped for good */
        state_each(s, leave, &l);
        send_piece(&l);
        l.piece.last = true;
        leave(s->fd, &l);
        send_piece(&l);
        return l.result;
}

/* --- taking --- */

typedef struct Taking {
        int *to; /* by the number that it had */
        size_t n;
} Taking;

static void taking_clear(Taking *t) {
        for (size_t i = 0; i < t->n; i++)
                (void) fd_close(t->to[i]);
        free(t->to);
        *t = (Taking){ 0 };
}

static int put(Taking *t, int32_t number, int *fd) {
        if (number <= STDERR_FILENO || number >= (int32_t) NUMBERS_MAX)
                return -EBADMSG;
        if ((size_t) number >= t->n) {
                size_t n = (size_t) number * 2;
                int *to = reallocarray(t->to, n, sizeof *to);
                if (!to)
                        return -ENOMEM;
                for (size_t i = t->n; i < n; i++)
                        to[i] = -EBADF;
                t->to = to;
                t->n = n;
        }
        (void) fd_close(t->to[number]);
        t->to[number] = take_fd(*fd);
        return 0;
}

/* Returns 1 with @ret_state when there are no more. */
static int take_piece(int sock, Taking *t, int *ret_state) {
        int fds[MESSAGE_FDS_MAX], r = 0;
        size_t n_fds = 0;
        Piece piece;

        ssize_t size = message_recv(sock, &piece, sizeof piece, fds, &n_fds, 0);
        if (size < 0)
                return size == -EAGAIN ? -ETIMEDOUT : (int) size;
        if (size == 0)
                return -EPIPE;
        if (size != sizeof piece || piece.n != n_fds || (piece.last && n_fds != 1))
                r = -EBADMSG;
        else if (piece.last) {
                *ret_state = take_fd(fds[0]);
                return 1;
        }
        for (size_t i = 0; i < n_fds && r == 0; i++)
                r = put(t, piece.numbers[i], &fds[i]);
        fds_close(fds, n_fds);
        return r;
}

int bequest_take(int sock, State *ret) {
        _cleanup_(taking_clear) Taking t = { 0 };
        Piece all = { 0 };
        struct iovec iov = { .iov_base = &all, .iov_len = sizeof all };
        int state = -EBADF;

        int r = message_send(sock, &iov, 1, NULL, 0);
        while (r == 0)
                r = take_piece(sock, &t, &state);
        if (r < 0)
                return r;
        r = state_open(ret, state);
        if (r < 0)
                return r;
        state_renumber(ret, t.to, t.n);
        free(t.to); /* they belong to the state now */
        t = (Taking){ 0 };
        slot_close(&ret->head->worker);
        slot_close(&ret->head->heir); /* its other end was the former one's */
        ret->head->worker_said_hello = false;
        return 0;
}
