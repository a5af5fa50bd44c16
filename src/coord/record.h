/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/quota.h"

/* What other coordinators are told of sessions, through the store: session:ID holds what the worker said of it, with
 * what only coordinators need ("owner", "token"), for as long as it lives. What the store misses while it is away
 * is kept and written later. */

typedef struct Recording Recording;
typedef struct Ending Ending;
typedef void RecordDone(void *userdata);

/* @json: the worker's object. @places: one of them is the session's, or NULL. Returns a call that tells @done when it is written or cannot be for now, never from
 * within this call; NULL when there is nothing to wait for. */
Recording *record_put(
        Coordinator *c, KnownSession *k, const char *json, QuotaPlaces *places, RecordDone *done, void *userdata);
/* Nobody waits for it any more; it is written all the same. */
void recording_detach(Recording *r);
/* @k has ended. */
void record_drop(Coordinator *c, const KnownSession *k);

/* The session is given away: it answers as lost from now on, here and at other coordinators, and its worker is told
 * when it comes back. */
void give_away(Coordinator *c, const char *session_id, const char *worker_id);

/* The store is back: what it has missed is written. */
void records_catch_up(Coordinator *c);
void records_end(Coordinator *c);

/* Names of entries. */
#define RECORD_PREFIX "session:"
#define GIVEN_PREFIX "given:"
#define ALIVE_PREFIX "alive:"
