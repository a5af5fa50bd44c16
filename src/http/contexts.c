/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/api.h"

/* Interpreters that keep their state. */

static Context *find_context(HttpRequest *r, HttpApi *api) {
        Session *s = http_find_session(r, api);
        Error error = { 0 };
        Context *c;

        if (!s)
                return NULL;
        if (strcmp(http_request_method(r), "GET") != 0)
                (void) session_resume(s); /* it is to do something */
        int k = context_find(s, http_request_parameter(r, 1), &c, &error);
        if (k == 0)
                return c;
        http_answer_error(r, &error, k);
        return NULL;
}

/* --- waiting for the start or the end of one --- */

typedef struct Waiting {
        HttpRequest *request;
        Context *context; /* owned */
        ContextWaiter waiter;
        void (*answer)(HttpRequest *r, Context *c);
} Waiting;

static void waiting_free(Waiting *w) {
        context_waiter_cancel(&w->waiter);
        (void) context_unref(w->context);
        free(w);
}

static void on_changed(ContextWaiter *waiter) {
        Waiting *w = CONTAINER_OF(waiter, Waiting, waiter);

        w->answer(w->request, w->context);
        waiting_free(w);
}

static void on_wait_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        waiting_free(userdata);
}

/* Gives @answer once @c has started, or has ended. */
static void answer_then(HttpRequest *r, Context *c, bool for_end, void (*answer)(HttpRequest *r, Context *c)) {
        Waiting *w = calloc(1, sizeof *w);
        Error error = { 0 };

        if (!w) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        *w = (Waiting){
                .request = r,
                .context = context_ref(c),
                .waiter = { .for_end = for_end, .changed = on_changed },
                .answer = answer,
        };
        if (context_wait(c, &w->waiter))
                http_request_defer(r, on_wait_cancelled, w);
        else
                on_changed(&w->waiter);
}

static void answer_created(HttpRequest *r, Context *c) {
        Error error = { 0 };
        char location[128];

        if (c->state == CONTEXT_ENDED) {
                int k = context_explain(c, &error);
                context_end(c);
                http_answer_error(r, &error, k);
                return;
        }
        (void) snprintf(location, sizeof location, "/v1/sessions/%s/contexts/%s", http_request_parameter(r, 0), c->id);
        http_request_set_header(r, "Location", location);
        http_answer_json(r, 201, context_describe(c));
}

static void answer_restarted(HttpRequest *r, Context *c) {
        Error error = { 0 };

        if (c->state == CONTEXT_ENDED) {
                int k = context_explain(c, &error);
                http_answer_error(r, &error, k);
        } else
                http_answer_json(r, 200, context_describe(c));
}

static void answer_ended(HttpRequest *r, Context *c) {
        (void) c;
        http_answer_empty(r, 204);
}

/* --- routes --- */

void http_context_create(HttpRequest *r, void *userdata) {
        _cleanup_context_spec_ ContextSpec spec = { 0 };
        Session *s = http_find_session(r, userdata);
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        Context *c;

        if (!s)
                return;
        int k = context_spec_read(&spec, body, length, &error);
        if (k == 0)
                (void) session_resume(s);
        if (k == 0)
                k = context_start(s, &spec, &c, &error);
        if (k < 0)
                http_answer_error(r, &error, k);
        else
                answer_then(r, c, false, answer_created);
}

void http_context_list(HttpRequest *r, void *userdata) {
        Session *s = http_find_session(r, userdata);
        json_t *list;
        Context *c;

        if (!s)
                return;
        list = json_array();
        TAILQ_FOREACH(c, &s->contexts, entry)
        (void) json_array_append_new(list, context_describe(c));
        http_answer_json(r, 200, json_pack("{so}", "contexts", list));
}

void http_context_show(HttpRequest *r, void *userdata) {
        Context *c = find_context(r, userdata);

        if (c)
                http_answer_json(r, 200, context_describe(c));
}

void http_context_delete(HttpRequest *r, void *userdata) {
        Context *c = find_context(r, userdata);

        if (!c)
                return;
        (void) context_ref(c);
        context_end(c);
        answer_then(r, c, true, answer_ended);
        (void) context_unref(c);
}

void http_context_interrupt(HttpRequest *r, void *userdata) {
        Context *c = find_context(r, userdata);
        Error error = { 0 };

        if (!c)
                return;
        int k = context_interrupt(c, &error);
        if (k < 0)
                http_answer_error(r, &error, k);
        else
                http_answer_empty(r, 204);
}

void http_context_restart(HttpRequest *r, void *userdata) {
        Context *c = find_context(r, userdata);
        Error error = { 0 };

        if (!c)
                return;
        int k = context_restart(c, &error);
        if (k < 0)
                http_answer_error(r, &error, k);
        else
                answer_then(r, c, false, answer_restarted);
}

/* --- code --- */

typedef struct PendingRun {
        HttpRequest *request;
        HttpEvents *events; /* NULL: one answer */
        Run *run;           /* owned */
        bool exit_sent;
} PendingRun;

static void pending_free(PendingRun *p) {
        (void) run_unref(p->run);
        free(p);
}

static void release_run(void *data) {
        (void) run_unref(data);
}

static void on_run_news(Run *run, void *userdata) {
        PendingRun *p = userdata;

        if (p->events)
                http_events_wake(p->events);
        else if (run->over) {
                run->wake = NULL;
                /* what is kept of it counts until the answer, which is as long, has left */
                http_request_keep(p->request, release_run, run_ref(run));
                http_answer_json(p->request, 200, run_describe(run));
                pending_free(p);
        }
}

static void on_run_cancelled(HttpRequest *r, void *userdata) {
        PendingRun *p = userdata;

        (void) r;
        context_run_cancel(p->run);
        pending_free(p);
}

static int next_event(HttpEvents *e, void *userdata) {
        PendingRun *p = userdata;
        Run *run = p->run;
        json_t *result;
        OutputPiece piece;
        uint64_t limit, next;
        int k;

        switch (run_next(run, &piece, &limit, &result)) {
        case RUN_STARTED:
                return http_events_put(e, "start",
                        json_pack("{ss sI ss}", "context_id", run->context->id, "run", (json_int_t) run->number,
                                "exec_id", run->exec->id));
        case RUN_OUTPUT:
                k = http_events_put_output(e, run->exec, &piece, limit, &next);
                if (k > 0)
                        run_advance(run, next);
                return k;
        case RUN_RESULT:
                return http_events_put(e, "result", result);
        case RUN_OVER:
                if (p->exit_sent)
                        return HTTP_STREAM_END;
                p->exit_sent = true;
                return http_events_put(e, "exit", run_describe(run));
        default:
                return 0;
        }
}

static void on_events_ended(bool gone, void *userdata) {
        PendingRun *p = userdata;

        (void) gone;
        context_run_cancel(p->run); /* nothing, when it is over */
        pending_free(p);
}

static void begin_events(HttpRequest *r, PendingRun *p) {
        static const HttpEventsHandlers handlers = { .next = next_event, .ended = on_events_ended };
        Error error = { 0 };

        if (http_events_begin(r, p->run->context->event, &handlers, p, &p->events) == 0)
                return;
        on_events_ended(true, p);
        http_answer_error(r, &error, -ENOMEM);
}

void http_context_run(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        _cleanup_run_spec_ RunSpec spec = { .output_max = session_manager_settings(api->sessions)->output_max };
        Context *c = find_context(r, api);
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        bool follows = http_wants_events(r);

        if (!c)
                return;
        int k = run_spec_read(&spec, body, length, &error);
        PendingRun *p = k < 0 ? NULL : calloc(1, sizeof *p);
        if (k >= 0 && !p)
                k = -ENOMEM;
        if (k >= 0) {
                spec.request_id = http_request_id(r);
                p->request = r;
                k = context_run(c, &spec, follows, on_run_news, p, &p->run, &error);
        }
        if (k < 0) {
                free(p);
                http_answer_error(r, &error, k);
        } else if (follows)
                begin_events(r, p);
        else
                http_request_defer(r, on_run_cancelled, p);
}
