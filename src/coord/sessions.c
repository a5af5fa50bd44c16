/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/sessions.h"

#include <stdio.h>
#include <string.h>

#define PER_KEY_MAX 16U

/* Sessions by owner and key: more than one when workers and the store were apart for a while. All are gone through, so
 * that there are not any number of them whatever a worker says. */
typedef struct KeyIndex {
        LIST_HEAD(, KnownSession) sessions; /* borrowed */
        unsigned n;
        UT_hash_handle hh;
        char text[];
} KeyIndex;

typedef struct OwnerCount {
        unsigned n;
        UT_hash_handle hh;
        char name[];
} OwnerCount;

struct Sessions {
        KnownSession *by_id; /* hash tables; this one in order of arrival */
        KeyIndex *by_key;
        OwnerCount *owners;
        size_t max;
};

int sessions_new(size_t max, Sessions **ret) {
        Sessions *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        s->max = max;
        *ret = s;
        return 0;
}

Sessions *sessions_free(Sessions *s) {
        KnownSession *k, *next;

        if (!s)
                return NULL;
        HASH_ITER(hh, s->by_id, k, next)
        sessions_drop(k);
        free(s);
        return NULL;
}

/* --- by key --- */

/* Neither part can hold the separator: names of keys are of a few letters. Returns a new string. */
static char *key_text(const char *owner, const char *key) {
        char *text;

        return asprintf(&text, "%s\n%s", owner ? owner : "", key) < 0 ? NULL : text;
}

static KeyIndex *find_index(Sessions *s, const char *owner, const char *key) {
        _cleanup_free_ char *text = key_text(owner, key);
        KeyIndex *i = NULL;

        if (text)
                HASH_FIND(hh, s->by_key, text, strlen(text), i);
        return i;
}

static void drop_index(KnownSession *k) {
        KeyIndex *i = k->by_key;

        if (!i)
                return;
        LIST_REMOVE(k, of_key);
        k->by_key = NULL;
        if (--i->n > 0)
                return;
        HASH_DELETE(hh, k->sessions->by_key, i);
        free(i);
}

static int new_index(KnownSession *k, KeyIndex **ret) {
        Sessions *s = k->sessions;
        _cleanup_free_ char *text = key_text(k->owner, k->key);
        KeyIndex *i = text ? malloc(sizeof *i + strlen(text) + 1) : NULL;

        if (!i)
                return -ENOMEM;
        LIST_INIT(&i->sessions);
        i->n = 0;
        memcpy(i->text, text, strlen(text) + 1);
        HASH_ADD(hh, s->by_key, text, strlen(text), i);
        if (!HASH_HAS(hh, i)) {
                free(i);
                return -ENOMEM;
        }
        *ret = i;
        return 0;
}

/* Is @a rather than @b the one of their key? */
static bool is_before(const KnownSession *a, const KnownSession *b) {
        return a->lost == b->lost ? a->created > b->created : b->lost;
}

static void drop_last(KeyIndex *i) {
        KnownSession *last = LIST_FIRST(&i->sessions), *k;

        LIST_FOREACH(k, &i->sessions, of_key)
        if (is_before(last, k))
                last = k;
        drop_index(last);
}

static int add_index(KnownSession *k) {
        KeyIndex *i = find_index(k->sessions, k->owner, k->key);

        int r = i ? 0 : new_index(k, &i);
        if (r < 0)
                return r;
        if (i->n == PER_KEY_MAX)
                drop_last(i);
        LIST_INSERT_HEAD(&i->sessions, k, of_key);
        i->n++;
        k->by_key = i;
        return 0;
}

KnownSession *sessions_find_key(Sessions *s, const char *owner, const char *key) {
        KeyIndex *i = find_index(s, owner, key);
        KnownSession *best = NULL, *k;

        if (!i)
                return NULL;
        LIST_FOREACH(k, &i->sessions, of_key)
        if (!best || is_before(k, best))
                best = k;
        return best;
}

/* --- by owner --- */

static void count_owner(Sessions *s, const char *owner, int change) {
        OwnerCount *c;

        if (!owner)
                return;
        HASH_FIND(hh, s->owners, owner, strlen(owner), c);
        if (!c) {
                c = change > 0 ? malloc(sizeof *c + strlen(owner) + 1) : NULL;
                if (!c)
                        return;
                c->n = 0;
                memcpy(c->name, owner, strlen(owner) + 1);
                HASH_ADD(hh, s->owners, name, strlen(owner), c);
                if (!HASH_HAS(hh, c)) {
                        free(c);
                        return;
                }
        }
        c->n = (unsigned) ((int) c->n + change);
        if (c->n == 0) {
                HASH_DELETE(hh, s->owners, c);
                free(c);
        }
}

unsigned sessions_count(const Sessions *s, const char *owner) {
        OwnerCount *c = NULL;

        if (owner)
                HASH_FIND(hh, s->owners, owner, strlen(owner), c);
        return c ? c->n : 0;
}

void sessions_reserve(Sessions *s, const char *owner, bool reserved) {
        count_owner(s, owner, reserved ? 1 : -1);
}

void sessions_uncount(KnownSession *k) {
        if (k->counted)
                count_owner(k->sessions, k->owner, -1);
        k->counted = false;
}

void sessions_set_lost(KnownSession *k) {
        sessions_uncount(k);
        k->lost = true;
}

size_t sessions_total(const Sessions *s) {
        return HASH_COUNT(s->by_id);
}

/* --- all --- */

static void leave_worker(KnownSession *k) {
        if (!k->worker)
                return;
        TAILQ_REMOVE(&k->worker->sessions, k, by_worker);
        k->worker->n_sessions--;
        k->worker = NULL;
}

static void join_worker(KnownSession *k, Worker *w) {
        if (k->worker == w)
                return;
        leave_worker(k);
        k->worker = w;
        TAILQ_INSERT_TAIL(&w->sessions, k, by_worker);
        w->n_sessions++;
}

void sessions_drop(KnownSession *k) {
        Sessions *s = k->sessions;

        HASH_DELETE(hh, s->by_id, k);
        drop_index(k);
        if (k->counted)
                count_owner(s, k->owner, -1);
        leave_worker(k);
        free(k->key);
        free(k->owner);
        free(k->record);
        free(k->entry);
        free(k->former);
        free(k);
}

KnownSession *sessions_find(Sessions *s, const char *id) {
        KnownSession *k;

        HASH_FIND(hh, s->by_id, id, strlen(id), k);
        return k;
}

static int add(Sessions *s, const char *id, const char *owner, const char *key, KnownSession **ret) {
        size_t length = strlen(id);
        KnownSession *k = calloc(1, sizeof *k + length + 1);

        if (!k)
                return -ENOMEM;
        k->sessions = s;
        memcpy(k->id, id, length + 1);
        bool copied = (!owner || (k->owner = strdup(owner))) && (!key || (k->key = strdup(key)));
        if (copied)
                HASH_ADD(hh, s->by_id, id, length, k);
        if (!copied || !HASH_HAS(hh, k)) {
                free(k->owner);
                free(k->key);
                free(k);
                return -ENOMEM;
        }
        count_owner(s, k->owner, 1);
        k->counted = true;
        if (k->key && add_index(k) < 0) {
                sessions_drop(k);
                return -ENOMEM;
        }
        *ret = k;
        return 0;
}

/* Whoever has most of them makes room itself: a worker may name any number, and those of others were forgotten. */
static void make_room(Sessions *s, const Worker *w) {
        bool most = w && w->n_sessions > s->max / 2;

        sessions_drop(most ? TAILQ_FIRST(&w->sessions) : s->by_id);
}

int sessions_put(Sessions *s, const char *id, Worker *worker, const char *owner, const char *key, usec_t created,
        usec_t expires, KnownSession **ret) {
        KnownSession *k = sessions_find(s, id);

        if (!k) {
                if (HASH_COUNT(s->by_id) >= s->max)
                        make_room(s, worker);
                int r = add(s, id, owner, key, &k);
                if (r < 0)
                        return r;
                k->created = created ? created : clock_realtime();
        }
        join_worker(k, worker);
        k->expires = expires;
        k->seen = true;
        if (!k->counted)
                count_owner(s, k->owner, 1);
        k->counted = true;
        k->lost = false;
        if (ret)
                *ret = k;
        return 0;
}

void sessions_expire(Sessions *s, usec_t now) {
        KnownSession *k, *next;

        HASH_ITER(hh, s->by_id, k, next)
        if (now >= k->expires)
                sessions_drop(k);
}

void sessions_move(Worker *from, Worker *to) {
        KnownSession *k;

        while ((k = TAILQ_FIRST(&from->sessions)))
                join_worker(k, to);
}

void sessions_orphan(Worker *w) {
        KnownSession *k;

        while ((k = TAILQ_FIRST(&w->sessions))) {
                free(k->former);
                k->former = strdup(w->id);
                leave_worker(k);
                if (!k->former)
                        sessions_drop(k);
        }
}

KnownSession *sessions_first(Sessions *s) {
        return s->by_id;
}

KnownSession *sessions_next(KnownSession *k) {
        return k->hh.next;
}
