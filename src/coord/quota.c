/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/quota.h"

#include <stdio.h>
#include <string.h>

#define PLACE_LIFE_USEC (90 * USEC_PER_SEC) /* longer than the attempts */
#define OWNER_PREFIX "owner:"
#define SET_NAME_MAX (sizeof OWNER_PREFIX + API_KEY_NAME_MAX)

static void set_name(const char *owner, char name[static SET_NAME_MAX]) {
        (void) snprintf(name, SET_NAME_MAX, OWNER_PREFIX "%s", owner);
}

static bool is_shared(const Coordinator *c) {
        return c->config->sessions_per_key > 0 && c->store->ops->is_shared && c->store->available;
}

static int refuse(unsigned max, Error *error) {
        char limit[32];

        (void) snprintf(limit, sizeof limit, "%u sessions", max);
        return error_set_field(error, ERROR_QUOTA, "", limit, "This key has %u sessions, as many as it may have.", max);
}

static void on_reserved(const StoreReply *reply, void *userdata) {
        Create *x = userdata;
        Error error = { 0 };

        x->store_call = NULL;
        if (reply->result == -EDQUOT)
                create_fail(x, &error, refuse(x->job.coord->config->sessions_per_key, &error));
        else
                create_try(x); /* when the store is away, what is known here counts */
}

int quota_reserve(Create *x, Error *error) {
        Coordinator *c = x->job.coord;
        unsigned max = c->config->sessions_per_key;
        char set[SET_NAME_MAX];

        if (max == 0 || !x->owner || x->reserved)
                return 0;
        if (sessions_count(c->sessions, x->owner) >= max)
                return refuse(max, error);
        x->reserved = true;
        sessions_reserve(c->sessions, x->owner, true);
        if (!is_shared(c))
                return 0;
        set_name(x->owner, set);
        return c->store->ops->add(c->store, set, x->claim_id, PLACE_LIFE_USEC, max, on_reserved, x, &x->store_call) < 0
                       ? 0
                       : 1;
}

void quota_release(Create *x) {
        Coordinator *c = x->job.coord;
        char set[SET_NAME_MAX];

        if (!x->reserved)
                return;
        x->reserved = false;
        sessions_reserve(c->sessions, x->owner, false);
        if (!is_shared(c))
                return;
        set_name(x->owner, set);
        (void) c->store->ops->remove(c->store, set, x->claim_id);
}

int quota_reserve_fork(Coordinator *c, const char *owner, unsigned count, unsigned *ret_taken, Error *error) {
        unsigned max = c->config->sessions_per_key, n = sessions_count(c->sessions, owner);
        char limit[32];

        *ret_taken = 0;
        if (max == 0 || !owner)
                return 0;
        if (n > max || count > max - n) {
                (void) snprintf(limit, sizeof limit, "%u sessions", max);
                return error_set_field(error, ERROR_QUOTA, "count", limit,
                        "This key has %u sessions; with %u more it would have more than it may have.", n, count);
        }
        for (unsigned i = 0; i < count; i++)
                sessions_reserve(c->sessions, owner, true);
        *ret_taken = count;
        return 0;
}

void quota_release_fork(Coordinator *c, const char *owner, unsigned taken) {
        for (unsigned i = 0; i < taken; i++)
                sessions_reserve(c->sessions, owner, false);
}

void quota_keep(Coordinator *c, const KnownSession *k) {
        usec_t now = clock_realtime();
        char set[SET_NAME_MAX];

        if (!k->owner || k->expires <= now || !is_shared(c))
                return;
        set_name(k->owner, set);
        (void) c->store->ops->add(c->store, set, k->id, k->expires - now, 0, NULL, NULL, NULL);
}

void quota_drop(Coordinator *c, const KnownSession *k) {
        char set[SET_NAME_MAX];

        if (!k->owner || !is_shared(c))
                return;
        set_name(k->owner, set);
        (void) c->store->ops->remove(c->store, set, k->id);
}
