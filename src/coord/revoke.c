/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/revoke.h"

#include <stdio.h>
#include <string.h>

#include "coord/call.h"
#include "coord/outgoing.h"

#define REVOCATIONS_MAX 16384U /* beyond that the sessions end by their own time limit */
#define PATIENCE_USEC (10 * USEC_PER_SEC)
#define RETRY_USEC (1 * USEC_PER_SEC)
#define LIFE_USEC (24 * 3600 * USEC_PER_SEC)

typedef struct Revocation {
        Revocations *all; /* borrowed */
        char worker_id[ID_MAX + 1];
        char target[96];
        usec_t deadline; /* monotonic: after that it has ended by itself */
        Call *call;
        TAILQ_ENTRY(Revocation) entry;
} Revocation;

struct Revocations {
        Coordinator *coord; /* borrowed */
        TAILQ_HEAD(, Revocation) list;
        size_t n;
        sd_event_source *timer;
};

static Revocation *revocation_free(Revocation *v) {
        TAILQ_REMOVE(&v->all->list, v, entry);
        v->all->n--;
        v->call = call_free(v->call);
        free(v);
        return NULL;
}

static void retry_later(Revocations *r) {
        (void) sd_event_source_set_time_relative(r->timer, RETRY_USEC);
        (void) sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

static void on_done(Call *c, int result, void *userdata) {
        Revocation *v = userdata;
        unsigned status = result == 0 ? call_status(c) : 0;

        v->call = call_free(v->call);
        /* 404, 410: a worker of a former version, where there is none */
        if (status == 204 || status == 404 || status == 410)
                (void) revocation_free(v);
        else
                retry_later(v->all);
}

static void try(Revocation *v) {
        Worker *w = fleet_find(v->all->coord->fleet, v->worker_id);
        char authorization[API_KEY_MAX + 16];
        const char *key = v->all->coord->config->worker_key;
        FetchHeader headers[3];
        CallRequest q = { .method = "DELETE", .target = v->target, .headers = headers, .patience = PATIENCE_USEC };

        if (v->call || !w || (w->live.state != LIVENESS_UP && w->live.state != LIVENESS_SUSPECT))
                return;
        headers[q.n_headers++] = (FetchHeader){ HEADER_REVOKE, "1" };
        if (w->token[0])
                headers[q.n_headers++] = (FetchHeader){ HEADER_TOKEN, w->token };
        if (key[0]) {
                (void) snprintf(authorization, sizeof authorization, "Bearer %s", key);
                headers[q.n_headers++] = (FetchHeader){ "Authorization", authorization };
        }
        if (call_start(w, &q, on_done, v, &v->call) < 0)
                retry_later(v->all);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Revocations *r = userdata;
        Revocation *v, *next;
        usec_t now = clock_monotonic();

        (void) source;
        (void) usec;
        for (v = TAILQ_FIRST(&r->list); v; v = next) {
                next = TAILQ_NEXT(v, entry);
                if (now >= v->deadline)
                        (void) revocation_free(v);
                else
                        try(v);
        }
        return 0;
}

void revoke_session(Revocations *r, const char *worker_id, const char *id) {
        Revocation *v = r->n < REVOCATIONS_MAX ? calloc(1, sizeof *v) : NULL;

        if (!v)
                return;
        v->all = r;
        v->deadline = clock_monotonic() + LIFE_USEC;
        (void) snprintf(v->worker_id, sizeof v->worker_id, "%s", worker_id);
        (void) snprintf(v->target, sizeof v->target, "/v1/sessions/%s", id);
        TAILQ_INSERT_TAIL(&r->list, v, entry);
        r->n++;
        try(v);
}

void revocations_retry(Revocations *r, Worker *w) {
        Revocation *v, *next;

        for (v = TAILQ_FIRST(&r->list); v; v = next) {
                next = TAILQ_NEXT(v, entry);
                if (strcmp(v->worker_id, w->id) == 0)
                        try(v);
        }
}

size_t revocations_pending(const Revocations *r, const char *worker_id) {
        Revocation *v;
        size_t n = 0;

        TAILQ_FOREACH(v, &r->list, entry)
        n += strcmp(v->worker_id, worker_id) == 0;
        return n;
}

int revocations_new(Coordinator *c, Revocations **ret) {
        Revocations *r = calloc(1, sizeof *r);

        if (!r)
                return -ENOMEM;
        r->coord = c;
        TAILQ_INIT(&r->list);
        int k = sd_event_add_time(c->event, &r->timer, CLOCK_MONOTONIC, 0, 100 * USEC_PER_MSEC, on_timer, r);
        if (k >= 0)
                k = sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
        if (k < 0) {
                (void) revocations_free(r);
                return k;
        }
        *ret = r;
        return 0;
}

Revocations *revocations_free(Revocations *r) {
        Revocation *v;

        if (!r)
                return NULL;
        while ((v = TAILQ_FIRST(&r->list)))
                (void) revocation_free(v);
        r->timer = sd_event_source_disable_unref(r->timer);
        free(r);
        return NULL;
}
