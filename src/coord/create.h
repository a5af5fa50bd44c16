/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/call.h"
#include "coord/coord.h"
#include "coord/outgoing.h"
#include "coord/quota.h"
#include "spec/json.h"
#include "store/store.h"

/* Making a session: a worker is chosen; when it cannot, another, within the same request. One session results: each
 * attempt says which id its session gets, and one whose outcome is not known is taken back.
 *
 *   create.c          the request, its attempts, the answer
 *   create-key.c      who may create the session of a key: one at a time, over all coordinators
 */

#define CREATE_TRIES_MAX 4U
#define CREATE_IMAGE_TRIES_MAX 32U /* of a session whose image not every worker has */

typedef struct Create {
        Job job;
        HttpRequest *request; /* NULL: the client has gone; what comes of it is taken back */
        char *owner;          /* owned, or NULL */
        json_t *spec;         /* owned: what the client sent, or NULL */
        char *patient_body;   /* owned: what is sent by the last attempt, when the client waits for capacity */
        char *body;           /* owned: what is sent otherwise, or NULL: what came */
        const char *key;      /* borrowed from @spec, or NULL */
        double wait;          /* seconds that the client is ready to wait for capacity */
        bool waiting;         /* the last attempt: the worker may take that long */
        Outgoing head;

        Call *call;
        Worker *pinned; /* borrowed, for the next attempt: the one that has the key's session */
        bool is_pinned; /* the attempt that goes on */
        char tried[CREATE_IMAGE_TRIES_MAX][ID_MAX + 1];
        size_t n_tried;
        size_t n_lacking; /* attempts at workers that do not have the image */
        bool has_image;   /* the client names one, and no snapshot */
        char *failure;          /* owned: what the last worker that failed said of it, or NULL */
        char id[UUID_TEXT_MAX]; /* of the session that the attempt makes, if it does */
        usec_t started;
        sd_event_source *timer;
        struct Spread *spread; /* that finds the worker with the snapshot that the session is to be made of */
        char snapshot_id[ID_MAX + 1], snapshot_worker[ID_MAX + 1]; /* or "" */
        QuotaPlaces *places; /* one among the sessions of its owner, or NULL */
        bool waits_for_place;

        /* create-key.c */
        StoreCall *store_call;
        struct Ask *ask;
        char asked_worker[ID_MAX + 1]; /* which should have the session that is asked for */
        struct Recording *recording;
        char claim_id[UUID_TEXT_MAX];
        bool claimed; /* what is under the key is our @claim */
        char *claim;  /* owned, or NULL */
        char *held;   /* owned: what was there, or NULL */
        char *stale;  /* owned: a claim that may have been made, but the store did not say so; or NULL */
        char *answer; /* owned: to be given when the store has the record */
        size_t answer_length;
        unsigned status;
        char session_id[SESSION_ID_MAX + 1], location[96];
} Create;

void create_fail(Create *x, Error *error, int result); /* frees it */
/* Chooses a worker and asks it. */
void create_try(Create *x);

/* create-key.c: makes sure that nobody else creates a session of the same key, then goes on with create_try(). */
void create_claim(Create *x);
/* An attempt at the worker that has, or had, the key's session failed; @status: of its answer, 0 for none. */
void create_unpin(Create *x, Worker *w, unsigned status);
/* What is under the key becomes the session's; then create_finish(). */
void create_settle(Create *x, KnownSession *k);
/* It is not to be, though it may have been settled. */
void create_unsettle(Create *x, const KnownSession *k);
/* Nothing came of it. */
void create_release(Create *x);
/* The store is back: what was not settled is, unless somebody else was quicker. */
void create_catch_up(Coordinator *c, KnownSession *k);

/* create.c: the answer is there, and nothing is to be done before it is given but what is still on its way. */
void create_finish(Create *x);
/* The session that was made is one too many. */
void create_take_back(Create *x, KnownSession *k);
