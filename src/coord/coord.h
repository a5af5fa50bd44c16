/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "coord/config.h"
#include "coord/fleet.h"
#include "coord/sessions.h"
#include "http/rate.h"
#include "http/server.h"
#include "store/store.h"

/* The coordinator: everything put together. */

typedef struct CoordOptions {
        const char *config;    /* file that is read instead of those of the system, or NULL */
        const char *listen[8]; /* ADDR:PORT or unix:/PATH, instead of what the service manager passes */
        size_t n_listen;
} CoordOptions;

typedef struct CoordCounters {
        uint64_t created, attached;
        uint64_t create_retries; /* on another worker, within one request */
        uint64_t proxied;
        uint64_t broken; /* requests that a worker did not answer to the end */
        uint64_t asked;  /* sessions that all workers were asked for */
} CoordCounters;

typedef struct Coordinator {
        CoordOptions options;
        int exit_code; /* of a start that failed, 0 for EXIT_FAILURE; after EX_CONFIG the unit tries no other */
        sd_event *event;
        CoordConfig *config;
        HttpServer *server;
        Fetcher *fetcher;
        Fleet *fleet;
        Sessions *sessions;
        Store *store;
        struct Revocations *revocations;
        unsigned n_resyncs; /* workers that are asked what they hold since the store came back */
        RateLimiter *rates;
        struct Discover *discover;
        struct CoordBus *bus; /* NULL until it is ready */
        StoreCall *announced; /* that asks who announced themselves */
        sd_event_source *store_source;
        bool store_settled;
        Store *store_next;                 /* of a new configuration, not there yet; or NULL */
        Store *store_past;                 /* of the former one, which may still answer; or NULL */
        sd_event_source *store_end;        /* of @store_past */
        usec_t store_patience;             /* within which @store has answered what it was asked, or never will */
        LIST_HEAD(, Recording) recordings; /* on their way to the store */
        TAILQ_HEAD(, Ending) endings;      /* of sessions, that the store may have missed */
        unsigned n_endings;
        sd_event_source *catch_up;
        CoordCounters counters;
        usec_t started;          /* monotonic */
        usec_t questions_second; /* in which @n_questions were asked */
        unsigned n_questions;
        usec_t quota_refused; /* monotonic: when the store last said that a key has all its sessions */

        TAILQ_HEAD(, Job) jobs; /* all that goes on for clients or by itself */
        unsigned n_jobs;
        sd_event_source *tick, *deadline_source, *status_source;
        char status[160];
        bool ready, stopping;
} Coordinator;

/* Something that takes a while: ended with the coordinator, if it has not ended by itself. */
typedef struct Job Job;
struct Job {
        Coordinator *coord;    /* borrowed */
        void (*end)(Job *job); /* frees it; no answer can be given any more */
        TAILQ_ENTRY(Job) entry;
};

void job_begin(Coordinator *c, Job *job, void (*end)(Job *job));
void job_done(Job *job);

/* What the workers say, together. */
typedef struct CoordSum {
        int64_t pool_size, pool_ready, active, max;
        unsigned n_workers, n_up, n_well, n_draining;
        bool limits;
} CoordSum;

/* health.c */
bool coord_shows(const Worker *w);
void coord_sum_up(const Coordinator *c, CoordSum *s);

/* Runs a coordinator until it is told to stop. Returns the exit status. */
int coord_main(const CoordOptions *options);

/* listen.c: takes what the service manager passed, or opens sockets. Returns 0 or -errno, having logged. */
int coord_listen(Coordinator *c);

/* auth.c */
HttpAuthenticate coord_authenticate;
/* Ends what is being served for keys that were good in @old and are not any more. */
void coord_revoke_keys(Coordinator *c, const CoordConfig *old);

/* events.c: what happens, for the log and the service manager */
void coord_on_fleet(Fleet *f, FleetEvent event, Worker *w, void *userdata);
void coord_update_status(Coordinator *c);

/* shared.c: the store that the configuration asks for, and the workers that announce themselves there */
int coord_open_store(Coordinator *c);
void coord_close_store(Coordinator *c);
/* The configuration has been read again: another store takes over as soon as it can be used. @former: its settings. */
void coord_change_store(Coordinator *c, const RedisSettings *former);
/* Why not all is as it is configured, or NULL. */
const char *coord_store_trouble(const Coordinator *c);
/* Are all workers known that the store knows, as far as it can be asked? */
bool coord_store_is_settled(const Coordinator *c);

/* routes.c: what there is; @userdata of handlers is the Coordinator */
extern const HttpRoute coord_routes[];

HttpHandler coord_health, coord_metrics, coord_worker_list, coord_worker_drain, coord_worker_undrain;
HttpHandler coord_snapshot_list, coord_snapshot, coord_image_list;
HttpHandler coord_session_create, coord_session_list, coord_session, coord_session_proxy;
