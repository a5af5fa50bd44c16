/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "coord/ask.h"
#include "coord/create.h"
#include "coord/record.h"
#include "coord/revoke.h"

#define CLAIM_LIFE_USEC (90 * USEC_PER_SEC) /* longer than the attempts; beyond that its maker is gone */
#define CLAIM_PATIENCE_USEC (20 * USEC_PER_SEC)
#define RETRY_USEC (25 * USEC_PER_MSEC)
#define LIFE_MARGIN_USEC (5 * USEC_PER_SEC) /* an entry outlives its session a little */

/* Under the name key:OWNER:KEY the store has "claim TOKEN" while a session is being made, then "session ID WORKER". Who
 * replaces the one by the other, or takes over what is left of a lost worker, does so only if it is still what it
 * saw. */

static int make_name(const char *owner, const char *key, char name[static STORE_NAME_MAX]) {
        int n = snprintf(name, STORE_NAME_MAX, "key:%s:%s", owner ? owner : "", key);

        return n < 0 || (size_t) n >= STORE_NAME_MAX ? -ENAMETOOLONG : 0;
}

static int entry_name(const Create *x, char name[static STORE_NAME_MAX]) {
        return make_name(x->owner, x->key, name);
}

#define ENTRY_MAX 160U

static usec_t make_entry(const KnownSession *k, char entry[static ENTRY_MAX]) {
        usec_t now = clock_realtime();

        (void) snprintf(entry, ENTRY_MAX, "session %s %s", k->id, k->worker->id);
        return (k->expires > now ? k->expires - now : 0) + LIFE_MARGIN_USEC;
}

static void forget_entry(Create *x) {
        free(x->claim);
        free(x->held);
        x->claim = x->held = NULL;
        x->claimed = false;
}

static void fail_busy(Create *x) {
        Error error = { 0 };
        int r = error_set_field(
                &error, ERROR_NO_CAPACITY, "key", NULL, "Another request creates the session of this key.");

        error.retry_after = 1;
        create_fail(x, &error, r);
}

static void fail_lost(Create *x, const char *worker) {
        Error error = { 0 };
        int r = error_set_field(&error, ERROR_WORKER_LOST, "key", NULL,
                "Worker %s, which has the session of this key, cannot be reached now.", worker);

        error.retry_after = 1;
        create_fail(x, &error, r);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Create *x = userdata;

        (void) source;
        (void) usec;
        x->timer = sd_event_source_disable_unref(x->timer);
        create_claim(x);
        return 0;
}

static void retry(Create *x) {
        if (clock_monotonic() > x->started + CLAIM_PATIENCE_USEC ||
                sd_event_add_time_relative(
                        x->job.coord->event, &x->timer, CLOCK_MONOTONIC, RETRY_USEC, USEC_PER_MSEC, on_retry, x) < 0)
                fail_busy(x);
}

/* --- a session that is there already --- */

/* To the worker that has the session: it attaches, or makes a new one when that has ended. */
static void pin(Create *x, Worker *w) {
        x->pinned = w;
        create_try(x);
}

void create_unpin(Create *x, Worker *w, unsigned status) {
        KnownSession *k = sessions_find_key(x->job.coord->sessions, x->owner, x->key);

        if (status == 421) {
                /* it is another token: what it holds will be known soon */
                if (!x->claimed)
                        forget_entry(x);
                retry(x);
                return;
        }
        if (status != 503) {
                fail_lost(x, worker_name(w)); /* it may be there: no second one is made */
                return;
        }
        if (k && k->worker == w)
                sessions_drop(k);
        if (x->claimed || !x->held)
                create_try(x);
        else
                create_claim(x);
}

/* Nobody has the session that the entry names any more: what is known here counts, else a new one is made. */
static void on_asked(Ask *a, int result, const char *reason, void *userdata) {
        Create *x = userdata;
        Worker *w = fleet_find(x->job.coord->fleet, x->asked_worker);

        (void) reason;
        x->ask = ask_free(a);
        if (result == -ENOENT || result == -EOWNERDEAD)
                create_claim(x);
        else if (w && worker_is_reachable(w))
                pin(x, w);
        else
                fail_lost(x, x->asked_worker);
}

/* A store may lose what was written last, so an entry can be older than what is known here. */
static bool doubt_entry(Create *x, const char *session, const Worker *w) {
        Coordinator *c = x->job.coord;
        KnownSession *named = sessions_find(c->sessions, session),
                     *own = sessions_find_key(c->sessions, x->owner, x->key);

        if (named && named->lost) {
                create_claim(x);
                return true;
        }
        if (!own || own == named || own->lost || !own->worker || !worker_is_reachable(own->worker))
                return false;
        (void) snprintf(x->asked_worker, sizeof x->asked_worker, "%s", w->id);
        return ask_workers(c, session, x->request, on_asked, x, &x->ask) == 0;
}

static void use_entry(Create *x, const char *text) {
        char session[SESSION_ID_MAX + 1], worker[ID_MAX + 1];
        Coordinator *c = x->job.coord;
        int end = 0;

        if (strncmp(text, "claim ", 6) == 0) { /* another request is at it */
                retry(x);
                return;
        }
        x->held = strdup(text);
        if (!x->held) {
                Error error = { 0 };
                create_fail(x, &error, -ENOMEM);
                return;
        }
        if (sscanf(text, "session %64[a-z0-9-] %64[a-z0-9-]%n", session, worker, &end) != 2 || text[end]) {
                create_claim(x); /* garbage is replaced */
                return;
        }
        Worker *w = fleet_find(c->fleet, worker);
        if (w && worker_is_reachable(w)) {
                if (!doubt_entry(x, session, w))
                        pin(x, w);
        } else if (w ? w->given_up : clock_monotonic() > c->started + c->config->give_up) {
                /* its session is nobody's any more, and must not be served when the worker comes back */
                give_away(c, session, worker);
                create_claim(x);
        } else
                fail_lost(x, worker);
}

/* What is known here counts: the store is away, or has been emptied. */
static void use_own_knowledge(Create *x) {
        KnownSession *k = sessions_find_key(x->job.coord->sessions, x->owner, x->key);

        if (!k || k->lost)
                create_try(x);
        else if (k->worker && worker_is_reachable(k->worker))
                pin(x, k->worker);
        else if (k->worker && !k->worker->given_up)
                fail_lost(x, worker_name(k->worker));
        else {
                give_away(x->job.coord, k->id, k->worker ? k->worker->id : k->former);
                create_try(x);
        }
}

static void on_claimed(const StoreReply *reply, void *userdata) {
        Create *x = userdata;

        x->store_call = NULL;
        switch (reply->result) {
        case 0:
                x->claimed = true; /* what was there is settled */
                use_own_knowledge(x);
                return;
        case -EEXIST:
                forget_entry(x);
                use_entry(x, reply->text);
                return;
        case -ENOENT: /* what was to be replaced has gone meanwhile */
                forget_entry(x);
                create_claim(x);
                return;
        default:
                free(x->stale);
                x->stale = take_ptr(x->claim);
                forget_entry(x);
                use_own_knowledge(x);
        }
}

void create_claim(Create *x) {
        Store *s = x->job.coord->store;
        char name[STORE_NAME_MAX];
        Error error = { 0 };

        if (!s->available || x->claimed) {
                use_own_knowledge(x);
                return;
        }
        if (x->job.coord->n_resyncs > 0) { /* what the store may have lost is not known yet */
                retry(x);
                return;
        }
        free(x->claim);
        int r = asprintf(&x->claim, "claim %s", x->claim_id) < 0 ? -ENOMEM : entry_name(x, name);
        if (r == -ENOMEM)
                x->claim = NULL;
        if (r < 0) {
                create_fail(x, &error, r);
                return;
        }
        if (s->ops->swap(s, name, x->held, x->claim, CLAIM_LIFE_USEC, on_claimed, x, &x->store_call) < 0) {
                forget_entry(x);
                use_own_knowledge(x); /* it went away just now */
        }
}

/* --- the outcome --- */

/* The store is away: what is under the key becomes the session's when it is back. */
static void settle_later(Create *x, KnownSession *k) {
        const char *before = x->claim ? x->claim : x->held ? x->held : x->stale ? x->stale : "";

        if (!k || !k->key || !x->job.coord->store->ops->is_shared)
                return;
        free(k->entry);
        k->entry = strdup(before); /* or it is not settled: others ask the worker */
}

void create_catch_up(Coordinator *c, KnownSession *k) {
        _cleanup_free_ char *before = take_ptr(k->entry);
        char name[STORE_NAME_MAX], entry[ENTRY_MAX];

        if (!before || !k->key || !k->worker || make_name(k->owner, k->key, name) < 0)
                return;
        usec_t life = make_entry(k, entry);
        /* what was there may have come to the store or not */
        if (before[0])
                (void) c->store->ops->swap(c->store, name, before, entry, life, NULL, NULL, NULL);
        (void) c->store->ops->swap(c->store, name, NULL, entry, life, NULL, NULL, NULL);
}

static void on_settled(const StoreReply *reply, void *userdata) {
        Create *x = userdata;

        KnownSession *k = sessions_find(x->job.coord->sessions, x->session_id);

        x->store_call = NULL;
        if (reply->result < 0 && reply->result != -EEXIST)
                settle_later(x, k);
        if (reply->result == -ENOENT && k) /* a claim that never came to the store, or was there for too long */
                create_catch_up(x->job.coord, k);
        forget_entry(x);
        if (reply->result != -EEXIST) {
                create_finish(x);
                return;
        }
        /* somebody else took the key over: ours is one too many */
        recording_detach(x->recording);
        x->recording = NULL;
        if (k && strncmp(reply->text, "session ", 8) == 0 && strstr(reply->text, k->id)) {
                create_finish(x); /* no: another request attached to the same */
                return;
        }
        create_take_back(x, k);
        free(x->answer);
        x->answer = NULL;
        x->n_tried = x->n_lacking = 0;
        uuid_make(x->claim_id);
        retry(x);
}

void create_settle(Create *x, KnownSession *k) {
        Store *s = x->job.coord->store;
        char name[STORE_NAME_MAX], entry[ENTRY_MAX];
        const char *before = x->claimed ? x->claim : x->held ? x->held : x->stale;

        if (!x->key || entry_name(x, name) < 0) {
                create_finish(x);
                return;
        }
        usec_t life = make_entry(k, entry);
        if (!s->available || s->ops->swap(s, name, before, entry, life, on_settled, x, &x->store_call) < 0) {
                settle_later(x, k);
                create_finish(x);
        }
}

void create_unsettle(Create *x, const KnownSession *k) {
        Store *s = x->job.coord->store;
        char name[STORE_NAME_MAX], entry[ENTRY_MAX];

        if (!x->key || !k->worker || entry_name(x, name) < 0)
                return;
        (void) make_entry(k, entry);
        (void) s->ops->swap(s, name, entry, NULL, 0, NULL, NULL, NULL);
}

void create_release(Create *x) {
        Store *s = x->job.coord->store;
        char name[STORE_NAME_MAX];

        if (x->key && x->claimed && entry_name(x, name) >= 0)
                (void) s->ops->swap(s, name, x->claim, NULL, 0, NULL, NULL, NULL);
        forget_entry(x);
}
