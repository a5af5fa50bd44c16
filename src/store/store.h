/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/macro.h"

/* What several coordinators share: texts by name, each with a life, and sets of texts. A cache that may vanish at any
 * moment, also while it is used. Every call is answered soon: with what was asked for, or that it cannot be had. */

typedef struct Store Store;
/* A pending call: cancelling it gives it up, what was asked may happen all the same. */
typedef struct StoreCall StoreCall;

typedef struct StoreReply {
        /* 0; -ENOENT: there is nothing of that name; -EEXIST: it is not what was expected, @text is what it is;
         * -EDQUOT: the set is full; -ENOTCONN, -ETIMEDOUT: the store is away; -EIO: it refused, @text says why */
        int result;
        const char *text;           /* or NULL */
        const char *const *members; /* of a set */
        size_t n_members;
} StoreReply;

/* Members for a set. */
typedef struct StoreMembers {
        const char *const *members;
        size_t n_members;    /* all are added, or none; at most STORE_MEMBERS_MAX */
        const char *instead; /* one that leaves the set in the same step, or NULL */
        usec_t life;
        unsigned max; /* -EDQUOT when there would be more than that; 0: no limit, as with @instead */
} StoreMembers;

#define STORE_MEMBERS_MAX 64U

/* Called once, never from within the call that started it. The call is over, it need not be freed any more. */
typedef void StoreDone(const StoreReply *reply, void *userdata);

typedef struct StoreOps {
        const char *name; /* as it is shown */
        bool is_shared;   /* with other coordinators; else what is known here is all there is */
        Store *(*free)(Store *s);

        /* Each returns 0, or -errno when it cannot even be tried. @done: may be NULL. @ret: may be NULL. */
        int (*get)(Store *s, const char *name, StoreDone *done, void *userdata, StoreCall **ret);
        int (*put)(Store *s, const char *name, const char *text, usec_t life, StoreDone *done, void *userdata,
                StoreCall **ret);
        /* Replaces @expected (NULL: nothing) by @text (NULL: nothing), or answers -EEXIST. */
        int (*swap)(Store *s, const char *name, const char *expected, const char *text, usec_t life, StoreDone *done,
                void *userdata, StoreCall **ret);
        int (*drop)(Store *s, const char *name);
        /* Sets: members have lives of their own. */
        int (*add)(Store *s, const char *set, const StoreMembers *m, StoreDone *done, void *userdata, StoreCall **ret);
        int (*remove)(Store *s, const char *set, const char *member);
        int (*members)(Store *s, const char *set, StoreDone *done, void *userdata, StoreCall **ret);

        StoreCall *(*cancel)(StoreCall *c); /* see store_call_cancel() */
} StoreOps;

/* What each store's calls begin with. */
struct StoreCall {
        const StoreOps *ops;
};

/* Of whatever store it is. Returns NULL. */
static inline StoreCall *store_call_cancel(StoreCall *c) {
        return c ? c->ops->cancel(c) : NULL;
}

/* Told when the store goes or comes back. */
typedef void StoreNotify(Store *s, bool available, const char *reason, void *userdata);

struct Store {
        const StoreOps *ops;
        bool available;
        char reason[128]; /* why it is not, or "" */
        StoreNotify *notify;
        void *userdata;
};

static inline Store *store_free(Store *s) {
        return s ? s->ops->free(s) : NULL;
}
DEFINE_CLEANUP(Store, store_free);

/* One member, without a limit, and nobody waits for it. */
static inline int store_add(Store *s, const char *set, const char *member, usec_t life) {
        return s->ops->add(s, set, &(StoreMembers){ &member, 1, NULL, life, 0 }, NULL, NULL, NULL);
}

#define STORE_NAME_MAX 512U
#define STORE_TEXT_MAX (64U * 1024U)

/* In this process, for itself. */
int store_memory_new(sd_event *event, Store **ret);
