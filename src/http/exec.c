/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "http/api.h"

typedef struct PendingExec {
        HttpApi *api;
        HttpRequest *request;
        Session *session; /* owned */
        Exec *exec;       /* owned */
} PendingExec;

static void pending_exec_free(PendingExec *p) {
        (void) exec_unref(p->exec);
        (void) session_unref(p->session);
        free(p);
}

static void on_done(Exec *e, void *userdata) {
        PendingExec *p = userdata;

        if (e->error.kind != ERROR_NONE)
                http_answer_error(p->request, &e->error, -EIO);
        else
                http_answer_json(p->request, 200, exec_result(e));
        if (p->api->exec_done)
                p->api->exec_done(p->session, e, http_request_id(p->request), p->api->userdata);
        pending_exec_free(p);
}

/* Nobody waits for the result any more: the command ends, with all that it started. */
static void on_cancelled(HttpRequest *r, void *userdata) {
        PendingExec *p = userdata;

        p->exec->done = NULL;
        exec_kill(p->exec, EXEC_CANCELLED);
        if (p->api->exec_done) {
                p->exec->reason = EXEC_CANCELLED;
                p->exec->ended = clock_monotonic();
                p->api->exec_done(p->session, p->exec, http_request_id(r), p->api->userdata);
        }
        pending_exec_free(p);
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
        PendingExec *p = calloc(1, sizeof *p);
        int k = p ? exec_spec_read(&spec, body, length, &error) : -ENOMEM;
        if (k == 0)
                k = session_exec(s, &spec, on_done, p, &p->exec, &error);
        if (k < 0) {
                free(p);
                http_answer_error(r, &error, k);
                return;
        }
        p->api = api;
        p->request = r;
        p->session = session_ref(s);
        api->n_execs++;
        http_request_defer(r, on_cancelled, p);
}
