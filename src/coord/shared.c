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
        if (c->store->ops->is_shared && c->store->available && !c->announced)
                (void) c->store->ops->members(c->store, ANNOUNCED, on_announced, c, &c->announced);
        return 0;
}

/* --- the store --- */

static void tell_up(Coordinator *c, bool other) {
        log_event(LOG_INFO, &MESSAGE_STORE_UP, NULL, "Redis is there.");
        records_catch_up(c);
        fence_all(c, other);
        (void) sd_event_source_set_time_relative(c->store_source, 0);
}

static void on_store(Store *s, bool available, const char *reason, void *userdata) {
        Coordinator *c = userdata;

        (void) s;
        if (available)
                tell_up(c, false);
        else {
                c->store_settled = true; /* nobody to wait for */
                log_event(LOG_WARNING, &MESSAGE_STORE_DOWN, LOG_FIELDS({ "REASON", reason }),
                        "Redis cannot be used; going on with what is known here. %s", reason);
        }
        coord_update_status(c);
}

/* --- another one --- */

static void take_over(Coordinator *c);

/* All that the former store was asked is answered now, or too late. */
static int on_past(sd_event_source *source, uint64_t usec, void *userdata) {
        Coordinator *c = userdata;

        (void) source;
        (void) usec;
        c->store_past = store_free(c->store_past);
        if (c->store_next && c->store_next->available)
                take_over(c);
        return 0;
}

/* Without Redis, nobody announces himself: those that did are no workers any more, as after a restart. */
static void forget_announced(Coordinator *c) {
        fleet_sweep_begin(c->fleet, WORKER_IN_STORE);
        fleet_sweep_end(c->fleet, WORKER_IN_STORE);
}

/* The next store is the store from now on. Calls that are on their way are answered by the former one. */
static void take_over(Coordinator *c) {
        if (c->store_past)
                return; /* soon */
        (void) store_call_cancel(c->announced);
        c->announced = NULL;
        c->store_past = c->store;
        c->store_past->notify = NULL;
        c->store = take_ptr(c->store_next);
        c->store->notify = on_store;
        c->store_settled = true;
        (void) sd_event_source_set_time_relative(c->store_end, c->store_patience);
        (void) sd_event_source_set_enabled(c->store_end, SD_EVENT_ONESHOT);
        c->store_patience = c->config->redis.timeout + USEC_PER_SEC;
        if (c->store->ops->is_shared)
                tell_up(c, true);
        else {
                log_info("No Redis is used any more.");
                forget_announced(c);
        }
        coord_update_status(c);
}

/* Until it can be used, what was used before is: a word that is wrong costs nothing. */
static void on_next(Store *s, bool available, const char *reason, void *userdata) {
        Coordinator *c = userdata;

        (void) s;
        if (available)
                take_over(c);
        else
                log_event(LOG_WARNING, &MESSAGE_STORE_DOWN, LOG_FIELDS({ "REASON", reason }),
                        "The Redis that is configured now cannot be used; going on with what was used before. %s",
                        reason);
        coord_update_status(c);
}

static int open_store(Coordinator *c, StoreNotify *notify, Store **ret) {
        Store *s = NULL;
        int r = c->config->redis.host[0] ? store_redis_new(c->event, &c->config->redis, &s)
                                         : store_memory_new(c->event, &s);

        if (r < 0)
                return r;
        s->notify = notify;
        s->userdata = c;
        *ret = s;
        return 0;
}

void coord_change_store(Coordinator *c, const RedisSettings *former) {
        if (redis_settings_equal(&c->config->redis, former))
                return;
        c->store_next = store_free(c->store_next);
        int r = open_store(c, on_next, &c->store_next);
        if (r < 0) {
                (void) log_error_errno(r, "Another Redis cannot be used, the one from before is: %m");
                return;
        }
        if (c->store_next->available)
                take_over(c);
}

/* --- start and end --- */

int coord_open_store(Coordinator *c) {
        c->store_settled = !c->config->redis.host[0];
        c->store_patience = c->config->redis.timeout + USEC_PER_SEC;
        int r = open_store(c, on_store, &c->store);
        if (r >= 0)
                r = sd_event_add_time_relative(
                        c->event, &c->store_source, CLOCK_MONOTONIC, STEP_USEC, 10 * USEC_PER_MSEC, on_step, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->store_source, SD_EVENT_ON);
        if (r >= 0)
                r = sd_event_add_time(c->event, &c->store_end, CLOCK_MONOTONIC, 0, 100 * USEC_PER_MSEC, on_past, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->store_end, SD_EVENT_OFF);
        /* whatever else is due, such as that an answer comes too late, comes first */
        return r < 0 ? r : sd_event_source_set_priority(c->store_end, SD_EVENT_PRIORITY_NORMAL + 1);
}

void coord_close_store(Coordinator *c) {
        c->store_source = sd_event_source_disable_unref(c->store_source);
        c->store_end = sd_event_source_disable_unref(c->store_end);
        c->store_next = store_free(c->store_next);
        c->store_past = store_free(c->store_past);
        c->store = store_free(c->store);
}

bool coord_store_is_settled(const Coordinator *c) {
        return c->store_settled;
}

const char *coord_store_trouble(const Coordinator *c) {
        if (c->store_next && c->store_next->reason[0])
                return c->store_next->reason;
        return c->store->available ? NULL : c->store->reason;
}
