/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/ask.h"

#include <stdio.h>
#include <string.h>

#include "coord/call.h"
#include "coord/find.h"
#include "coord/outgoing.h"
#include "coord/record.h"
#include "spec/json.h"

#define AT_ONCE 16U
#define PATIENCE_USEC (1 * USEC_PER_SEC)
#define QUESTIONS_PER_SEC 5000U
#define SESSIONS "/v1/sessions/"

struct Ask {
        Coordinator *coord; /* borrowed */
        AskDone *done;
        void *userdata;
        char *owner, *authorization; /* owned or NULL */
        Call *calls[AT_ONCE];
        size_t n_calls;
        char (*workers)[ID_MAX + 1]; /* owned: ids of those to be asked */
        size_t n_workers, next;
        char reason[32]; /* why it ended, or "" */
        bool unsure;     /* somebody gave no answer */
        bool found;
        bool finishing;
        sd_event_source *end;
        char target[sizeof SESSIONS + SESSION_ID_MAX];
};

Ask *ask_free(Ask *a) {
        if (!a)
                return NULL;
        for (size_t i = 0; i < AT_ONCE; i++)
                a->calls[i] = call_free(a->calls[i]);
        a->end = sd_event_source_disable_unref(a->end);
        free(a->workers);
        free(a->owner);
        free(a->authorization);
        free(a);
        return NULL;
}

static int on_end(sd_event_source *source, void *userdata) {
        Ask *a = userdata;

        (void) source;
        a->done(a, a->found ? 0 : a->reason[0] ? -EOWNERDEAD : a->unsure ? -EAGAIN : -ENOENT, a->reason, a->userdata);
        return 0;
}

static void end_soon(Ask *a) {
        if (a->finishing)
                return;
        a->finishing = true;
        (void) sd_event_source_set_enabled(a->end, SD_EVENT_ONESHOT);
}

static void take_answer(Ask *a, Call *c) {
        _cleanup_json_ json_t *j = c->body ? json_loadb(c->body, c->body_used, JSON_REJECT_DUPLICATES, NULL) : NULL;
        KnownSession *k;

        switch (call_status(c)) {
        case 200:
                a->found = j && learn_session(a->coord, c->worker, a->owner, j, &k) >= 0 &&
                           strcmp(k->id, a->target + strlen(SESSIONS)) == 0;
                a->unsure |= !a->found;
                if (a->found) /* it is not in the store, or something else is */
                        (void) record_put(a->coord, k, c->body, NULL, NULL, NULL);
                break;
        case 410: {
                const char *reason = json_string_value(json_object_get(j, "reason"));
                (void) snprintf(a->reason, sizeof a->reason, "%s", reason ? reason : "ended");
                break;
        }
        case 401:
        case 403:
        case 404:
                break;
        default:
                a->unsure = true;
        }
}

static void ask_next(Ask *a);

static void on_answer(Call *c, int result, void *userdata) {
        Ask *a = userdata;

        if (result == 0)
                take_answer(a, c);
        else {
                a->unsure = true;
                worker_doubt(c->worker);
        }
        for (size_t i = 0; i < AT_ONCE; i++)
                if (a->calls[i] == c)
                        a->calls[i] = call_free(c);
        a->n_calls--;
        ask_next(a);
}

static int ask_one(Ask *a, Worker *w, Call **ret) {
        FetchHeader headers[4];
        CallRequest q = { .method = "GET", .target = a->target, .headers = headers, .patience = PATIENCE_USEC };

        if (w->token[0])
                headers[q.n_headers++] = (FetchHeader){ HEADER_TOKEN, w->token };
        if (a->owner)
                headers[q.n_headers++] = (FetchHeader){ HEADER_OWNER, a->owner };
        if (a->authorization)
                headers[q.n_headers++] = (FetchHeader){ "Authorization", a->authorization };
        return call_start(w, &q, on_answer, a, ret);
}

static Call **free_place(Ask *a) {
        for (size_t i = 0; i < AT_ONCE; i++)
                if (!a->calls[i])
                        return a->calls + i;
        return NULL;
}

static void ask_next(Ask *a) {
        Call **place;

        while (!a->found && a->next < a->n_workers && (place = free_place(a))) {
                Worker *w = fleet_find(a->coord->fleet, a->workers[a->next++]);
                if (!w || !worker_is_reachable(w) || ask_one(a, w, place) < 0)
                        a->unsure = true;
                else
                        a->n_calls++;
        }
        if (a->found || a->n_calls == 0)
                end_soon(a);
}

/* Takes @n questions from this second's. */
bool ask_is_allowed(Coordinator *c, size_t n) {
        usec_t second = clock_monotonic() / USEC_PER_SEC;

        if (c->questions_second != second) {
                c->questions_second = second;
                c->n_questions = 0;
        }
        if (c->n_questions > 0 && c->n_questions + n > QUESTIONS_PER_SEC)
                return false;
        c->n_questions += (unsigned) n;
        return true;
}

static int list_workers(Ask *a) {
        size_t n = 0;

        for (Worker *w = fleet_first(a->coord->fleet); w; w = fleet_next(w))
                n++;
        a->workers = calloc(MAX(n, 1U), sizeof *a->workers);
        if (!a->workers)
                return -ENOMEM;
        for (Worker *w = fleet_first(a->coord->fleet); w; w = fleet_next(w))
                if (worker_is_reachable(w))
                        memcpy(a->workers[a->n_workers++], w->id, sizeof w->id);
        a->unsure = fleet_is_partial(a->coord->fleet);
        return 0;
}

static int keep_sender(Ask *a, const HttpRequest *r) {
        const char *owner = http_request_owner(r), *authorization = http_request_header(r, "Authorization"),
                   *key = http_request_header(r, "X-API-Key");
        const char *worker_key = a->coord->config->worker_key;

        if (worker_key[0])
                key = worker_key;
        if (owner && !(a->owner = strdup(owner)))
                return -ENOMEM;
        if (authorization && !worker_key[0])
                a->authorization = strdup(authorization);
        else if (key && asprintf(&a->authorization, "Bearer %s", key) < 0)
                a->authorization = NULL;
        return (authorization || key) && !a->authorization ? -ENOMEM : 0;
}

int ask_workers(Coordinator *c, const char *id, const HttpRequest *r, AskDone *done, void *userdata, Ask **ret) {
        _cleanup_(ask_freep) Ask *a = calloc(1, sizeof *a);

        if (!a)
                return -ENOMEM;
        a->coord = c;
        a->done = done;
        a->userdata = userdata;
        (void) snprintf(a->target, sizeof a->target, SESSIONS "%s", id);
        int k = keep_sender(a, r);
        if (k >= 0)
                k = list_workers(a);
        if (k >= 0 && !ask_is_allowed(c, a->n_workers))
                k = -EAGAIN;
        if (k >= 0)
                k = sd_event_add_defer(c->event, &a->end, on_end, a);
        if (k >= 0)
                k = sd_event_source_set_enabled(a->end, SD_EVENT_OFF);
        if (k < 0)
                return k;
        c->counters.asked++;
        ask_next(a);
        *ret = take_ptr(a);
        return 0;
}
