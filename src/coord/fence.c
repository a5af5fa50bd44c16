/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/fence.h"

#include <stdio.h>
#include <string.h>

#include "coord/call.h"
#include "coord/find.h"
#include "coord/outgoing.h"
#include "coord/record.h"
#include "coord/revoke.h"
#include "log/log.h"
#include "spec/json.h"

#define PATIENCE_USEC (5 * USEC_PER_SEC)
#define PAGE "1000"
#define PAGES_MAX 1000U /* of 1000 sessions: more than are remembered of all workers */
/* Others wait for what a worker knows that the store may have lost; not for one that goes on and on. */
#define RESYNC_USEC (10 * USEC_PER_SEC)

typedef struct Fence {
        Job job;
        char worker_id[ID_MAX + 1];
        char token[ID_MAX + 1];
        StoreCall *store_call;
        Call *call;
        json_t *given; /* owned: ids */
        char *body;    /* owned */
        char target[128];
        unsigned n_pages;
        usec_t started; /* monotonic */
        bool resync;    /* it is not new: the store is; counted while others wait for it */
} Fence;

static void end_resync(Fence *f) {
        f->job.coord->n_resyncs -= f->resync;
        f->resync = false;
}

static Fence *fence_free(Fence *f) {
        if (!f)
                return NULL;
        (void) store_call_cancel(f->store_call);
        f->call = call_free(f->call);
        end_resync(f);
        job_done(&f->job);
        json_decref(f->given);
        free(f->body);
        free(f);
        return NULL;
}

static void end_job(Job *job) {
        (void) fence_free(CONTAINER_OF(job, Fence, job));
}

/* The worker, if it is still the one that this is about. */
static Worker *find_worker(Fence *f) {
        Worker *w = fleet_find(f->job.coord->fleet, f->worker_id);

        return w && w->fence == f && strcmp(w->token, f->token) == 0 ? w : NULL;
}

static void finish(Fence *f) {
        Worker *w = fleet_find(f->job.coord->fleet, f->worker_id);
        Coordinator *c = f->job.coord;

        if (!w || w->fence != f)
                w = NULL; /* another is at it, or it is not there any more */
        (void) fence_free(f);
        if (w) {
                w->fence = NULL;
                fleet_set_fencing(w, false);
                revocations_retry(c->revocations, w);
        }
}

static int call(Fence *f, Worker *w, const char *method, const char *body, CallDone *done) {
        char authorization[API_KEY_MAX + 16];
        const char *key = f->job.coord->config->worker_key;
        FetchHeader headers[3];
        CallRequest q = {
                .method = method,
                .target = f->target,
                .headers = headers,
                .body = body,
                .body_size = body ? strlen(body) : 0,
                .patience = PATIENCE_USEC,
        };

        if (w->token[0])
                headers[q.n_headers++] = (FetchHeader){ HEADER_TOKEN, w->token };
        if (key[0]) {
                (void) snprintf(authorization, sizeof authorization, "Bearer %s", key);
                headers[q.n_headers++] = (FetchHeader){ "Authorization", authorization };
        }
        if (body)
                headers[q.n_headers++] = (FetchHeader){ "Content-Type", "application/json" };
        return call_start(w, &q, done, f, &f->call);
}

/* --- what it holds --- */

static void list_page(Fence *f, const char *next);

/* All that was on no page has ended. */
static void drop_unseen(Fence *f, Worker *w) {
        KnownSession *k, *next;

        for (k = TAILQ_FIRST(&w->sessions); k; k = next) {
                next = TAILQ_NEXT(k, by_worker);
                if (k->seen || k->lost)
                        continue;
                record_drop(f->job.coord, k);
                sessions_drop(k);
        }
        w->synced = true;
}

static void take_page(Fence *f, Worker *w, json_t *page) {
        Coordinator *c = f->job.coord;
        json_t *list = json_object_get(page, "sessions"), *item;
        size_t i;

        json_array_foreach(list, i, item) {
                const char *id = json_string_value(json_object_get(item, "session_id"));
                KnownSession *k = id ? sessions_find(c->sessions, id) : NULL;
                if (k && k->lost) {
                        revoke_session(c->revocations, w->id, id);
                        continue;
                }
                if (learn_session(c, w, NULL, item, &k) < 0)
                        continue;
                k->seen = true;
                if (c->store->ops->is_shared) {
                        _cleanup_free_ char *text = json_dumps(item, JSON_COMPACT);
                        if (text)
                                (void) record_put(c, k, text, NULL, NULL, NULL);
                }
        }
}

static void on_page(Call *call, int result, void *userdata) {
        Fence *f = userdata;
        Worker *w = find_worker(f);
        unsigned status = result == 0 ? call_status(call) : 0;
        _cleanup_json_ json_t *page = status == 200 && call->body
                                              ? json_loadb(call->body, call->body_used, JSON_REJECT_DUPLICATES, NULL)
                                              : NULL;
        char next[sizeof f->target / 2] = "";

        f->call = call_free(call);
        if (!w || !json_is_array(json_object_get(page, "sessions"))) {
                finish(f); /* it went away, or does not tell: its sessions are found when they are asked for */
                return;
        }
        take_page(f, w, page);
        const char *token = json_string_value(json_object_get(page, "next"));
        if (token &&
                strspn(token, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == strlen(token))
                (void) snprintf(next, sizeof next, "%s", token);
        if (next[0]) {
                list_page(f, next);
                return;
        }
        drop_unseen(f, w);
        finish(f);
}

static void list_page(Fence *f, const char *next) {
        Worker *w = find_worker(f);

        (void) snprintf(
                f->target, sizeof f->target, "/v1/sessions?limit=" PAGE "%s%s", next ? "&next=" : "", next ? next : "");
        if (clock_monotonic() > f->started + RESYNC_USEC)
                end_resync(f);
        if (!w || ++f->n_pages > PAGES_MAX || call(f, w, "GET", NULL, on_page) < 0)
                finish(f);
}

static void begin_list(Fence *f) {
        Worker *w = find_worker(f);
        KnownSession *k;

        if (w) {
                TAILQ_FOREACH(k, &w->sessions, by_worker)
                k->seen = false;
        }
        list_page(f, NULL);
}

/* --- what was given away --- */

static void on_fenced(Call *call, int result, void *userdata) {
        Fence *f = userdata;
        Coordinator *c = f->job.coord;
        unsigned status = result == 0 ? call_status(call) : 0;
        char set[sizeof GIVEN_PREFIX + ID_MAX];
        json_t *id;
        size_t i;

        f->call = call_free(call);
        (void) snprintf(set, sizeof set, GIVEN_PREFIX "%s", f->worker_id);
        json_array_foreach(f->given, i, id) {
                if (status != 200 && status != 204) /* an older worker: one by one */
                        revoke_session(c->revocations, f->worker_id, json_string_value(id));
                if (status == 200 || status == 204 || status == 404 || status == 405)
                        (void) c->store->ops->remove(c->store, set, json_string_value(id));
        }
        Worker *w = find_worker(f);
        if (w && status == 200)
                worker_look(w); /* at its new token */
        begin_list(f);
}

static void on_given(const StoreReply *reply, void *userdata) {
        Fence *f = userdata;
        Worker *w = find_worker(f);
        KnownSession *k;

        f->store_call = NULL;
        f->given = json_array();
        for (size_t i = 0; reply->result == 0 && i < reply->n_members; i++) {
                const char *id = reply->members[i];
                if (!id_is_valid(id))
                        continue;
                (void) json_array_append_new(f->given, json_string(id));
                k = sessions_find(f->job.coord->sessions, id);
                if (k)
                        sessions_set_lost(k);
        }
        if (!w || json_array_size(f->given) == 0) {
                begin_list(f);
                return;
        }
        log_event(LOG_NOTICE, &MESSAGE_WORKER_FENCED, LOG_FIELDS({ "WORKER_ID", f->worker_id }),
                "Worker %s is back; %zu of its sessions were given up meanwhile and end.", f->worker_id,
                json_array_size(f->given));
        json_t *body = json_pack("{sO}", "sessions", f->given);
        f->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
        json_decref(body);
        (void) snprintf(f->target, sizeof f->target, "/v1/workers/%s/fence", f->worker_id);
        if (!f->body || call(f, w, "POST", f->body, on_fenced) < 0)
                begin_list(f);
}

static void begin(Coordinator *c, Worker *w, bool resync) {
        char set[sizeof GIVEN_PREFIX + ID_MAX];
        Fence *f;

        w->fence = fence_free(w->fence);
        f = w->fence = calloc(1, sizeof *f);
        if (!f)
                return; /* out of memory: its sessions are found when they are asked for */
        job_begin(c, &f->job, end_job);
        memcpy(f->worker_id, w->id, sizeof f->worker_id);
        memcpy(f->token, w->token, sizeof f->token);
        f->started = clock_monotonic();
        f->resync = resync;
        c->n_resyncs += resync;
        (void) snprintf(set, sizeof set, GIVEN_PREFIX "%s", w->id);
        if (!c->store->available || c->store->ops->members(c->store, set, on_given, f, &f->store_call) < 0)
                begin_list(f);
}

void fence_worker(Coordinator *c, Worker *w) {
        begin(c, w, false);
        if (w->fence)
                fleet_set_fencing(w, true);
}

void fence_all(Coordinator *c, bool other) {
        for (Worker *w = fleet_first(c->fleet); w; w = fleet_next(w))
                if (w->fence ? other : worker_is_reachable(w)) {
                        begin(c, w, worker_is_reachable(w));
                        if (!w->fence && w->fencing) /* out of memory */
                                fleet_set_fencing(w, false);
                }
}
