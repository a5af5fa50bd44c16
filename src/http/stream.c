/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/api.h"

/* The events of a command (Server-Sent Events, HTML Living Standard 9.2): "start", "stdout" and "stderr", "missing"
 * where output was dropped before it was read, and at last exactly one "exit". */

#define PIECE_MAX (16U * 1024U)
#define KEEP_ALIVE_USEC (15 * USEC_PER_SEC)

typedef struct EventStream {
        HttpRequest *request;
        Exec *exec; /* owned */
        ExecReader reader;
        bool cancel; /* the command ends with the stream */
        bool started, waiting, exit_sent;
        sd_event_source *keep_alive;
        bool keep_alive_due;
        char *out; /* owned: events on their way */
        size_t out_length, out_sent;
} EventStream;

bool http_wants_events(const HttpRequest *r) {
        const char *accept = http_request_header(r, "Accept");

        return accept && strstr(accept, "text/event-stream");
}

static void event_stream_free(EventStream *s) {
        exec_reader_detach(s->exec, &s->reader);
        (void) exec_unref(s->exec);
        s->keep_alive = sd_event_source_disable_unref(s->keep_alive);
        free(s->out);
        free(s);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        EventStream *s = userdata;

        (void) r;
        if (s->cancel)
                exec_kill(s->exec, EXEC_CANCELLED);
        event_stream_free(s);
}

/* Makes the next event out of a document (taken). Returns 0 or -ENOMEM. */
static int put_event(EventStream *s, const char *name, bool has_id, uint64_t id, json_t *data) {
        _cleanup_free_ char *text = data ? json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
        int n;

        json_decref(data);
        if (!text)
                return -ENOMEM;
        free(take_ptr(s->out));
        s->out_sent = 0;
        if (has_id)
                n = asprintf(&s->out, "event: %s\nid: %llu\ndata: %s\n\n", name, (unsigned long long) id, text);
        else
                n = asprintf(&s->out, "event: %s\ndata: %s\n\n", name, text);
        if (n < 0) {
                s->out = NULL;
                return -ENOMEM;
        }
        s->out_length = (size_t) n;
        return 0;
}

/* Copies what belongs together from the piece @first on, up to the end of a character. */
static size_t collect(const Exec *e, char buf[static PIECE_MAX], const OutputPiece *first) {
        OutputPiece p = *first;
        size_t used = 0;

        for (;;) {
                ssize_t n = output_read(&e->log, &p, buf + used, PIECE_MAX - used);
                if (n <= 0)
                        return used;
                used += (size_t) n;
                uint64_t next = p.offset + (size_t) n;
                if (used == PIECE_MAX || !output_next(&e->log, next, &p) || p.stream != first->stream || p.missing)
                        break;
        }
        /* the log keeps characters together, the size of a piece may not */
        if (used == PIECE_MAX && !e->base64) {
                size_t end = used;
                while (end > used - 4 && ((unsigned char) buf[end - 1] & 0xc0) == 0x80)
                        end--;
                if ((unsigned char) buf[end - 1] >= 0xc0)
                        used = end - 1;
        }
        return used;
}

static int put_output(EventStream *s, OutputPiece *p) {
        static char buf[PIECE_MAX]; /* one thread, used up before this returns */

        if (p->missing > 0) {
                uint64_t at = s->reader.offset;
                exec_reader_advance(s->exec, &s->reader, p->offset);
                return put_event(s, "missing", true, p->offset,
                        json_pack("{sI sI}", "offset", (json_int_t) at, "bytes", (json_int_t) p->missing));
        }
        size_t n = collect(s->exec, buf, p);
        if (n == 0)
                return -EIO;
        exec_reader_advance(s->exec, &s->reader, p->offset + n);
        return put_event(s, p->stream == OUTPUT_STDOUT ? "stdout" : "stderr", true, p->offset + n,
                json_pack("{sI so}", "offset", (json_int_t) p->offset, "data", exec_text(s->exec, buf, n)));
}

/* Makes the next event. Returns 1, 0 when there is none now, HTTP_STREAM_END or HTTP_STREAM_BROKEN. */
static int next_event(EventStream *s) {
        Exec *e = s->exec;
        OutputPiece p;
        int r;

        if (!s->started && (e->pid > 0 || e->is_done)) {
                s->started = true;
                r = put_event(s, "start", false, 0,
                        json_pack("{ss so}", "exec_id", e->id, "pid", e->pid > 0 ? json_integer(e->pid) : json_null()));
        } else if (!s->started)
                return 0;
        else if (output_next(&e->log, s->reader.offset, &p))
                r = put_output(s, &p);
        else if (e->is_done && !s->exit_sent) {
                s->exit_sent = true;
                r = put_event(s, "exit", true, output_end(&e->log), exec_result(e, false));
        } else if (s->exit_sent)
                return HTTP_STREAM_END;
        else if (s->keep_alive_due) {
                s->keep_alive_due = false;
                free(take_ptr(s->out));
                s->out = strdup(": keep-alive\n\n");
                s->out_length = s->out ? strlen(s->out) : 0;
                s->out_sent = 0;
                r = s->out ? 0 : -ENOMEM;
        } else
                return 0;
        return r < 0 ? HTTP_STREAM_BROKEN : 1;
}

static ssize_t on_read(HttpRequest *r, char *buf, size_t size, void *userdata) {
        EventStream *s = userdata;
        size_t used = 0;
        int k = 1;

        (void) r;
        while (used < size) {
                if (s->out_sent == s->out_length) {
                        k = next_event(s);
                        if (k <= 0)
                                break;
                }
                size_t n = MIN(size - used, s->out_length - s->out_sent);
                memcpy(buf + used, s->out + s->out_sent, n);
                s->out_sent += n;
                used += n;
        }
        if (used > 0) {
                (void) sd_event_source_set_time_relative(s->keep_alive, KEEP_ALIVE_USEC);
                return (ssize_t) used;
        }
        s->waiting = k == 0;
        if (k < 0)
                event_stream_free(s);
        return k;
}

static void wake(EventStream *s) {
        if (!s->waiting)
                return;
        s->waiting = false;
        http_stream_wake(s->request);
}

static void on_news(ExecReader *reader) {
        wake(CONTAINER_OF(reader, EventStream, reader));
}

static int on_keep_alive(sd_event_source *source, uint64_t usec, void *userdata) {
        EventStream *s = userdata;

        (void) usec;
        s->keep_alive_due = true;
        (void) sd_event_source_set_time_relative(source, KEEP_ALIVE_USEC);
        wake(s);
        return 0;
}

static EventStream *event_stream_new(HttpRequest *r, Exec *e, uint64_t from, bool cancel) {
        EventStream *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->request = r;
        s->exec = exec_ref(e);
        s->cancel = cancel;
        s->reader.wake = on_news;
        exec_reader_attach(e, &s->reader, from);
        if (sd_event_add_time_relative(
                    e->event, &s->keep_alive, CLOCK_MONOTONIC, KEEP_ALIVE_USEC, USEC_PER_SEC, on_keep_alive, s) < 0 ||
                sd_event_source_set_enabled(s->keep_alive, SD_EVENT_ON) < 0) {
                event_stream_free(s);
                return NULL;
        }
        return s;
}

void http_exec_follow(HttpRequest *r, Exec *e, uint64_t from, bool cancel) {
        EventStream *s = event_stream_new(r, e, from, cancel);
        Error error = { 0 };

        if (!s) {
                if (cancel)
                        exec_kill(e, EXEC_CANCELLED);
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        http_stream_begin(r, 200, "text/event-stream", HTTP_LENGTH_UNKNOWN, on_read, on_cancelled, s);
}

/* --- a command that was just started: a refusal has to come as an error, not as a stream --- */

typedef struct Starting {
        HttpRequest *request;
        Exec *exec; /* owned */
        ExecReader reader;
        bool cancel;
} Starting;

static void starting_free(Starting *s) {
        exec_reader_detach(s->exec, &s->reader);
        (void) exec_unref(s->exec);
        free(s);
}

static void on_started(ExecReader *reader) {
        Starting *s = CONTAINER_OF(reader, Starting, reader);

        if (s->exec->pid == 0 && !s->exec->is_done)
                return;
        if (s->exec->error.kind != ERROR_NONE)
                http_answer_error(s->request, &s->exec->error, -EIO);
        else
                http_exec_follow(s->request, s->exec, 0, s->cancel);
        starting_free(s);
}

static void on_start_cancelled(HttpRequest *r, void *userdata) {
        Starting *s = userdata;

        (void) r;
        if (s->cancel)
                exec_kill(s->exec, EXEC_CANCELLED);
        starting_free(s);
}

void http_exec_stream(HttpRequest *r, HttpApi *api, Session *session, ExecSpec *spec) {
        Starting *s = calloc(1, sizeof *s);
        Error error = { 0 };
        bool cancel = !spec->background;

        int k = s ? session_exec(session, spec, true, NULL, NULL, &s->exec, &error) : -ENOMEM;
        if (k < 0) {
                free(s);
                http_answer_error(r, &error, k);
                return;
        }
        api->n_execs++;
        s->request = r;
        s->cancel = cancel;
        s->reader.wake = on_started;
        exec_reader_attach(s->exec, &s->reader, 0);
        http_request_defer(r, on_start_cancelled, s);
}
