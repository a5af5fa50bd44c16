/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/linger.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"

#define TAILS_MAX 64U /* more are closed at once */
#define TAIL_USEC (5 * USEC_PER_SEC)
#define PIECE 65536U
#define PIECES_PER_TURN 8

typedef struct Tail {
        HttpLinger *linger; /* borrowed */
        int fd;             /* owned */
        sd_event_source *io, *deadline;
        TAILQ_ENTRY(Tail) entry;
} Tail;

struct HttpLinger {
        sd_event *event; /* borrowed */
        TAILQ_HEAD(, Tail) tails;
        unsigned n_tails;
};

static void tail_free(Tail *t) {
        TAILQ_REMOVE(&t->linger->tails, t, entry);
        t->linger->n_tails--;
        t->io = sd_event_source_disable_unref(t->io);
        t->deadline = sd_event_source_disable_unref(t->deadline);
        t->fd = socket_close(t->fd);
        free(t);
}

static int on_data(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        static char dropped[PIECE]; /* by all of them */

        (void) source;
        (void) revents;
        for (int i = 0; i < PIECES_PER_TURN; i++) {
                ssize_t n = recv(fd, dropped, sizeof dropped, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                if (n <= 0) {
                        tail_free(userdata);
                        return 0;
                }
        }
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        tail_free(userdata);
        return 0;
}

void http_linger_add(HttpLinger *l, int fd) {
        Tail *t = l->n_tails < TAILS_MAX ? calloc(1, sizeof *t) : NULL;

        if (!t)
                return;
        t->linger = l;
        TAILQ_INSERT_TAIL(&l->tails, t, entry);
        l->n_tails++;
        t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (t->fd < 0 || shutdown(t->fd, SHUT_WR) < 0 ||
                sd_event_add_io(l->event, &t->io, t->fd, EPOLLIN, on_data, t) < 0 ||
                sd_event_add_time_relative(
                        l->event, &t->deadline, CLOCK_MONOTONIC, TAIL_USEC, USEC_PER_SEC, on_deadline, t) < 0)
                tail_free(t);
}

int http_linger_new(sd_event *event, HttpLinger **ret) {
        HttpLinger *l = calloc(1, sizeof *l);

        if (!l)
                return -ENOMEM;
        l->event = event;
        TAILQ_INIT(&l->tails);
        *ret = l;
        return 0;
}

HttpLinger *http_linger_free(HttpLinger *l) {
        Tail *t;

        if (!l)
                return NULL;
        while ((t = TAILQ_FIRST(&l->tails)))
                tail_free(t);
        free(l);
        return NULL;
}
