/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/relay.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"

#define BUFFER_SIZE (32U * 1024U)
#define SILENCE_USEC (60 * USEC_PER_SEC) /* for half a relay: the client has said all */
#define STEPS_MAX 16U                    /* of one way in a turn */

typedef struct Way {
        int from, to; /* borrowed */
        char *data;   /* owned, while there are bytes */
        size_t used, sent;
        bool ended;  /* nothing more comes */
        bool closed; /* which the other one has been told */
} Way;

struct Relay {
        sd_event *event; /* borrowed */
        Way up, down;    /* to the server, to the client */
        sd_event_source *client, *server, *end;
        bool server_gone;
        RelayEnded *ended;
        void *userdata;
};

Relay *relay_free(Relay *r) {
        if (!r)
                return NULL;
        r->client = sd_event_source_disable_unref(r->client);
        r->server = sd_event_source_disable_unref(r->server);
        r->end = sd_event_source_disable_unref(r->end);
        free(r->up.data);
        free(r->down.data);
        free(r);
        return NULL;
}

/* Returns 1 when @w has sent all that it holds, 0 when the receiver takes no more now, -errno when it is gone. */
static int flush(Way *w) {
        while (w->sent < w->used) {
                ssize_t n = send(w->to, w->data + w->sent, w->used - w->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                w->sent += (size_t) n;
        }
        w->used = w->sent = 0;
        if (w->ended && !w->closed) {
                (void) shutdown(w->to, SHUT_WR);
                w->closed = true;
        }
        return 1;
}

/* Moves what can be moved. Returns 0, or -errno when one end is gone. */
static int move(Way *w) {
        int k = flush(w);

        for (unsigned i = 0; k > 0 && !w->ended && i < STEPS_MAX; i++) {
                if (!w->data && !(w->data = malloc(BUFFER_SIZE)))
                        return -ENOMEM;
                ssize_t n = recv(w->from, w->data, BUFFER_SIZE, MSG_DONTWAIT);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (n < 0)
                        break;
                w->used = (size_t) n;
                w->ended = n == 0;
                k = flush(w);
        }
        if (w->used == 0) { /* silent ones cost nothing */
                free(w->data);
                w->data = NULL;
        }
        return k < 0 ? k : 0;
}

static uint32_t wanted(const Way *reads, const Way *writes) {
        return (reads->used == 0 && !reads->ended ? (uint32_t) EPOLLIN : 0U) |
               (writes->used > 0 ? (uint32_t) EPOLLOUT : 0U);
}

static int on_end(sd_event_source *source, uint64_t usec, void *userdata) {
        Relay *r = userdata;

        (void) source;
        (void) usec;
        r->ended(r, r->userdata);
        return 0;
}

static void pump(Relay *r) {
        bool had_ended = r->up.ended;

        if (move(&r->up) < 0 || move(&r->down) < 0 || r->down.closed) {
                r->ended(r, r->userdata); /* a server that is done has nothing to hear any more */
                return;
        }
        if (r->up.ended && !had_ended)
                (void) sd_event_add_time_relative(r->event, &r->end, CLOCK_MONOTONIC, SILENCE_USEC, 0, on_end, r);
        else if (r->end)
                (void) sd_event_source_set_time_relative(r->end, SILENCE_USEC);
        (void) sd_event_source_set_io_events(r->client, wanted(&r->up, &r->down));
        (void) sd_event_source_set_io_events(r->server, wanted(&r->down, &r->up));
        /* that it is gone is told again and again, but what it sent is the client's to take first */
        bool quiet = r->server_gone && r->down.used > 0;
        (void) sd_event_source_set_enabled(r->server, quiet ? SD_EVENT_OFF : SD_EVENT_ON);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        bool gone = revents & (EPOLLERR | EPOLLHUP);
        Relay *r = userdata;

        (void) fd;
        if (gone && source == r->client) {
                (void) move(&r->up);
                r->ended(r, r->userdata);
                return 0;
        }
        r->server_gone = r->server_gone || gone;
        pump(r);
        return 0;
}

int relay_new(sd_event *event, int client, int server, RelayEnded *ended, void *userdata, Relay **ret) {
        Relay *r = malloc(sizeof *r);

        if (!r)
                return -ENOMEM;
        *r = (Relay){
                .event = event,
                .up = { .from = client, .to = server },
                .down = { .from = server, .to = client },
                .ended = ended,
                .userdata = userdata,
        };
        *ret = r;
        return 0;
}

int relay_add(Relay *r, bool to_client, const void *data, size_t size) {
        Way *w = to_client ? &r->down : &r->up;

        if (size == 0)
                return 0;
        char *p = realloc(w->data, w->used + MAX(size, (size_t) BUFFER_SIZE));
        if (!p)
                return -ENOMEM;
        memcpy(p + w->used, data, size);
        w->data = p;
        w->used += size;
        return 0;
}

int relay_begin(Relay *r) {
        int k = sd_event_add_io(r->event, &r->client, r->up.from, EPOLLIN | EPOLLOUT, on_ready, r);

        if (k >= 0)
                k = sd_event_add_io(r->event, &r->server, r->down.from, EPOLLIN, on_ready, r);
        return k < 0 ? k : 0;
}
