/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/coord.h"
#include "coord/find.h"
#include "coord/outgoing.h"
#include "coord/quota.h"

/* One request of a client on its way to a worker, and the answer on its way back. Both are passed on as they come, with
 * one small buffer each: who reads slowly holds up who writes. */

#define EXCHANGE_BODY_WHOLE (64U * 1024U)   /* bodies up to that are sent once they are complete */
#define EXCHANGE_ANSWER_WHOLE (32U * 1024U) /* answers of a known length up to that, likewise */
#define EXCHANGE_BUFFER (32U * 1024U)       /* of what is passed on in pieces */

typedef struct Exchange {
        Job job;
        HttpRequest *request; /* NULL: nobody waits for the answer any more */
        Worker *worker;       /* borrowed, while @waiter is linked */
        WorkerWaiter waiter;
        Finding *finding;
        Fetch *fetch;
        char session_id[SESSION_ID_MAX + 1]; /* or "" */
        bool is_session;                     /* the request is about the session itself, not something in it */
        usec_t retry_until;                  /* monotonic; 0: not tried again yet */
        sd_event_source *timer;

        char *body; /* owned: the request's */
        size_t body_used, body_size, body_sent;
        uint64_t body_length; /* FETCH_SIZE_UNKNOWN: comes in chunks */
        bool body_whole;      /* wanted as a whole before it goes on */
        bool body_ended;
        bool body_held; /* the client waits for us */

        char *answer; /* owned: what came and has not gone on */
        size_t answer_used, answer_sent, answer_size;
        bool answer_whole; /* wanted as a whole */
        bool answer_waits; /* its head is there, but the client still sends */
        bool answer_begun, answer_held, answer_ended, answer_broken;
        bool no_memory;      /* for the answer */
        QuotaPlaces *places; /* for the sessions that the answer will tell of, or NULL */
        bool upgrading;      /* the client has asked for another protocol */
        bool tunnelling;     /* and gets it */
} Exchange;

Exchange *exchange_free(Exchange *x);

/* Ends it with an error; frees it. */
void exchange_fail(Exchange *x, Error *error, int result);

/* exchange-body.c: sends the request, or what is there of it, to the session's worker. Returns 0 or -errno with @error
 * set. */
int exchange_send(Exchange *x, Error *error);
ssize_t exchange_read_body(Fetch *f, char *buf, size_t size, void *userdata);

/* exchange.c */
extern const FetchOps exchange_ops;
void exchange_on_cancelled(HttpRequest *r, void *userdata);
void exchange_on_worker_lost(WorkerWaiter *w);
/* Sends it once more in a moment. Returns false when there is no hope. */
bool exchange_retry(Exchange *x, const KnownSession *k);
/* The request is complete: an answer that came before may begin. */
void exchange_begin_answer(Exchange *x);
/* Does it ask for new sessions, out of one that is there? */
bool exchange_is_fork(const Exchange *x);
/* Can it be sent once more from the start? */
bool exchange_is_repeatable(const Exchange *x);
