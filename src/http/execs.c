/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "http/api.h"

/* Commands that run in the background, or have: listing, output, input, signals. */

#define OUTPUT_ANSWER_MAX MIB
#define WAIT_LIMIT_USEC (300 * USEC_PER_SEC)

void http_exec_list(HttpRequest *r, void *userdata) {
        Session *s = http_find_session(r, userdata);
        _cleanup_json_ json_t *list = NULL;
        Exec *e;

        if (!s)
                return;
        list = json_array();
        TAILQ_FOREACH(e, &s->execs, entry)
        (void) json_array_append_new(list, exec_describe(e));
        http_answer_json(r, 200, json_pack("{sO}", "execs", list));
}

/* --- one, maybe once it has ended --- */

typedef struct Waiting {
        HttpRequest *request;
        Exec *exec; /* owned */
        ExecReader reader;
        sd_event_source *timer;
} Waiting;

static void waiting_free(Waiting *w) {
        exec_reader_detach(w->exec, &w->reader);
        (void) exec_unref(w->exec);
        w->timer = sd_event_source_disable_unref(w->timer);
        free(w);
}

static void on_wait_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        waiting_free(userdata);
}

static void wait_over(Waiting *w) {
        http_answer_json(w->request, 200, exec_describe(w->exec));
        waiting_free(w);
}

static void on_wait_news(ExecReader *reader) {
        Waiting *w = CONTAINER_OF(reader, Waiting, reader);

        if (w->exec->is_done)
                wait_over(w);
}

static int on_wait_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        wait_over(userdata);
        return 0;
}

static void wait_for_end(HttpRequest *r, Exec *e, usec_t patience) {
        Waiting *w = calloc(1, sizeof *w);
        Error error = { 0 };

        if (!w) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        w->request = r;
        w->exec = exec_ref(e);
        w->reader.wake = on_wait_news;
        exec_reader_attach(e, &w->reader, UINT64_MAX);
        int k = sd_event_add_time_relative(e->event, &w->timer, CLOCK_MONOTONIC, patience, 0, on_wait_timer, w);
        if (k < 0) {
                waiting_free(w);
                http_answer_error(r, &error, k);
                return;
        }
        http_request_defer(r, on_wait_cancelled, w);
}

void http_exec_show(HttpRequest *r, void *userdata) {
        const char *wait = http_request_argument(r, "wait");
        Exec *e = http_find_exec(r, userdata);
        Error error = { 0 };
        usec_t patience = 0;

        if (!e)
                return;
        if (wait && (parse_duration(wait, &patience) < 0 || patience > WAIT_LIMIT_USEC)) {
                int k = error_set_field(&error, ERROR_INVALID_VALUE, "wait", "300 seconds",
                        "\"wait\" has to be a duration of at most 300 s.");
                http_answer_error(r, &error, k);
                return;
        }
        if (patience > 0 && !e->is_done)
                wait_for_end(r, e, patience);
        else
                http_answer_json(r, 200, exec_describe(e));
}

/* --- output --- */

static int read_offset(HttpRequest *r, const Exec *e, uint64_t *ret, Error *error) {
        const char *from = http_request_argument(r, "from"), *last = http_request_header(r, "Last-Event-ID");

        *ret = 0;
        if (!from)
                from = last;
        if (from && parse_unsigned(from, ret) < 0)
                return error_set_field(error, ERROR_MALFORMED, "from", NULL, "\"from\" has to be an offset in bytes.");
        if (*ret > output_end(&e->log))
                return error_set_field(error, ERROR_INVALID_VALUE, "from", NULL,
                        "\"from\" lies behind the end of the output, which is %llu now.",
                        (unsigned long long) output_end(&e->log));
        return 0;
}

typedef struct Text {
        char *bytes; /* owned */
        size_t used;
} Text;

static void answer_output(HttpRequest *r, const Exec *e, uint64_t from) {
        Text texts[2] = { 0 };
        uint64_t at = from, missing = 0;
        OutputPiece p;
        json_t *j = NULL;

        for (int i = 0; i < 2; i++)
                texts[i].bytes = malloc(OUTPUT_ANSWER_MAX);
        while (texts[0].bytes && texts[1].bytes && output_next(&e->log, at, &p) &&
                p.length <= OUTPUT_ANSWER_MAX - (at - from - missing)) {
                Text *t = &texts[p.stream];
                ssize_t n = output_read(&e->log, &p, t->bytes + t->used, p.length);
                if (n <= 0)
                        break;
                missing += p.missing;
                t->used += (size_t) n;
                at = p.offset + (size_t) n;
        }
        if (texts[0].bytes && texts[1].bytes)
                j = json_pack("{ss sI sI sI sb so so}", "exec_id", e->id, "from", (json_int_t) from, "next",
                        (json_int_t) at, "missing", (json_int_t) missing, "running", !e->is_done, "stdout",
                        exec_text(e, texts[0].bytes, texts[0].used), "stderr",
                        exec_text(e, texts[1].bytes, texts[1].used));
        free(texts[0].bytes);
        free(texts[1].bytes);
        http_answer_json(r, 200, j);
}

void http_exec_output(HttpRequest *r, void *userdata) {
        Exec *e = http_find_exec(r, userdata);
        Error error = { 0 };
        uint64_t from;

        if (!e)
                return;
        int k = read_offset(r, e, &from, &error);
        if (k < 0)
                http_answer_error(r, &error, k);
        else if (http_wants_events(r))
                http_exec_follow(r, e, from, false);
        else
                answer_output(r, e, from);
}

/* --- signal and resize --- */

static int signal_parse(const char *name, const json_t *value, void *ret, Error *error) {
        (void) name;
        return exec_signal_parse(value, ret, error);
}

void http_exec_signal(HttpRequest *r, void *userdata) {
        static const JsonField fields[] = { { "signal", signal_parse, 0 }, { 0 } };
        Exec *e = http_find_exec(r, userdata);
        _cleanup_json_ json_t *object = NULL;
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        int signal = 0;

        if (!e)
                return;
        int k = json_read_object(body, length, &object, &error);
        if (k == 0)
                k = json_apply(object, fields, &signal, &error);
        if (k == 0 && signal == 0)
                k = error_set_field(&error, ERROR_MALFORMED, "signal", NULL, "Give \"signal\".");
        if (k == 0)
                k = exec_signal(e, signal, &error);
        if (k < 0)
                http_answer_error(r, &error, k);
        else
                http_answer_empty(r, 204);
}

void http_exec_resize(HttpRequest *r, void *userdata) {
        Exec *e = http_find_exec(r, userdata);
        _cleanup_json_ json_t *object = NULL;
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        uint16_t rows, columns;

        if (!e)
                return;
        int k = json_read_object(body, length, &object, &error);
        if (k == 0)
                k = terminal_size_read("body", object, &rows, &columns, &error);
        if (k == 0)
                k = exec_resize(e, rows, columns, &error);
        if (k < 0)
                http_answer_error(r, &error, k);
        else
                http_answer_empty(r, 204);
}

/* --- stdin, as the body comes --- */

typedef struct Feeding {
        HttpRequest *request;
        Exec *exec; /* owned */
        bool end;
} Feeding;

static void feeding_free(Feeding *f) {
        exec_write_cancel(f->exec);
        (void) exec_unref(f->exec);
        free(f);
}

static void on_feed_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        feeding_free(userdata);
}

static void on_written(Exec *e, void *userdata) {
        Feeding *f = userdata;

        (void) e;
        http_body_wake(f->request);
}

static size_t on_body(HttpRequest *r, const char *data, size_t size, void *userdata) {
        Feeding *f = userdata;
        Error error = { 0 };
        ssize_t n = 0;

        if (size > 0)
                n = exec_write(f->exec, data, size, on_written, f, &error);
        else if (f->end)
                n = exec_write_end(f->exec, &error);
        if (n < 0) {
                http_answer_error(r, &error, (int) n);
                feeding_free(f);
                return size;
        }
        if (size == 0) {
                http_answer_empty(r, 204);
                feeding_free(f);
        }
        return (size_t) n;
}

void http_exec_stdin(HttpRequest *r, void *userdata) {
        const char *eof = http_request_argument(r, "eof");
        Exec *e = http_find_exec(r, userdata);
        Error error = { 0 };

        if (!e)
                return;
        Feeding *f = calloc(1, sizeof *f);
        if (!f) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        f->request = r;
        f->exec = exec_ref(e);
        f->end = eof && (strcmp(eof, "1") == 0 || strcmp(eof, "true") == 0);
        http_request_defer(r, on_feed_cancelled, f);
        http_body_receive(r, on_body, f);
}
