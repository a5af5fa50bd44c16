/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/api.h"

/* The events of a command: "start", "stdout" and "stderr", "missing" where output was dropped before it was read, and
 * at last exactly one "exit". */

typedef struct ExecStream {
        HttpEvents *events;
        Exec *exec; /* owned */
        ExecReader reader;
        bool cancel; /* the command ends with the stream */
        bool started, exit_sent;
} ExecStream;

int http_events_put_output(HttpEvents *e, const Exec *exec, const OutputPiece *p, uint64_t limit, uint64_t *ret_next) {
        static char buf[HTTP_EVENT_OUTPUT_MAX]; /* one thread, used up before this returns */

        if (p->missing > 0) {
                *ret_next = p->offset;
                return http_events_put_id(e, "missing", p->offset,
                        json_pack("{sI sI}", "offset", (json_int_t) (p->offset - p->missing), "bytes",
                                (json_int_t) p->missing));
        }
        size_t n = output_gather(&exec->log, p, limit, buf, sizeof buf, !exec->base64);
        if (n == 0)
                return -EIO;
        *ret_next = p->offset + n;
        if (!exec->base64 && utf8_is_valid(buf, n))
                return http_events_put_text(
                        e, p->stream == OUTPUT_STDOUT ? "stdout" : "stderr", *ret_next, p->offset, buf, n);
        return http_events_put_id(e, p->stream == OUTPUT_STDOUT ? "stdout" : "stderr", *ret_next,
                json_pack("{sI so}", "offset", (json_int_t) p->offset, "data", exec_text(exec, buf, n)));
}

static int next_event(HttpEvents *events, void *userdata) {
        ExecStream *s = userdata;
        Exec *e = s->exec;
        OutputPiece p;
        uint64_t next;

        if (!s->started && (e->pid > 0 || e->is_done)) {
                s->started = true;
                return http_events_put(events, "start",
                        json_pack("{ss so}", "exec_id", e->id, "pid", e->pid > 0 ? json_integer(e->pid) : json_null()));
        }
        if (!s->started)
                return 0;
        if (output_next(&e->log, s->reader.offset, &p)) {
                int k = http_events_put_output(events, e, &p, UINT64_MAX, &next);
                if (k > 0)
                        exec_reader_advance(e, &s->reader, next);
                return k;
        }
        if (e->is_done && !s->exit_sent) {
                s->exit_sent = true;
                return http_events_put_id(events, "exit", output_end(&e->log), exec_result(e));
        }
        return s->exit_sent ? HTTP_STREAM_END : 0;
}

static void on_ended(bool gone, void *userdata) {
        ExecStream *s = userdata;

        if (gone && s->cancel)
                exec_kill(s->exec, EXEC_CANCELLED);
        exec_reader_detach(s->exec, &s->reader);
        (void) exec_unref(s->exec);
        free(s);
}

static void on_news(ExecReader *reader) {
        http_events_wake(CONTAINER_OF(reader, ExecStream, reader)->events);
}

void http_exec_follow(HttpRequest *r, Exec *e, uint64_t from, bool cancel) {
        static const HttpEventsHandlers handlers = { .next = next_event, .ended = on_ended };
        ExecStream *s = calloc(1, sizeof *s);
        Error error = { 0 };

        if (s) {
                s->exec = exec_ref(e);
                s->cancel = cancel;
                s->reader.wake = on_news;
                exec_reader_attach(e, &s->reader, from);
                if (http_events_begin(r, e->event, &handlers, s, &s->events) == 0)
                        return;
                on_ended(true, s);
        } else if (cancel)
                exec_kill(e, EXEC_CANCELLED);
        http_answer_error(r, &error, -ENOMEM);
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
