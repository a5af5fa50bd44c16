/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/quota.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define PLACE_LIFE_USEC (90 * USEC_PER_SEC) /* longer than the attempts */
#define TIGHT_USEC (10 * USEC_PER_SEC)
#define OWNER_PREFIX "owner:"
#define SET_NAME_MAX (sizeof OWNER_PREFIX + API_KEY_NAME_MAX)
#define PLACE_MAX (UUID_TEXT_MAX + 11U) /* "UUID.N" */

struct QuotaPlaces {
        Coordinator *coord; /* borrowed */
        unsigned n, n_used;
        StoreCall *call;
        QuotaDone *done;
        void *userdata;
        bool in_store; /* or never: it was away */
        char token[UUID_TEXT_MAX];
        char owner[];
};

static void set_name(const char *owner, char name[static SET_NAME_MAX]) {
        (void) snprintf(name, SET_NAME_MAX, OWNER_PREFIX "%s", owner);
}

static void place_name(const QuotaPlaces *p, unsigned i, char name[static PLACE_MAX]) {
        (void) snprintf(name, PLACE_MAX, "%s.%u", p->token, i);
}

static bool is_shared(const Coordinator *c) {
        return c->config->sessions_per_key > 0 && c->store->ops->is_shared && c->store->available;
}

static int refuse(unsigned max, unsigned count, Error *error) {
        char limit[32];

        (void) snprintf(limit, sizeof limit, "%u sessions", max);
        if (count > 1)
                return error_set_field(error, ERROR_QUOTA, "count", limit,
                        "With %u sessions more this key would have more than the %u that it may have.", count, max);
        return error_set_field(error, ERROR_QUOTA, "", limit, "This key has %u sessions, as many as it may have.", max);
}

static void reserve_here(QuotaPlaces *p, bool reserved) {
        for (unsigned i = 0; i < p->n; i++)
                sessions_reserve(p->coord->sessions, p->owner, reserved);
}

QuotaPlaces *quota_release(QuotaPlaces *p) {
        char set[SET_NAME_MAX], name[PLACE_MAX];
        Coordinator *c;

        if (!p)
                return NULL;
        c = p->coord;
        (void) store_call_cancel(p->call);
        reserve_here(p, false);
        set_name(p->owner, set);
        for (unsigned i = p->n_used; i < p->n && p->in_store && is_shared(c); i++) {
                place_name(p, i, name);
                (void) c->store->ops->remove(c->store, set, name);
        }
        free(p);
        return NULL;
}

static void on_reserved(const StoreReply *reply, void *userdata) {
        QuotaPlaces *p = userdata;
        Error error = { 0 };
        int r = 0; /* when the store is away, what is known here counts */

        p->call = NULL;
        if (reply->result == -EDQUOT) {
                p->coord->quota_refused = clock_monotonic();
                p->in_store = false;
                r = refuse(p->coord->config->sessions_per_key, p->n, &error);
        }
        p->done(p, r, &error, p->userdata);
}

/* Returns whether there will be an answer. */
static bool reserve_there(QuotaPlaces *p) {
        Coordinator *c = p->coord;
        char set[SET_NAME_MAX], names[STORE_MEMBERS_MAX][PLACE_MAX];
        const char *members[STORE_MEMBERS_MAX];
        StoreMembers m = { members, p->n, NULL, PLACE_LIFE_USEC, c->config->sessions_per_key };

        if (!is_shared(c))
                return false;
        for (unsigned i = 0; i < p->n; i++) {
                place_name(p, i, names[i]);
                members[i] = names[i];
        }
        set_name(p->owner, set);
        p->in_store = c->store->ops->add(c->store, set, &m, on_reserved, p, &p->call) >= 0;
        return p->in_store;
}

int quota_reserve(Coordinator *c, const char *owner, unsigned count, QuotaDone *done, void *userdata, QuotaPlaces **ret,
        Error *error) {
        unsigned max = c->config->sessions_per_key, n = sessions_count(c->sessions, owner);
        size_t length = owner ? strlen(owner) : 0;

        assert(count > 0 && count <= STORE_MEMBERS_MAX);
        *ret = NULL;
        if (max == 0 || !owner)
                return 0;
        if (n >= max || count > max - n)
                return refuse(max, count, error);
        QuotaPlaces *p = calloc(1, sizeof *p + length + 1);
        if (!p)
                return -ENOMEM;
        p->coord = c;
        p->n = count;
        p->done = done;
        p->userdata = userdata;
        uuid_make(p->token);
        memcpy(p->owner, owner, length + 1);
        reserve_here(p, true);
        *ret = p;
        return reserve_there(p) ? 1 : 0;
}

bool quota_is_pending(const QuotaPlaces *p) {
        return p && p->call;
}

bool quota_is_tight(const Coordinator *c) {
        return c->quota_refused > 0 && clock_monotonic() < c->quota_refused + TIGHT_USEC;
}

void quota_keep(Coordinator *c, const KnownSession *k, QuotaPlaces *p) {
        usec_t now = clock_realtime();
        char set[SET_NAME_MAX], place[PLACE_MAX];
        const char *id = k->id;
        StoreMembers m = { &id, 1, NULL, k->expires - now, 0 };

        if (!k->owner || k->expires <= now || !is_shared(c))
                return;
        if (p && p->in_store && p->n_used < p->n && strcmp(p->owner, k->owner) == 0) {
                place_name(p, p->n_used++, place);
                m.instead = place;
        }
        set_name(k->owner, set);
        (void) c->store->ops->add(c->store, set, &m, NULL, NULL, NULL);
}

void quota_drop(Coordinator *c, const char *owner, const char *id) {
        char set[SET_NAME_MAX];

        if (!owner || !is_shared(c))
                return;
        set_name(owner, set);
        (void) c->store->ops->remove(c->store, set, id);
}
