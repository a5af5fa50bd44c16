/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/names.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/time.h>

#define TRY_MSEC 1000
#define TRIES 2
#define SOCKETS_MAX 64U
#define CONFIG_AGE_USEC (30 * USEC_PER_SEC) /* the servers may be others by then */

typedef struct NameSocket {
        int fd;
        sd_event_source *source;
} NameSocket;

struct Names {
        sd_event *event;      /* borrowed */
        ares_channel channel; /* NULL: none */
        usec_t made;          /* monotonic: the channel */
        sd_event_source *timer, *soon;
        NameSocket sockets[SOCKETS_MAX];
        size_t n_sockets;
        TAILQ_HEAD(, NameQuery) queries;
};

struct NameQuery {
        Names *names; /* borrowed */
        NameDone *done;
        void *userdata;
        char addresses[NAME_ADDRESSES_MAX][INET6_ADDRSTRLEN];
        size_t n;
        bool answered; /* by c-ares: it has no pointer to it any more */
        bool freed;    /* but it still has one */
        TAILQ_ENTRY(NameQuery) entry;
};

static void arm(Names *n) {
        struct timeval limit = { .tv_sec = TRY_MSEC / 1000 }, tv, *next = ares_timeout(n->channel, &limit, &tv);

        (void) sd_event_source_set_time_relative(
                n->timer, (usec_t) next->tv_sec * USEC_PER_SEC + (usec_t) next->tv_usec);
        (void) sd_event_source_set_enabled(n->timer, TAILQ_EMPTY(&n->queries) ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Names *n = userdata;

        (void) source;
        (void) usec;
        ares_process_fd(n->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        arm(n);
        return 0;
}

static int on_socket_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Names *n = userdata;

        (void) source;
        ares_process_fd(n->channel, revents & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
                revents & EPOLLOUT ? fd : ARES_SOCKET_BAD);
        arm(n);
        return 0;
}

static void drop_socket(Names *n, size_t i) {
        n->sockets[i].source = sd_event_source_disable_unref(n->sockets[i].source);
        n->sockets[i] = n->sockets[--n->n_sockets];
}

static void on_socket_state(void *userdata, ares_socket_t fd, int readable, int writable) {
        Names *n = userdata;
        uint32_t events = (readable ? (uint32_t) EPOLLIN : 0) | (writable ? (uint32_t) EPOLLOUT : 0);
        size_t i;

        for (i = 0; i < n->n_sockets && n->sockets[i].fd != fd; i++)
                ;
        if (i < n->n_sockets && !events)
                drop_socket(n, i);
        else if (i < n->n_sockets)
                (void) sd_event_source_set_io_events(n->sockets[i].source, events);
        else if (events && i < SOCKETS_MAX &&
                 sd_event_add_io(n->event, &n->sockets[i].source, fd, events, on_socket_ready, n) >= 0) {
                n->sockets[i].fd = fd;
                n->n_sockets++;
        } /* else: its query ends by the time limit */
}

/* --- queries --- */

static void query_unlink(NameQuery *q) {
        TAILQ_REMOVE(&q->names->queries, q, entry);
        free(q);
}

NameQuery *name_query_free(NameQuery *q) {
        if (!q)
                return NULL;
        if (q->answered)
                query_unlink(q);
        else {
                q->freed = true; /* c-ares cannot give up a single one */
                q->done = NULL;
        }
        return NULL;
}

static NameQuery *next_answered(Names *n) {
        NameQuery *q;

        TAILQ_FOREACH(q, &n->queries, entry)
        if (q->answered)
                return q;
        return NULL;
}

static int on_soon(sd_event_source *source, void *userdata) {
        Names *n = userdata;
        const char *addresses[NAME_ADDRESSES_MAX];
        NameQuery *q;

        (void) source;
        while ((q = next_answered(n))) {
                NameQuery copy = *q;
                query_unlink(q);
                for (size_t i = 0; i < copy.n; i++)
                        addresses[i] = copy.addresses[i];
                copy.done(addresses, copy.n, copy.userdata);
        }
        return 0;
}

static void take_address(NameQuery *q, const struct sockaddr *sa) {
        union {
                const struct sockaddr *sa;
                const struct sockaddr_in *in;
                const struct sockaddr_in6 *in6;
        } a = { .sa = sa };
        const void *bytes = sa->sa_family == AF_INET ? (const void *) &a.in->sin_addr : &a.in6->sin6_addr;

        if (q->n < NAME_ADDRESSES_MAX && (sa->sa_family == AF_INET || sa->sa_family == AF_INET6) &&
                inet_ntop(sa->sa_family, bytes, q->addresses[q->n], sizeof q->addresses[q->n]))
                q->n++;
}

/* May come from within our call, or when all ends. */
static void on_addresses(void *userdata, int status, int timeouts, struct ares_addrinfo *info) {
        NameQuery *q = userdata;

        (void) timeouts;
        for (struct ares_addrinfo_node *i = status == ARES_SUCCESS && info ? info->nodes : NULL; i; i = i->ai_next)
                take_address(q, i->ai_addr);
        if (info)
                ares_freeaddrinfo(info);
        q->answered = true;
        if (q->freed || status == ARES_EDESTRUCTION)
                query_unlink(q);
        else
                (void) sd_event_source_set_enabled(q->names->soon, SD_EVENT_ONESHOT);
}

static int make_channel(Names *n) {
        struct ares_options options = {
                .timeout = TRY_MSEC,
                .tries = TRIES,
                .sock_state_cb = on_socket_state,
                .sock_state_cb_data = n,
        };

        if (n->channel && (!TAILQ_EMPTY(&n->queries) || clock_monotonic() < n->made + CONFIG_AGE_USEC))
                return 0;
        if (n->channel)
                ares_destroy(n->channel);
        n->channel = NULL;
        n->made = clock_monotonic();
        return ares_init_options(&n->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) ==
                               ARES_SUCCESS
                       ? 0
                       : -ENOMEM;
}

int names_look_up(Names *n, const char *host, NameDone *done, void *userdata, NameQuery **ret) {
        const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
        NameQuery *q = NULL;

        int r = make_channel(n);
        if (r >= 0)
                q = calloc(1, sizeof *q);
        if (!q)
                return -ENOMEM;
        q->names = n;
        q->done = done;
        q->userdata = userdata;
        TAILQ_INSERT_TAIL(&n->queries, q, entry);
        *ret = q;
        ares_getaddrinfo(n->channel, host, NULL, &hints, on_addresses, q);
        arm(n);
        return 0;
}

/* --- start and end --- */

int names_new(sd_event *event, Names **ret) {
        _cleanup_(names_freep) Names *n = calloc(1, sizeof *n);

        if (!n)
                return -ENOMEM;
        TAILQ_INIT(&n->queries);
        n->event = event;
        if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
                return -ENOMEM;
        int r = sd_event_add_time(event, &n->timer, CLOCK_MONOTONIC, 0, 10 * USEC_PER_MSEC, on_timer, n);
        if (r >= 0)
                r = sd_event_source_set_enabled(n->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &n->soon, on_soon, n);
        if (r >= 0)
                r = sd_event_source_set_enabled(n->soon, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = take_ptr(n);
        return 0;
}

Names *names_free(Names *n) {
        NameQuery *q;

        if (!n)
                return NULL;
        if (n->channel)
                ares_destroy(n->channel); /* ends all that it has not answered */
        while ((q = TAILQ_FIRST(&n->queries)))
                query_unlink(q);
        while (n->n_sockets > 0)
                drop_socket(n, n->n_sockets - 1);
        n->timer = sd_event_source_disable_unref(n->timer);
        n->soon = sd_event_source_disable_unref(n->soon);
        free(n);
        return NULL;
}
