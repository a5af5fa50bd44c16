/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "coord/coord.h"
#include "coord/fence.h"
#include "coord/record.h"
#include "log/log.h"
#include "store/redis.h"

#define ANNOUNCED "workers" /* the set that sandboxd-announce writes: "ID URL" */
#define STEP_USEC (2 * USEC_PER_SEC)

/* --- workers that announce themselves --- */

/* The store may have been emptied, or be away when a worker wants to tell: one that answers is not taken for gone. */
static void keep_living(Fleet *f) {
        for (Worker *w = fleet_first(f); w; w = fleet_next(w))
                if (w->sources & WORKER_IN_STORE && w->live.state != LIVENESS_DOWN)
                        (void) fleet_found(f, w->url, WORKER_IN_STORE);
}

static void found(Coordinator *c, const char *member) {
        const char *url = strchr(member, ' ');

        if (url)
                (void) fleet_found(c->fleet, url + 1, WORKER_IN_STORE); /* or it is garbage */
}

static void on_announced(const StoreReply *reply, void *userdata) {
        Coordinator *c = userdata;
        size_t n = MIN(reply->n_members, (size_t) COORD_WORKERS_MAX);

        c->announced = NULL;
        c->store_settled = true;
        if (reply->result < 0)
                return; /* what was known stays true */
        fleet_sweep_begin(c->fleet, WORKER_IN_STORE);
        for (size_t i = 0; i < n; i++)
                found(c, reply->members[i]);
        keep_living(c->fleet);
        fleet_sweep_end(c->fleet, WORKER_IN_STORE);
}

static int on_step(sd_event_source *source, uint64_t usec, void *userdata) {
        Coordinator *c = userdata;

        (void) usec;
        (void) sd_event_source_set_time_relative(source, STEP_USEC);
        if (c->store->available && !c->announced)
                (void) c->store->ops->members(c->store, ANNOUNCED, on_announced, c, &c->announced);
        return 0;
}

/* --- the store --- */

static void on_store(Store *s, bool available, const char *reason, void *userdata) {
        Coordinator *c = userdata;

        (void) s;
        if (available) {
                log_event(LOG_INFO, &MESSAGE_STORE_UP, NULL, "Redis is there.");
                records_catch_up(c);
                fence_all(c);
                if (c->store_source)
                        (void) sd_event_source_set_time_relative(c->store_source, 0);
        } else {
                c->store_settled = true; /* nobody to wait for */
                log_event(LOG_WARNING, &MESSAGE_STORE_DOWN, LOG_FIELDS({ "REASON", reason }),
                        "Redis cannot be used; going on with what is known here. %s", reason);
        }
        coord_update_status(c);
}

int coord_open_store(Coordinator *c) {
        c->store_settled = !c->config->redis.host[0];
        if (c->store_settled)
                return store_memory_new(c->event, &c->store);
        int r = store_redis_new(c->event, &c->config->redis, &c->store);
        if (r < 0)
                return r;
        c->store->notify = on_store;
        c->store->userdata = c;
        r = sd_event_add_time_relative(
                c->event, &c->store_source, CLOCK_MONOTONIC, STEP_USEC, 10 * USEC_PER_MSEC, on_step, c);
        return r < 0 ? r : sd_event_source_set_enabled(c->store_source, SD_EVENT_ON);
}

void coord_close_store(Coordinator *c) {
        c->store_source = sd_event_source_disable_unref(c->store_source);
        c->store = store_free(c->store);
}

bool coord_store_is_settled(const Coordinator *c) {
        return c->store_settled;
}
