/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/worker.h"
#include "error/error.h"

/* Where sessions are, as far as it is known here. A cache: the workers are the truth, the store knows what other
 * coordinators know. Entries end with their sessions; when there are too many the oldest go. */

#define SESSION_ID_MAX ID_MAX

typedef struct Sessions Sessions;

typedef struct KnownSession {
        Sessions *sessions; /* borrowed */
        Worker *worker;     /* borrowed; NULL: it was forgotten */
        char *former;       /* owned: its id then */
        char *key;          /* owned: of create-or-attach, or NULL */
        char *owner;        /* owned: name of the API key that made it, or NULL */
        char *record;       /* owned: JSON that the store still has to get, or NULL */
        char *entry;        /* owned: the store still has to get what is under the key, in place of this; or NULL */
        usec_t created;     /* wall clock of its worker */
        usec_t expires;     /* wall clock */
        bool lost;          /* it was given up: its id answers that it has ended */
        bool counted;       /* among those of its owner */
        bool seen;          /* on the worker's list that is being read */
        struct KeyIndex *by_key; /* owned with the others of this key, or NULL */
        LIST_ENTRY(KnownSession) of_key;
        TAILQ_ENTRY(KnownSession) by_worker;
        UT_hash_handle hh;
        char id[]; /* NUL-terminated */
} KnownSession;

int sessions_new(size_t max, Sessions **ret);
Sessions *sessions_free(Sessions *s);
DEFINE_CLEANUP(Sessions, sessions_free);

/* What a worker said of a session. @owner: may be NULL. @created: 0 is now. A session that is known already is brought up to date.
 * Returns 0 or -ENOMEM. */
int sessions_put(Sessions *s, const char *id, Worker *worker, const char *owner, const char *key, usec_t created,
        usec_t expires, KnownSession **ret);
KnownSession *sessions_find(Sessions *s, const char *id);
void sessions_drop(KnownSession *k);

/* The session that @owner has under @key, or NULL. Of several that was made last which was not given up: a worker that
 * comes back may still hold one that was replaced. */
KnownSession *sessions_find_key(Sessions *s, const char *owner, const char *key);

/* It was given up: from now on its id answers that it has ended. */
void sessions_set_lost(KnownSession *k);

/* How many live sessions an owner has, as far as it is known here, with those that are being made. */
unsigned sessions_count(const Sessions *s, const char *owner);
void sessions_reserve(Sessions *s, const char *owner, bool reserved);
/* It counts no more, until its worker says again that it has it. */
void sessions_uncount(KnownSession *k);
size_t sessions_total(const Sessions *s);

/* Drops what has expired; to be called now and then. */
void sessions_expire(Sessions *s, usec_t now);

/* All of one worker belong to another from now on. */
void sessions_move(Worker *from, Worker *to);

/* The worker is forgotten: what is known of its sessions stays. */
void sessions_orphan(Worker *w);

KnownSession *sessions_first(Sessions *s);
KnownSession *sessions_next(KnownSession *k);
