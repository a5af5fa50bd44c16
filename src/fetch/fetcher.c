/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/epoll.h>

#include "base/fd.h"
#include "fetch/fetch-internal.h"

/* Before 8.4.0 a handle that is used again remembers the last header of the answer before, which is freed by then: an
 * answer that begins with a folded line has libcurl write to it. Connections are not the handle's, they are kept. */
#define REUSABLE_SINCE 0x080400U

#define CONNECTIONS_KEPT 4096L
#define SPARE_MAX 64U
#define COMPLETIONS_PER_TURN 32
#define LATE_PER_TICK 64U
#define TICK_USEC (50 * USEC_PER_MSEC)

/* --- time --- */

/* One source for curl's timers and the turns that it asks for; it is set only when that would be earlier, so that a
 * request costs no system call for it. */
static void arm(Fetcher *f, usec_t at) {
        if (at >= f->timer_at)
                return;
        f->timer_at = at;
        (void) sd_event_source_set_time(f->timer, at);
        (void) sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
}

void fetcher_run_soon(Fetcher *f) {
        (void) sd_event_source_set_enabled(f->soon, SD_EVENT_ONESHOT);
}

static int on_multi_timer(CURLM *multi, long timeout_ms, void *userdata) {
        Fetcher *f = userdata;

        (void) multi;
        if (timeout_ms == 0)
                fetcher_run_soon(f);
        else if (timeout_ms > 0)
                arm(f, clock_monotonic() + (usec_t) timeout_ms * USEC_PER_MSEC);
        return 0; /* -1: what is armed fires for nothing */
}

/* Tells of what is finished. Those told may start and free requests. */
static void complete(Fetcher *f) {
        CURLMsg *message;
        int left;

        for (unsigned i = 0; (message = curl_multi_info_read(f->multi, &left)); i++) {
                CURLcode code = message->data.result;
                Fetch *fetch = NULL;
                if (message->msg != CURLMSG_DONE)
                        continue;
                (void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &fetch);
                if (fetch->connect_only && code == CURLE_OK)
                        fetch->deadline = USEC_INFINITY; /* the connection lives as long as curl has it */
                else {
                        (void) curl_multi_remove_handle(f->multi, message->easy_handle);
                        fetch->added = false;
                }
                fetch_finish(fetch, code);
                if (i >= COMPLETIONS_PER_TURN) {
                        fetcher_run_soon(f);
                        return;
                }
        }
}

void fetcher_settle(Fetcher *f, Fetch *fetch, int result) {
        assert(!fetch->settled);
        fetch->failure = result;
        fetch->settled = true;
        f->n_settled++;
        fetcher_run_soon(f);
}

static Fetch *next_settled(Fetcher *f) {
        Fetch *fetch;

        TAILQ_FOREACH(fetch, &f->active, entry)
        if (fetch->settled)
                return fetch;
        return NULL;
}

/* Tells of those that ended within a call of ours. */
static void tell_settled(Fetcher *f) {
        Fetch *fetch;

        for (unsigned i = 0; f->n_settled > 0 && i < COMPLETIONS_PER_TURN && (fetch = next_settled(f)); i++) {
                fetch->settled = false;
                f->n_settled--;
                fetch_finish(fetch, CURLE_OK);
        }
        if (f->n_settled > 0)
                fetcher_run_soon(f);
}

static int on_soon(sd_event_source *source, void *userdata) {
        Fetcher *f = userdata;
        int running;

        (void) source;
        tell_settled(f);
        (void) curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        complete(f);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Fetcher *f = userdata;
        long timeout_ms = -1;
        int running;

        (void) source;
        (void) usec;
        f->timer_at = USEC_INFINITY;
        (void) curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        complete(f);
        /* curl counts in milliseconds and may find that it is not time yet, without saying so */
        (void) curl_multi_timeout(f->multi, &timeout_ms);
        if (timeout_ms >= 0)
                arm(f, clock_monotonic() + (usec_t) MAX(timeout_ms, 1L) * USEC_PER_MSEC);
        return 0;
}

/* --- time limits --- */

static void arm_tick(Fetcher *f) {
        if (f->tick_armed)
                return;
        f->tick_armed = sd_event_source_set_time_relative(f->tick, TICK_USEC) >= 0 &&
                        sd_event_source_set_enabled(f->tick, SD_EVENT_ONESHOT) >= 0;
}

static usec_t deadline_of(const Fetch *fetch) {
        return MIN(fetch->connect_deadline,
                fetch->head_done ? fetch->deadline : MIN(fetch->head_deadline, fetch->deadline));
}

static Fetch *next_late(Fetcher *f) {
        Fetch *fetch;

        TAILQ_FOREACH(fetch, &f->active, entry)
        if (fetch->late && fetch_goes_on(fetch))
                return fetch;
        return NULL;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Fetcher *f = userdata;
        usec_t now = clock_monotonic();
        unsigned n_late = 0;
        bool more = false;
        Fetch *fetch;

        (void) source;
        (void) usec;
        f->tick_armed = false;
        TAILQ_FOREACH(fetch, &f->active, entry) {
                usec_t deadline = fetch_goes_on(fetch) ? deadline_of(fetch) : USEC_INFINITY;
                if (deadline != USEC_INFINITY)
                        more = true;
                if (now >= deadline && n_late < LATE_PER_TICK) {
                        fetch->late = true;
                        n_late++;
                }
        }
        /* those told may free any request */
        while (n_late > 0 && (fetch = next_late(f))) {
                if (!fetch->failure)
                        fetch->failure = -ETIMEDOUT;
                if (fetch->added)
                        (void) curl_multi_remove_handle(f->multi, fetch->handle->curl);
                fetch->added = fetch->waiting = false;
                fetch->wire = wire_free(fetch->wire);
                fetch_finish(fetch, CURLE_OPERATION_TIMEDOUT);
        }
        if (more)
                arm_tick(f);
        return 0;
}

/* --- sockets --- */

static int on_socket_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Fetcher *f = userdata;
        int running, mask = 0;

        if (!f->sockets[fd]->wanted) {
                /* an idle connection ends, or its server talks out of turn: curl finds out before it uses it */
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }
        if (revents & (EPOLLIN | EPOLLRDHUP))
                mask |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                mask |= CURL_CSELECT_OUT;
        if (revents & (EPOLLERR | EPOLLHUP))
                mask |= CURL_CSELECT_ERR;
        (void) curl_multi_socket_action(f->multi, fd, mask, &running);
        complete(f);
        return 0;
}

void fetcher_forget_socket(Fetcher *f, int fd) {
        if (fd < 0 || (size_t) fd >= f->n_sockets || !f->sockets[fd])
                return;
        (void) sd_event_source_disable_unref(f->sockets[fd]->source);
        free(f->sockets[fd]);
        f->sockets[fd] = NULL;
}

static FetchSocket *find_socket(Fetcher *f, int fd) {
        if ((size_t) fd >= f->n_sockets) {
                size_t n = MAX((size_t) fd + 1, 2 * f->n_sockets);
                FetchSocket **p = reallocarray(f->sockets, n, sizeof *p);
                if (!p)
                        return NULL;
                for (size_t i = f->n_sockets; i < n; i++)
                        p[i] = NULL;
                f->sockets = p;
                f->n_sockets = n;
        }
        if (!f->sockets[fd])
                f->sockets[fd] = calloc(1, sizeof **f->sockets);
        return f->sockets[fd];
}

static int watch_socket(Fetcher *f, int fd, uint32_t events) {
        FetchSocket *s = find_socket(f, fd);

        if (!s)
                return -ENOMEM;
        int r = s->source ? sd_event_source_set_io_events(s->source, events)
                          : sd_event_add_io(f->event, &s->source, fd, events, on_socket_ready, f);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->source, SD_EVENT_ON);
        if (r < 0)
                fetcher_forget_socket(f, fd);
        else
                s->wanted = true;
        return r;
}

/* Never an error for curl: that would end all requests, and none could be begun while one of them is left. */
static int on_multi_socket(CURL *curl, curl_socket_t fd, int what, void *userdata, void *unused) {
        Fetcher *f = userdata;
        Fetch *fetch = NULL;

        (void) unused;
        (void) curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **) &fetch);
        if (what == CURL_POLL_REMOVE) {
                /* A connection that stands is kept or will be closed, which is told of apart: it stays watched as it
                 * is, so that its next request need not ask for that again. One that does not come about is closed
                 * already, and old versions of libcurl (7.88) tell nobody: the number may soon be another's. */
                if (fetch && fetch->connecting == fd)
                        fetcher_forget_socket(f, fd);
                else if ((size_t) fd < f->n_sockets && f->sockets[fd])
                        f->sockets[fd]->wanted = false;
                return 0;
        }

        uint32_t events = (what & CURL_POLL_IN ? (uint32_t) EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
        if (watch_socket(f, fd, events) < 0 && fetch) {
                fetch->failure = -ENOMEM;
                fetch->deadline = 1; /* is told soon, not from within curl */
                arm_tick(f);
        }
        return 0;
}

curl_socket_t fetcher_open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        Fetch *fetch = userdata;

        (void) purpose;
        if (fetch->is_given) /* once */
                fetch->sock = take_fd(fetch->given);
        else
                fetch->sock =
                        socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
        if (fetch->sock < 0)
                return CURL_SOCKET_BAD;
        fetch->connecting = fetch->sock;
        fetcher_forget_socket(fetch->fetcher, fetch->sock); /* of one that had the number before */
        return fetch->sock;
}

int fetcher_close_socket(void *userdata, curl_socket_t fd) {
        fetcher_forget_socket(userdata, fd);
        (void) socket_close(fd);
        return 0;
}

/* --- requests --- */

CURLMcode fetcher_add(Fetcher *f, Fetch *fetch) {
        CURLMcode k = curl_multi_add_handle(f->multi, fetch->handle->curl);

        fetch->added = k == CURLM_OK;
        return k;
}

void fetcher_link(Fetcher *f, Fetch *fetch) {
        TAILQ_INSERT_TAIL(&f->active, fetch, entry);
        f->n_active++;
        if (deadline_of(fetch) != USEC_INFINITY)
                arm_tick(f);
}

void fetcher_unlink(Fetcher *f, Fetch *fetch) {
        if (!fetch->entry.tqe_prev)
                return;
        TAILQ_REMOVE(&f->active, fetch, entry);
        f->n_active--;
        if (fetch->settled)
                f->n_settled--;
}

void fetcher_remove(Fetcher *f, Fetch *fetch) {
        FetchHandle *h = fetch->handle;

        if (fetch->added)
                (void) curl_multi_remove_handle(f->multi, h->curl);
        if (f->n_spare >= SPARE_MAX || !f->can_reuse || fetch->taken_over || fetch->connect_only) {
                (void) fetch_handle_free(h);
                return;
        }
        TAILQ_INSERT_HEAD(&f->spare, h, entry);
        f->n_spare++;
}

unsigned fetcher_n_active(const Fetcher *f) {
        return f->n_active;
}

/* --- start and end --- */

static int start(Fetcher *f) {
        int r = sd_event_add_time(f->event, &f->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC / 2, on_timer, f);

        if (r >= 0)
                r = sd_event_source_set_enabled(f->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(f->event, &f->tick, CLOCK_MONOTONIC, 0, 10 * USEC_PER_MSEC, on_tick, f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f->tick, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(f->event, &f->soon, on_soon, f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f->soon, SD_EVENT_OFF);
        if (r < 0)
                return r;

        (void) curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_multi_socket);
        (void) curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
        (void) curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_multi_timer);
        (void) curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
        (void) curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
        (void) curl_multi_setopt(f->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
        return 0;
}

int fetcher_new(sd_event *event, Fetcher **ret) {
        _cleanup_(fetcher_freep) Fetcher *f = calloc(1, sizeof *f);

        if (!f)
                return -ENOMEM;
        f->event = event;
        f->timer_at = USEC_INFINITY;
        TAILQ_INIT(&f->active);
        f->can_reuse = curl_version_info(CURLVERSION_NOW)->version_num >= REUSABLE_SINCE;
        TAILQ_INIT(&f->spare);
        TAILQ_INIT(&f->idle);
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        f->multi = curl_multi_init();
        if (!f->multi)
                return -ENOMEM;
        int r = start(f);
        if (r < 0)
                return r;
        *ret = take_ptr(f);
        return 0;
}

Fetcher *fetcher_free(Fetcher *f) {
        FetchHandle *h;

        if (!f)
                return NULL;
        assert(TAILQ_EMPTY(&f->active) && f->n_wires == 0);
        f->names = names_free(f->names);
        while ((h = TAILQ_FIRST(&f->spare))) {
                TAILQ_REMOVE(&f->spare, h, entry);
                (void) fetch_handle_free(h);
        }
        if (f->multi)
                (void) curl_multi_cleanup(f->multi); /* its socket callbacks may still come */
        for (size_t i = 0; i < f->n_sockets; i++)
                fetcher_forget_socket(f, (int) i);
        free(f->sockets);
        f->timer = sd_event_source_disable_unref(f->timer);
        f->tick = sd_event_source_disable_unref(f->tick);
        f->soon = sd_event_source_disable_unref(f->soon);
        free(f);
        return NULL;
}
