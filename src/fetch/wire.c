/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "fetch/fetch-internal.h"

/* Connections of our own, for requests without TLS whose body is there as a whole. What they carry costs one system
 * call to send, one to receive and one to wait, and one to see that a kept one is silent; it stays watched, so that its
 * end is heard of. */

#define IDLE_MAX 4096U
#define LINE_KEPT 1024U /* bytes, of what holds a line that comes in pieces */
#define IDLE_AGE_USEC (50 * USEC_PER_SEC) /* servers close theirs after 75 s: never at the moment we use it */
#define RECEIVES_PER_TURN 4U
#define KEEPALIVE_IDLE_SEC 15
#define KEEPALIVE_STEP_SEC 5

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata);

Wire *wire_free(Wire *w) {
        if (!w)
                return NULL;
        if (!w->fetch) {
                TAILQ_REMOVE(&w->server->idle, w, entry);
                TAILQ_REMOVE(&w->fetcher->idle, w, idle);
                w->fetcher->n_idle--;
        }
        w->fetcher->n_wires--;
        w->source = sd_event_source_disable_unref(w->source);
        (void) socket_close(w->fd);
        answer_end(&w->answer);
        free(w->held);
        free(w);
        return NULL;
}

static int watch(Wire *w, uint32_t events) {
        if (w->events == events)
                return 0;
        int r = w->source ? sd_event_source_set_io_events(w->source, events)
                          : sd_event_add_io(w->fetcher->event, &w->source, w->fd, events, on_ready, w);
        if (r >= 0)
                w->events = events;
        return r < 0 ? r : 0;
}

/* --- the end of a request --- */

/* Tells its owner, who may free it: from the loop, unless that is where we are. */
static void tell(Fetch *f, int result, bool in_loop) {
        if (!in_loop) {
                fetcher_settle(f->fetcher, f, result);
                return;
        }
        f->failure = result;
        fetch_finish(f, CURLE_OK);
}

static void fail(Wire *w, int result, bool in_loop) {
        Fetch *f = w->fetch;

        f->wire = wire_free(w);
        tell(f, result, in_loop);
}

/* Keeps the connection for the next request. */
static void keep(Wire *w) {
        Fetcher *f = w->fetcher;

        w->fetch = NULL;
        w->used = true;
        w->idle_since = clock_monotonic();
        if (w->answer.line_size > LINE_KEPT)
                answer_end(&w->answer);
        (void) sd_event_source_set_enabled(w->source, SD_EVENT_ON); /* it may have been held up */
        TAILQ_INSERT_HEAD(&w->server->idle, w, entry);
        TAILQ_INSERT_HEAD(&f->idle, w, idle);
        f->n_idle++;
        if (f->n_idle > IDLE_MAX)
                (void) wire_free(TAILQ_LAST(&f->idle, WireList));
}

/* The answer is complete, @rest bytes came behind it. */
static void finish(Wire *w, size_t rest, bool in_loop) {
        Fetch *f = w->fetch;
        bool kept = rest == 0 && w->answer.keeps && !w->broken && w->sent == f->text_size + f->body_size &&
                    w->generation == w->server->generation && w->events == EPOLLIN;

        f->wire = NULL;
        if (kept)
                keep(w);
        else
                (void) wire_free(w);
        tell(f, 0, in_loop);
}

/* --- the answer --- */

/* Keeps what is not wanted now; nothing more is read. */
static int hold(Wire *w, const char *data, size_t size) {
        w->held = malloc(size);
        if (!w->held)
                return -ENOMEM;
        memcpy(w->held, data, size);
        w->held_size = size;
        return sd_event_source_set_enabled(w->source, SD_EVENT_OFF); /* else its end would be told again and again */
}

static int take_head(Wire *w) {
        Fetch *f = w->fetch;

        f->length_known = w->answer.has_length;
        f->length = w->answer.length;
        return fetch_take_head(f, w->answer.status);
}

/* Returns true when there may be more to receive; false when the request is over, or waits. */
static bool take(Wire *w, const char *data, size_t size, bool in_loop) {
        Fetch *f = w->fetch;
        const char *part;
        size_t part_size;
        int r;

        for (;;) {
                r = answer_read(&w->answer, &data, &size, &part, &part_size);
                switch (r) {
                case ANSWER_MORE:
                        return true;
                case ANSWER_HEADER:
                        r = fetch_keep_header(f, part, part_size);
                        break;
                case ANSWER_HEAD:
                        r = take_head(w);
                        break;
                case ANSWER_DATA:
                        if (!f->ops->data || f->ops->data(f, part, part_size, f->userdata))
                                break;
                        answer_unread(&w->answer, part_size);
                        r = hold(w, part, part_size + size);
                        if (r >= 0)
                                return false;
                        break;
                case ANSWER_END:
                        finish(w, size, in_loop);
                        return false;
                default:
                        break;
                }
                if (r < 0) {
                        fail(w, r, in_loop);
                        return false;
                }
        }
}

/* The owner takes data again. */
void wire_wake(Wire *w) {
        _cleanup_free_ char *data = take_ptr(w->held);

        if (data && take(w, data, w->held_size, false))
                (void) sd_event_source_set_enabled(w->source, SD_EVENT_ON);
}

/* --- the request --- */

static void begin_sending(Wire *w) {
        Fetch *f = w->fetch;

        f->n_connections++;
        f->connect_deadline = USEC_INFINITY;
}

/* The kernel has no room for it, or the like. The connection stands: the server waits for the rest, and would say
 * nothing. */
static int cannot_send(Wire *w) {
        if (w->sent == 0)
                w->fetch->n_connections--; /* it was not sent */
        return -ENOMEM;
}

/* Returns 0 or -errno. */
static int send_request(Wire *w) {
        Fetch *f = w->fetch;
        size_t whole = f->text_size + f->body_size;

        while (w->sent < whole && !w->broken) {
                size_t head = MIN(w->sent, f->text_size), body = w->sent - head;
                struct iovec parts[] = { { f->text + head, f->text_size - head },
                        { f->body ? (char *) f->body + body : NULL, f->body_size - body } };
                struct msghdr message = { .msg_iov = parts, .msg_iovlen = f->body_size > 0 ? 2 : 1 };
                ssize_t n = sendmsg(w->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n >= 0)
                        w->sent += (size_t) n;
                else if (errno == EAGAIN)
                        return watch(w, EPOLLIN | EPOLLOUT);
                else if (errno == EPIPE || errno == ECONNRESET)
                        w->broken = true; /* what it has answered is there to be read, or why it ended */
                else if (errno != EINTR)
                        return cannot_send(w);
        }
        return watch(w, EPOLLIN);
}

static int open_wire(Fetch *f) {
        struct sockaddr_storage address;
        socklen_t size;
        int one = 1, idle = KEEPALIVE_IDLE_SEC, step = KEEPALIVE_STEP_SEC;

        int r = server_address(f->server, &address, &size);
        if (r < 0)
                return r;
        _cleanup_fd_ int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -ECONNREFUSED;
        if (address.ss_family != AF_UNIX) {
                (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
                (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
                (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &step, sizeof step);
        }
        bool connected = connect(fd, (struct sockaddr *) &address, size) >= 0;
        if (!connected && errno != EINPROGRESS)
                return -ECONNREFUSED;
        Wire *w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        w->fetcher = f->fetcher;
        w->server = f->server;
        w->generation = f->server->generation;
        w->fd = take_fd(fd);
        w->fetch = f;
        w->connected = connected;
        w->fetcher->n_wires++;
        answer_begin(&w->answer, f->is_head);
        f->wire = w;
        if (!connected)
                return watch(w, EPOLLOUT);
        begin_sending(w);
        return send_request(w);
}

/* Has it ended, or does the server talk out of turn? */
static bool is_stale(const Wire *w) {
        char byte;

        return recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

static Wire *take_idle(Fetch *f) {
        Wire *w;

        while ((w = TAILQ_FIRST(&f->server->idle))) {
                /* what is there before the question is not its answer */
                if (f->started > w->idle_since + IDLE_AGE_USEC || is_stale(w)) {
                        (void) wire_free(w);
                        continue;
                }
                TAILQ_REMOVE(&f->server->idle, w, entry);
                TAILQ_REMOVE(&f->fetcher->idle, w, idle);
                f->fetcher->n_idle--;
                return w;
        }
        return NULL;
}

/* What goes wrong with the connection is told later, by done(). */
int wire_begin(Fetch *f) {
        Wire *w = take_idle(f);
        int r;

        if (w) {
                w->fetch = f;
                f->wire = w;
                w->sent = 0;
                answer_begin(&w->answer, f->is_head);
                begin_sending(w);
                r = send_request(w);
        } else
                r = open_wire(f);
        if (r >= 0)
                return 0;
        f->wire = wire_free(f->wire);
        fetcher_settle(f->fetcher, f, r == -ECONNREFUSED || r == -EHOSTUNREACH ? -ECONNREFUSED : -ENOMEM);
        return 0;
}

/* --- what happens on it --- */

/* The server has closed a kept connection before it saw the request: once more, on a new one. Returns false when that
 * cannot be. */
static bool repeat(Wire *w) {
        Fetch *f = w->fetch;

        if (!w->used || !f->repeatable || w->answer.n_read > 0)
                return false;
        f->wire = wire_free(w);
        int r = open_wire(f);
        if (r < 0) {
                f->wire = wire_free(f->wire);
                fetcher_settle(f->fetcher, f, r == -ENOMEM ? r : -ECONNREFUSED);
        }
        return true;
}

static void end(Wire *w) {
        int r;

        if (repeat(w))
                return;
        r = answer_close(&w->answer);
        if (r < 0)
                fail(w, r, true);
        else
                finish(w, 0, true);
}

static void receive(Wire *w) {
        Fetcher *f = w->fetcher;

        for (unsigned i = 0; i < RECEIVES_PER_TURN; i++) {
                ssize_t n = recv(w->fd, f->buffer, sizeof f->buffer, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                if (n < 0) {
                        if (!repeat(w))
                                fail(w, -ECONNRESET, true);
                        return;
                }
                if (n == 0) {
                        end(w);
                        return;
                }
                if (!take(w, f->buffer, (size_t) n, true) || (size_t) n < sizeof f->buffer)
                        return;
        }
}

static void connected(Wire *w) {
        int error = 0;
        socklen_t size = sizeof error;

        if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
                fail(w, -ECONNREFUSED, true);
                return;
        }
        w->connected = true;
        begin_sending(w);
        int r = send_request(w);
        if (r < 0)
                fail(w, -ENOMEM, true);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Wire *w = userdata;

        (void) source;
        (void) fd;
        if (!w->fetch) { /* it ends, or its server talks out of turn */
                (void) wire_free(w);
                return 0;
        }
        if (!w->connected) {
                connected(w);
                return 0;
        }
        if (revents & EPOLLOUT && send_request(w) < 0) {
                fail(w, -ENOMEM, true);
                return 0;
        }
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(w);
        return 0;
}
