/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "base/hash.h"
#include "coord/liveness.h"
#include "coord/report.h"
#include "fetch/fetch.h"

/* The coordinator's view of one worker: where it is, how it is, what it holds. */

typedef struct Fleet Fleet;
typedef struct Worker Worker;

/* Who knows of it: a worker nobody knows of any more is not asked and, in time, forgotten. */
typedef enum WorkerSource {
        WORKER_CONFIGURED = 1 << 0,
        WORKER_ON_BUS = 1 << 1,
        WORKER_IN_STORE = 1 << 2,
} WorkerSource;

/* Somebody who waits for something of a worker, and is told when it is given up. */
typedef struct WorkerWaiter WorkerWaiter;
struct WorkerWaiter {
        void (*lost)(WorkerWaiter *w); /* unlinked before */
        bool patient;                  /* not told before it is sure that nothing comes any more */
        TAILQ_ENTRY(WorkerWaiter) entry;
        bool linked;
};

struct Worker {
        Fleet *fleet; /* borrowed */
        char *url;    /* owned */
        FetchServer *server;
        unsigned sources; /* WorkerSource */
        unsigned swept;   /* WorkerSource: was found there since the last look at all of them began */

        char id[ID_MAX + 1];    /* "": has not told yet */
        char token[ID_MAX + 1]; /* fencing token: sent with each request, the worker refuses another's */
        WorkerReport report;
        Liveness live;
        bool alias;    /* another way to one we know already */
        bool conflict; /* another that has the id of one we know already */
        bool fencing;  /* it has come back and is told what was given away: not used until it knows */
        bool given_up;
        struct Fence *fence; /* borrowed: what goes on about that, or NULL */
        bool announced;      /* the log says that it is there */
        bool synced;         /* what it held was asked once */
        usec_t latency;      /* smoothed, of its answers to probes */
        unsigned n_pending;  /* sessions that are being created there */

        Fetch *probe;
        char *answer; /* owned: of the probe */
        size_t answer_used;
        bool probe_again;
        sd_event_source *timer;

        TAILQ_HEAD(, WorkerWaiter) waiters;
        TAILQ_HEAD(, KnownSession) sessions;
        unsigned n_sessions;
        size_t position; /* among those that take new sessions; SIZE_MAX: is not one of them */
        TAILQ_ENTRY(Worker) entry;
        UT_hash_handle by_id;
};

/* Can requests be sent there? */
bool worker_is_reachable(const Worker *w);
/* Does it take new sessions? */
bool worker_takes_sessions(const Worker *w);
/* Is it likely to be back in a moment? Requests may wait for that. */
#define WORKER_RECOVERY_USEC (3 * USEC_PER_SEC)
bool worker_may_recover(const Worker *w);
/* Is @a the better choice for one? Negative: yes; positive: @b is; 0: equal. */
int worker_compare(const Worker *a, const Worker *b);
/* Are there sessions to be had without waiting? */
bool worker_has_room(const Worker *w);

/* What was sent there has an outcome, before the next report says so. */
void worker_session_added(Worker *w, bool from_pool);
void worker_session_removed(Worker *w);
void worker_set_draining(Worker *w, bool draining);

/* A request met trouble that may be the worker's: it is looked at now. */
void worker_doubt(Worker *w);
/* It is asked how it is now. */
void worker_look(Worker *w);

void worker_wait(Worker *w, WorkerWaiter *waiter);
void worker_wait_end(Worker *w, WorkerWaiter *waiter);
/* Tells all who wait, or those who are not patient. */
void worker_tell_lost(Worker *w, bool patient);

/* How it is shown: the id, or its address until it has one. */
const char *worker_name(const Worker *w);
const char *worker_status(const Worker *w);
