/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/tunnel.h"

#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"

#define BUFFER_SIZE (16U * 1024U)
#define SILENCE_USEC (60 * USEC_PER_SEC) /* for half a tunnel: the other half ended */

typedef struct Pipe {
        int from, to; /* borrowed */
        char *data;   /* owned, while there are bytes */
        size_t used, sent, size;
        bool ended; /* nothing more comes */
        bool closed;
} Pipe;

typedef struct Tunnel {
        Job job;
        Fetch *fetch; /* keeps the worker's connection */
        void *handle; /* of the client's */
        Worker *worker;
        WorkerWaiter waiter;
        Pipe up, down; /* to the worker, to the client */
        sd_event_source *client, *server, *end;
} Tunnel;

static Tunnel *tunnel_free(Tunnel *t) {
        if (!t)
                return NULL;
        t->client = sd_event_source_disable_unref(t->client);
        t->server = sd_event_source_disable_unref(t->server);
        t->end = sd_event_source_disable_unref(t->end);
        t->fetch = fetch_free(t->fetch);
        if (t->worker)
                worker_wait_end(t->worker, &t->waiter);
        if (t->handle)
                http_upgrade_end(t->handle);
        job_done(&t->job);
        free(t->up.data);
        free(t->down.data);
        free(t);
        return NULL;
}

static void end_job(Job *job) {
        (void) tunnel_free(CONTAINER_OF(job, Tunnel, job));
}

static void on_worker_lost(WorkerWaiter *w) {
        (void) tunnel_free(CONTAINER_OF(w, Tunnel, waiter));
}

/* Moves what can be moved. Returns 0, or -errno when one end is gone. */
static int move(Pipe *p) {
        for (;;) {
                ssize_t n;
                if (p->sent < p->used) {
                        n = send(p->to, p->data + p->sent, p->used - p->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
                        if (n < 0)
                                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                        p->sent += (size_t) n;
                        continue;
                }
                p->used = p->sent = 0;
                if (p->ended) {
                        if (!p->closed)
                                (void) shutdown(p->to, SHUT_WR);
                        p->closed = true;
                        break;
                }
                if (p->size < BUFFER_SIZE) {
                        char *data = realloc(p->data, BUFFER_SIZE);
                        if (!data)
                                return -ENOMEM;
                        p->data = data;
                        p->size = BUFFER_SIZE;
                }
                n = recv(p->from, p->data, p->size, MSG_DONTWAIT);
                if (n < 0) {
                        if (errno == EAGAIN || errno == EINTR)
                                break;
                        return -errno;
                }
                p->used = (size_t) n;
                p->ended = n == 0;
        }
        free(p->data); /* silent ones cost nothing */
        p->data = NULL;
        p->size = 0;
        return 0;
}

static uint32_t wanted(const Pipe *reads, const Pipe *writes) {
        return (reads->used == 0 && !reads->ended ? (uint32_t) EPOLLIN : 0U) |
               (writes->used > writes->sent ? (uint32_t) EPOLLOUT : 0U);
}

static void pump(Tunnel *t) {
        if (move(&t->up) < 0 || move(&t->down) < 0 || (t->up.closed && t->down.closed) || t->down.closed) {
                /* a worker that is done with it has nothing to hear any more; a client may still read */
                (void) tunnel_free(t);
                return;
        }
        (void) sd_event_source_set_io_events(t->client, wanted(&t->up, &t->down));
        (void) sd_event_source_set_io_events(t->server, wanted(&t->down, &t->up));
}

static int on_end(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        (void) tunnel_free(userdata);
        return 0;
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Tunnel *t = userdata;

        (void) source;
        (void) fd;
        if (revents & (EPOLLERR | EPOLLHUP)) {
                /* gone altogether: what it sent before is passed on, nothing else */
                (void) move(&t->up);
                (void) move(&t->down);
                (void) tunnel_free(t);
                return 0;
        }
        bool was_ended = t->up.ended;
        if (!was_ended && move(&t->up) >= 0 && t->up.ended && !t->end)
                (void) sd_event_add_time_relative(
                        t->job.coord->event, &t->end, CLOCK_MONOTONIC, SILENCE_USEC, 0, on_end, t);
        pump(t);
        return 0;
}

static int watch(Tunnel *t) {
        sd_event *event = t->job.coord->event;
        int r = fd_set_nonblock(t->up.from, true);

        if (r >= 0)
                r = sd_event_add_io(event, &t->client, t->up.from, EPOLLIN, on_ready, t);
        if (r >= 0)
                r = sd_event_add_io(event, &t->server, t->down.from, EPOLLIN, on_ready, t);
        return r;
}

/* One that has nothing yet but what the client sent too early. NULL when there is no memory. */
static Tunnel *tunnel_new(const char *extra, size_t length) {
        Tunnel *t = calloc(1, sizeof *t);

        if (!t || length == 0)
                return t;
        t->up.data = malloc(length);
        if (!t->up.data) {
                free(t);
                return NULL;
        }
        memcpy(t->up.data, extra, length);
        t->up.used = t->up.size = length;
        return t;
}

static void on_upgraded(int sock, const char *extra, size_t extra_length, void *handle, void *userdata) {
        Exchange *x = userdata;
        int server = x->fetch ? fetch_take_over(x->fetch) : -EBADF;
        Tunnel *t = server >= 0 ? tunnel_new(extra, extra_length) : NULL;

        if (!t) {
                http_upgrade_end(handle);
                (void) exchange_free(x);
                return;
        }
        job_begin(x->job.coord, &t->job, end_job);
        t->handle = handle;
        t->fetch = take_ptr(x->fetch);
        t->worker = x->worker;
        t->waiter.lost = on_worker_lost;
        t->waiter.patient = true;
        worker_wait_end(x->worker, &x->waiter);
        worker_wait(t->worker, &t->waiter);
        t->up.from = t->down.to = sock;
        t->up.to = t->down.from = server;
        t->down.data = take_ptr(x->answer);
        t->down.used = x->answer_used;
        t->down.size = x->answer_size;
        (void) exchange_free(x);
        if (watch(t) < 0)
                (void) tunnel_free(t);
        else
                pump(t);
}

void tunnel_begin(Exchange *x) {
        const char *protocol = NULL;

        for (size_t i = 0; i < fetch_n_headers(x->fetch); i++) {
                FetchHeader h = fetch_header_at(x->fetch, i);
                if (strcasecmp(h.name, "Upgrade") == 0)
                        protocol = h.value;
                else if (strncasecmp(h.name, "Sec-WebSocket-", 14) == 0)
                        http_request_set_header(x->request, h.name, h.value);
        }
        x->tunnelling = true;
        x->answer_whole = true; /* what the worker sends at once is kept */
        http_upgrade(x->request, protocol ? protocol : "websocket", on_upgraded, x);
}
