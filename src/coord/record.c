/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/record.h"

#include <stdio.h>
#include <string.h>

#include "coord/create.h"
#include "spec/json.h"

#define LOST_LIFE_USEC (24 * 3600 * USEC_PER_SEC)
#define CATCH_UP_PER_TURN 200U
#define CATCH_UP_STEP_USEC (20 * USEC_PER_MSEC)
#define ENDINGS_MAX 16384U /* beyond that they end in the store by their own life */

struct Recording {
        Coordinator *coord; /* borrowed */
        RecordDone *done;   /* NULL: nobody waits */
        void *userdata;
        char *text; /* owned */
        LIST_ENTRY(Recording) entry;
        char id[SESSION_ID_MAX + 1];
};

/* A session that has ended, until the store must have heard of it. */
struct Ending {
        usec_t told;    /* monotonic; 0: not yet */
        usec_t expires; /* wall clock: of what the store has */
        bool lost;      /* its record is not to be dropped: it says so */
        char *owner;    /* owned, or NULL */
        TAILQ_ENTRY(Ending) entry;
        char id[SESSION_ID_MAX + 1];
};

#define NAME_MAX_ (sizeof RECORD_PREFIX + SESSION_ID_MAX)

static void entry_name(const char *id, char name[static NAME_MAX_]) {
        (void) snprintf(name, NAME_MAX_, RECORD_PREFIX "%s", id);
}

/* The worker's text with a few members more. */
static char *compose(const KnownSession *k, const char *json) {
        _cleanup_json_ json_t *j = json_loads(json, JSON_REJECT_DUPLICATES, NULL);

        if (!j || json_object_set_new(j, "owner", k->owner ? json_string(k->owner) : json_null()) < 0 ||
                json_object_set_new(j, "token", json_string(k->worker->token)) < 0)
                return NULL;
        return json_dumps(j, JSON_COMPACT);
}

static void recording_free(Recording *r) {
        LIST_REMOVE(r, entry);
        free(r->text);
        free(r);
}

static void on_written(const StoreReply *reply, void *userdata) {
        Recording *r = userdata;
        KnownSession *k = reply->result < 0 ? sessions_find(r->coord->sessions, r->id) : NULL;
        RecordDone *done = r->done;
        void *waiter = r->userdata;

        if (k && !k->record)
                k->record = take_ptr(r->text);
        recording_free(r);
        if (done)
                done(waiter);
}

/* Writes @text (taken), or keeps it for later. */
static Recording *start(Coordinator *c, KnownSession *k, char *text, RecordDone *done, void *userdata) {
        char name[NAME_MAX_];
        usec_t now = clock_realtime();
        Recording *r = k->expires > now ? calloc(1, sizeof *r) : NULL;

        if (!r) {
                free(text);
                return NULL;
        }
        r->coord = c;
        r->done = done;
        r->userdata = userdata;
        r->text = text;
        (void) snprintf(r->id, sizeof r->id, "%s", k->id);
        LIST_INSERT_HEAD(&c->recordings, r, entry);
        entry_name(k->id, name);
        if (c->store->ops->put(c->store, name, text, k->expires - now, on_written, r, NULL) < 0) {
                k->record = take_ptr(r->text);
                recording_free(r);
                return NULL;
        }
        return r;
}

Recording *record_put(
        Coordinator *c, KnownSession *k, const char *json, QuotaPlaces *places, RecordDone *done, void *userdata) {
        char *text = c->store->ops->is_shared ? compose(k, json) : NULL;

        if (!text)
                return NULL; /* or out of memory: others will ask the worker */
        free(k->record);
        k->record = NULL;
        quota_keep(c, k, places);
        if (c->store->available)
                return start(c, k, text, done, userdata);
        k->record = text;
        return NULL;
}

void recording_detach(Recording *r) {
        if (r)
                r->done = NULL;
}

/* --- what has ended --- */

static void ending_free(Coordinator *c, Ending *e) {
        TAILQ_REMOVE(&c->endings, e, entry);
        c->n_endings--;
        free(e->owner);
        free(e);
}

static void tell_ending(Coordinator *c, Ending *e) {
        char name[NAME_MAX_];

        if (!c->store->available)
                return;
        e->told = clock_monotonic();
        quota_drop(c, e->owner, e->id);
        entry_name(e->id, name);
        if (!e->lost && c->store->ops->drop(c->store, name) < 0)
                e->told = 0;
}

static bool is_past(const Coordinator *c, const Ending *e) {
        return clock_realtime() >= e->expires ||
               (c->store->available && e->told > 0 && clock_monotonic() >= e->told + c->store_patience);
}

/* Tells the store, and again when it was away or went away before it has answered. */
static void end(Coordinator *c, const KnownSession *k, bool lost) {
        Ending *e;

        if (!c->store->ops->is_shared)
                return;
        while ((e = TAILQ_FIRST(&c->endings)) && (c->n_endings >= ENDINGS_MAX || is_past(c, e)))
                ending_free(c, e);
        e = calloc(1, sizeof *e);
        if (!e || (k->owner && !(e->owner = strdup(k->owner)))) {
                free(e);
                return; /* out of memory: it ends there by its own life */
        }
        e->expires = k->expires;
        e->lost = lost;
        (void) snprintf(e->id, sizeof e->id, "%s", k->id);
        TAILQ_INSERT_TAIL(&c->endings, e, entry);
        c->n_endings++;
        tell_ending(c, e);
}

void record_drop(Coordinator *c, const KnownSession *k) {
        end(c, k, false);
}

void give_away(Coordinator *c, const char *session_id, const char *worker_id) {
        KnownSession *k = sessions_find(c->sessions, session_id);
        char name[NAME_MAX_], set[sizeof GIVEN_PREFIX + ID_MAX], *text;
        Worker *w = fleet_find(c->fleet, worker_id);

        /* a store may lose what was written last: then this coordinator remembers it */
        if (!k && w)
                (void) sessions_put(c->sessions, session_id, w, NULL, NULL, 0, clock_realtime() + LOST_LIFE_USEC, &k);
        if (k) {
                sessions_set_lost(k);
                end(c, k, true);
        }
        (void) snprintf(set, sizeof set, GIVEN_PREFIX "%s", worker_id);
        (void) store_add(c->store, set, session_id, LOST_LIFE_USEC);
        if (!c->store->ops->is_shared)
                return;
        entry_name(session_id, name);
        if (asprintf(&text, "{\"session_id\":\"%s\",\"worker_id\":\"%s\",\"state\":\"lost\"}", session_id, worker_id) <
                0)
                return;
        (void) c->store->ops->put(c->store, name, text, LOST_LIFE_USEC, NULL, NULL, NULL);
        free(text);
}

/* --- what was missed --- */

static void catch_up_later(Coordinator *c, usec_t delay) {
        (void) sd_event_source_set_time_relative(c->catch_up, delay);
        (void) sd_event_source_set_enabled(c->catch_up, SD_EVENT_ONESHOT);
}

/* Returns how many were told. */
static unsigned catch_up_endings(Coordinator *c) {
        Ending *e, *next;
        unsigned n = 0;

        for (e = TAILQ_FIRST(&c->endings); e && n < CATCH_UP_PER_TURN; e = next) {
                const KnownSession *k = sessions_find(c->sessions, e->id);
                next = TAILQ_NEXT(e, entry);
                if (e->told > 0)
                        continue;
                n++;
                if (k && !k->lost)
                        ending_free(c, e); /* a worker says that it has it */
                else
                        tell_ending(c, e);
        }
        return n;
}

static int on_catch_up(sd_event_source *source, uint64_t usec, void *userdata) {
        Coordinator *c = userdata;
        unsigned n = catch_up_endings(c);

        (void) source;
        (void) usec;
        if (n == CATCH_UP_PER_TURN) {
                catch_up_later(c, CATCH_UP_STEP_USEC);
                return 0;
        }
        for (KnownSession *k = sessions_first(c->sessions); k && c->store->available; k = sessions_next(k)) {
                if (!k->record && !k->entry)
                        continue;
                if (n++ == CATCH_UP_PER_TURN) {
                        catch_up_later(c, CATCH_UP_STEP_USEC);
                        break;
                }
                create_catch_up(c, k);
                quota_keep(c, k, NULL);
                if (k->record)
                        (void) start(c, k, take_ptr(k->record), NULL, NULL);
        }
        return 0;
}

void records_catch_up(Coordinator *c) {
        Ending *e;

        TAILQ_FOREACH(e, &c->endings, entry)
        e->told = 0;
        if (!c->catch_up && sd_event_add_time_relative(
                                    c->event, &c->catch_up, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_catch_up, c) < 0)
                return;
        catch_up_later(c, 0);
}

void records_end(Coordinator *c) {
        Recording *r;
        Ending *e;

        c->catch_up = sd_event_source_disable_unref(c->catch_up);
        while ((r = LIST_FIRST(&c->recordings)))
                recording_free(r);
        while ((e = TAILQ_FIRST(&c->endings)))
                ending_free(c, e);
}
