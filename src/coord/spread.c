/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/spread.h"

#include <stdio.h>
#include <string.h>

#include "coord/ask.h"
#include "coord/outgoing.h"

#define AT_ONCE 16U
#define PATIENCE_USEC (3 * USEC_PER_SEC)

struct Spread {
        Coordinator *coord;         /* borrowed */
        const HttpRequest *request; /* borrowed */
        SpreadDone *done;
        void *userdata;
        const char *method; /* borrowed */
        char target[128];
        Call *calls[AT_ONCE];
        size_t n_calls;
        char (*workers)[ID_MAX + 1]; /* owned: ids of those to be asked */
        size_t n_workers, next;
        bool unsure; /* somebody gave no answer */
        Call *found; /* borrowed from @calls */
        sd_event_source *end;
        Outgoing head;
};

Spread *spread_free(Spread *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < AT_ONCE; i++)
                s->calls[i] = call_free(s->calls[i]);
        s->end = sd_event_source_disable_unref(s->end);
        free(s->workers);
        free(s);
        return NULL;
}

static int on_end(sd_event_source *source, void *userdata) {
        Spread *s = userdata;

        (void) source;
        s->done(s, s->found, s->found ? 0 : s->unsure ? -EAGAIN : -ENOENT, s->userdata);
        return 0;
}

static void ask_next(Spread *s);

static void on_answer(Call *c, int result, void *userdata) {
        Spread *s = userdata;
        unsigned status = result == 0 ? call_status(c) : 0;

        s->n_calls--;
        if (result < 0)
                worker_doubt(c->worker);
        if (!s->found && result == 0 && status != 404 && status != 421 && status < 500) {
                s->found = c; /* freed with the spread */
                (void) sd_event_source_set_enabled(s->end, SD_EVENT_ONESHOT);
                return;
        }
        s->unsure |= result < 0 || status != 404;
        for (size_t i = 0; i < AT_ONCE; i++)
                if (s->calls[i] == c)
                        s->calls[i] = call_free(c);
        ask_next(s);
}

static int ask_one(Spread *s, Worker *w, Call **ret) {
        Error error = { 0 };

        int r = outgoing_make(&s->head, s->coord, s->request, w, &error);
        error_clear(&error);
        if (r < 0)
                return r;
        CallRequest q = {
                .method = s->method,
                .target = s->target,
                .headers = s->head.headers,
                .n_headers = s->head.n,
                .patience = PATIENCE_USEC,
        };
        return call_start(w, &q, on_answer, s, ret);
}

static Call **free_place(Spread *s) {
        for (size_t i = 0; i < AT_ONCE; i++)
                if (!s->calls[i])
                        return s->calls + i;
        return NULL;
}

static void ask_next(Spread *s) {
        Call **place;

        while (!s->found && s->next < s->n_workers && (place = free_place(s))) {
                Worker *w = fleet_find(s->coord->fleet, s->workers[s->next++]);
                if (!w || !worker_is_reachable(w) || ask_one(s, w, place) < 0)
                        s->unsure = true;
                else
                        s->n_calls++;
        }
        if (!s->found && s->n_calls == 0)
                (void) sd_event_source_set_enabled(s->end, SD_EVENT_ONESHOT);
}

static int list_workers(Spread *s) {
        size_t n = 0;

        for (Worker *w = fleet_first(s->coord->fleet); w; w = fleet_next(w))
                n++;
        s->workers = calloc(MAX(n, 1U), sizeof *s->workers);
        if (!s->workers)
                return -ENOMEM;
        for (Worker *w = fleet_first(s->coord->fleet); w; w = fleet_next(w))
                if (worker_is_reachable(w))
                        memcpy(s->workers[s->n_workers++], w->id, sizeof w->id);
                else if (!w->alias && !w->conflict)
                        s->unsure = true;
        return 0;
}

int spread_start(Coordinator *c, const HttpRequest *r, const char *method, const char *target, SpreadDone *done,
        void *userdata, Spread **ret) {
        _cleanup_(spread_freep) Spread *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        s->coord = c;
        s->request = r;
        s->done = done;
        s->userdata = userdata;
        s->method = method;
        int k = snprintf(s->target, sizeof s->target, "%s", target);
        if (k < 0 || (size_t) k >= sizeof s->target)
                return -ENAMETOOLONG;
        k = list_workers(s);
        if (k >= 0 && !ask_is_allowed(c, s->n_workers))
                k = -EAGAIN;
        if (k >= 0)
                k = sd_event_add_defer(c->event, &s->end, on_end, s);
        if (k >= 0)
                k = sd_event_source_set_enabled(s->end, SD_EVENT_OFF);
        if (k < 0)
                return k;
        ask_next(s);
        *ret = take_ptr(s);
        return 0;
}
