/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "http/api.h"

typedef struct PendingExec {
        HttpRequest *request;
        Exec *exec;        /* owned */
        ExecReader reader; /* of one that has to be known to run */
} PendingExec;

static void pending_exec_free(PendingExec *p) {
        exec_reader_detach(p->exec, &p->reader);
        (void) exec_unref(p->exec);
        free(p);
}

static void release_exec(void *data) {
        (void) exec_unref(data);
}

static void on_done(Exec *e, void *userdata) {
        PendingExec *p = userdata;

        /* what was kept of its output counts until the answer, which is as long, has left */
        http_request_keep(p->request, release_exec, exec_ref(e));
        if (e->error.kind != ERROR_NONE)
                http_answer_error(p->request, &e->error, -EIO);
        else
                http_answer_json_text(p->request, 200, exec_result_text(e, true));
        pending_exec_free(p);
}

/* Nobody waits for the result any more: the command ends, with all that it started. */
static void on_cancelled(HttpRequest *r, void *userdata) {
        PendingExec *p = userdata;

        (void) r;
        p->exec->done = NULL;
        exec_kill(p->exec, EXEC_CANCELLED);
        pending_exec_free(p);
}

static void run_and_wait(HttpRequest *r, HttpApi *api, Session *s, ExecSpec *spec) {
        PendingExec *p = calloc(1, sizeof *p);
        Error error = { 0 };

        int k = p ? session_exec(s, spec, false, on_done, p, &p->exec, &error) : -ENOMEM;
        if (k < 0) {
                free(p);
                http_answer_error(r, &error, k);
                return;
        }
        p->request = r;
        api->n_execs++;
        http_request_defer(r, on_cancelled, p);
}

static void on_started(ExecReader *reader) {
        PendingExec *p = CONTAINER_OF(reader, PendingExec, reader);
        Exec *e = p->exec;

        if (e->pid == 0 && !e->is_done)
                return;
        if (e->error.kind != ERROR_NONE)
                http_answer_error(p->request, &e->error, -EIO);
        else
                http_answer_json(p->request, 202, exec_describe(e));
        pending_exec_free(p);
}

static void on_start_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        pending_exec_free(userdata); /* it goes on */
}

/* Answers once the command is known to run; it goes on by itself. */
static void start_background(HttpRequest *r, HttpApi *api, Session *s, ExecSpec *spec) {
        PendingExec *p = calloc(1, sizeof *p);
        Error error = { 0 };

        int k = p ? session_exec(s, spec, true, NULL, NULL, &p->exec, &error) : -ENOMEM;
        if (k < 0) {
                free(p);
                http_answer_error(r, &error, k);
                return;
        }
        api->n_execs++;
        p->request = r;
        p->reader.wake = on_started;
        exec_reader_attach(p->exec, &p->reader, UINT64_MAX); /* reads nothing, holds nothing up */
        http_request_defer(r, on_start_cancelled, p);
}

void http_exec(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        _cleanup_exec_spec_ ExecSpec spec = { .output_max = session_manager_settings(api->sessions)->output_max };
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        Session *s = http_find_session(r, api);

        if (!s)
                return;
        int k = exec_spec_read(&spec, body, length, &error);
        if (k < 0) {
                http_answer_error(r, &error, k);
                return;
        }
        spec.request_id = http_request_id(r);
        spec.caller = http_request_caller(r);
        if (http_wants_events(r))
                http_exec_stream(r, api, s, &spec);
        else if (spec.background || spec.pty)
                start_background(r, api, s, &spec);
        else
                run_and_wait(r, api, s, &spec);
}
