/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "session/context-internal.h"

/* The socket between us and the driver of an interpreter. It is read only while something is expected, and while the
 * driver takes the code we send: what the code writes there at other times stays in the socket, which does not grow.
 * That results have come does not pile up: a run that has flooded us with them and read nothing can still end. */

#define READ_SIZE (64U * 1024U)
#define UNREAD_MAX (64U * 1024U)             /* bytes for the driver, while code runs */
#define END_PATIENCE_USEC (2 * USEC_PER_SEC) /* from the end of the socket to the end of the interpreter */

static bool wants_read(const Context *c) {
        if (c->holds || c->closed)
                return false;
        return c->state == CONTEXT_STARTING ||
               (c->run && !run_is_full(c->run) && (!c->run->begun || c->out_length - c->out_sent < UNREAD_MAX));
}

static void watch(Context *c) {
        uint32_t events = (wants_read(c) ? EPOLLIN : 0U) | (c->out_sent < c->out_length ? EPOLLOUT : 0U);

        if (!c->io)
                return;
        (void) sd_event_source_set_io_events(c->io, events);
        /* a hang-up is told again and again: once it has been seen, only what is done about it counts */
        (void) sd_event_source_set_enabled(c->io, c->hung_up && events == 0 ? SD_EVENT_OFF : SD_EVENT_ON);
}

void context_resume(Context *c) {
        watch(c);
}

/* The code runs where the driver does and can say anything: what makes no sense ends the interpreter. */
static void give_up(Context *c) {
        c->closed = true;
        exec_kill(c->exec, EXEC_LOST);
        watch(c);
}

/* --- writing --- */

static int put(Context *c, const char *data, size_t length) {
        if (c->out_sent > 0 && c->out_sent == c->out_length)
                c->out_sent = c->out_length = 0;
        if (c->out_length + length > c->out_size) {
                char *p = realloc(c->out, c->out_length + length);
                if (!p)
                        return -ENOMEM;
                c->out = p;
                c->out_size = c->out_length + length;
        }
        memcpy(c->out + c->out_length, data, length);
        c->out_length += length;
        return 0;
}

static void flush(Context *c);

/* How many results have come is told once what was told before has left. */
static int tell_taken(Context *c) {
        char text[32];

        c->owes_taken = c->out_sent < c->out_length;
        if (c->owes_taken)
                return 0;
        (void) snprintf(text, sizeof text, "%llu", (unsigned long long) c->run->n_taken);
        return context_channel_send(c, "taken", text);
}

static void flush(Context *c) {
        while (c->out_sent < c->out_length) {
                ssize_t n = send(
                        c->channel, c->out + c->out_sent, c->out_length - c->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        if (errno != EAGAIN)
                                c->out_sent = c->out_length; /* reading tells of the end */
                        break;
                }
                c->out_sent += (size_t) n;
        }
        if (c->out_sent == c->out_length) {
                free(take_ptr(c->out));
                c->out_sent = c->out_length = c->out_size = 0;
                if (c->owes_taken && c->run)
                        (void) tell_taken(c);
        }
        watch(c);
}

int context_channel_send(Context *c, const char *word, const char *text) {
        const char *behind = strcmp(word, "run") == 0 ? c->language->behind : NULL;
        char head[64];
        size_t length = strlen(text);
        int n = snprintf(head, sizeof head, "%s %zu\n", word, length);

        int k = c->channel < 0 ? -ENOTCONN : put(c, head, (size_t) n);
        if (k == 0)
                k = put(c, text, length);
        if (k == 0 && behind)
                k = put(c, behind, strlen(behind));
        if (k == 0)
                flush(c);
        return k;
}

/* --- reading --- */

static int finish(Context *c, const DriverFrame *f) {
        static const RunStatus statuses[] = {
                [DRIVER_OK] = RUN_OK,
                [DRIVER_ERROR] = RUN_ERROR,
                [DRIVER_INTERRUPTED] = RUN_INTERRUPTED,
        };
        DriverStatus status;
        uint64_t count;
        int code;

        int k = driver_parse_done(f, &count, &status, &code);
        if (k < 0 || count > c->run->number)
                return -EBADMSG;
        if (count == c->run->number)
                context_finish_run(c, statuses[status], code);
        return 0; /* of a former run: told twice */
}

static int begin(Context *c, const DriverFrame *f) {
        uint64_t count;

        if (driver_parse_count(f, &count) < 0 || count > c->run->number)
                return -EBADMSG;
        if (count == c->run->number && !c->run->begun)
                context_run_has_begun(c);
        return 0;
}

static int deliver(Context *c, const DriverFrame *f) {
        if (f->word == DRIVER_DONE)
                return finish(c, f);
        int k = run_take_result(c->run, f);
        if (k < 0)
                return k;
        c->run->n_taken++;
        return tell_taken(c);
}

static void on_marked(Exec *e, void *userdata) {
        Context *c = userdata;

        (void) e;
        (void) context_ref(c);
        c->holds = false;
        if (c->run && deliver(c, &c->frame) < 0)
                give_up(c);
        watch(c);
        (void) context_unref(c);
}

/* Results and the end come after the output before them: @all: it has come already. */
static int handle(Context *c, const DriverFrame *f, bool all) {
        if (f->word == DRIVER_READY) {
                uint64_t count;
                if (driver_parse_count(f, &count) < 0)
                        return -EBADMSG;
                c->ready = true;
                context_check_ready(c);
                return 0;
        }
        if (!c->run)
                return 0;
        if (f->word == DRIVER_BEGIN)
                return begin(c, f);
        if (!c->run->begun)
                return 0; /* left from a former run */
        if (f->word != DRIVER_RESULT && f->word != DRIVER_DONE)
                return run_take(c->run, f);
        if (!all && !exec_mark(c->exec, on_marked, c)) {
                c->frame = *f; /* its bytes stay where they are, since nothing is read meanwhile */
                c->holds = true;
                return 0;
        }
        return deliver(c, f);
}

/* Looks at what is there and takes what is wanted of it. Returns false when there is no more. */
static bool read_some(Context *c, bool all) {
        static char buf[READ_SIZE]; /* one thread, never entered twice */
        DriverFrame f;
        ssize_t at = 0, k = 0;

        ssize_t n = recv(c->channel, buf, sizeof buf, MSG_PEEK | MSG_DONTWAIT);
        if (n <= 0) {
                if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                        c->closed = c->hung_up = true;
                        context_expect_end(c, END_PATIENCE_USEC);
                }
                return false;
        }
        while (at < n && k >= 0 && (all || wants_read(c))) {
                k = driver_read(&c->reader, buf + at, (size_t) (n - at), &f);
                at += MAX(k, 0);
                if (k >= 0 && f.word != DRIVER_NONE)
                        k = handle(c, &f, all);
        }
        if (c->channel >= 0 && at > 0)
                (void) recv(c->channel, buf, (size_t) at, MSG_DONTWAIT);
        if (k < 0)
                give_up(c);
        return k >= 0;
}

void context_channel_drain(Context *c) {
        if (c->channel < 0)
                return;
        if (c->holds) {
                c->holds = false;
                if (c->run && deliver(c, &c->frame) < 0)
                        return;
        }
        while (c->run && c->channel >= 0 && read_some(c, true))
                ;
}

/* --- opening and closing --- */

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Context *c = userdata;

        (void) source;
        (void) fd;
        (void) context_ref(c);
        if (revents & EPOLLOUT)
                flush(c);
        if (wants_read(c) && c->channel >= 0)
                (void) read_some(c, false);
        if (revents & (EPOLLHUP | EPOLLERR) && !c->hung_up) {
                c->hung_up = true;
                if (!c->run)
                        context_expect_end(c, END_PATIENCE_USEC);
        }
        watch(c);
        (void) context_unref(c);
        return 0;
}

int context_channel_open(Context *c) {
        driver_reader_clear(&c->reader);
        c->holds = c->hung_up = c->closed = c->owes_taken = false;
        c->out_sent = c->out_length = 0;
        c->channel = exec_channel(c->exec);
        if (c->channel < 0)
                return c->channel;
        int k = sd_event_add_io(c->event, &c->io, c->channel, EPOLLIN, on_io, c);
        if (k >= 0 && c->language->driver_counted) {
                char count[16];
                (void) snprintf(count, sizeof count, "%08zu", c->language->driver_length);
                k = put(c, count, 8);
        }
        if (k >= 0)
                k = put(c, c->language->driver, c->language->driver_length);
        if (k >= 0)
                k = context_channel_send(c, c->session ? "hello" : "prepare", "");
        return k;
}

void context_channel_close(Context *c) {
        c->io = sd_event_source_disable_unref(c->io);
        c->channel = fd_close(c->channel);
        driver_reader_clear(&c->reader);
        free(take_ptr(c->out));
        c->out_sent = c->out_length = c->out_size = 0;
}
