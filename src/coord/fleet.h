/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/worker.h"

/* All workers that are known: asks them how they are, and chooses one for a session. */

typedef enum FleetEvent {
        FLEET_UP,       /* can be used, after it could not or for the first time */
        FLEET_RENEWED,  /* has another token, or tells its id for the first time: what it holds is to be asked */
        FLEET_DOWN,     /* cannot be reached */
        FLEET_GIVEN_UP, /* was down for too long */
        FLEET_CONFLICT, /* has the id of another worker: is not used */
        FLEET_REMOVED,  /* will be freed */
} FleetEvent;

typedef void FleetNotify(Fleet *f, FleetEvent event, Worker *w, void *userdata);

typedef struct FleetSettings {
        usec_t interval; /* between probes */
        usec_t give_up;
} FleetSettings;

int fleet_new(sd_event *event, Fetcher *fetcher, const FleetSettings *settings, FleetNotify *notify, void *userdata,
        Fleet **ret);
Fleet *fleet_free(Fleet *f);
DEFINE_CLEANUP(Fleet, fleet_free);

void fleet_configure(Fleet *f, const FleetSettings *settings);

/* Somebody knows of a worker at @url, or does not any more. Returns 0, -EINVAL (no URL of a worker) or -errno. */
int fleet_found(Fleet *f, const char *url, WorkerSource source);
void fleet_lost(Fleet *f, const char *url, WorkerSource source);
/* Nobody of @source knows of any worker but those found since fleet_sweep_begin(). */
void fleet_sweep_begin(Fleet *f, WorkerSource source);
void fleet_sweep_end(Fleet *f, WorkerSource source);

/* By id, or NULL. */
Worker *fleet_find(Fleet *f, const char *id);

Worker *fleet_first(Fleet *f);
Worker *fleet_next(Worker *w);

/* A worker that comes back is not used while it is told what was given away. */
void fleet_set_fencing(Worker *w, bool fencing);

/* Chooses a worker for a new session, none of @tried. Of two random ones the better is taken: as fair as sorting all of
 * them, and costs the same with thousands. Returns NULL when there is none. */
Worker *fleet_choose(Fleet *f, Worker *const *tried, size_t n_tried);

/* Is there a worker that cannot be asked, whose sessions are not all known? */
bool fleet_is_partial(const Fleet *f);

/* Is there one that may be ready in a moment? */
bool fleet_may_recover(const Fleet *f);

size_t fleet_n_ready(const Fleet *f);  /* those that take new sessions */
bool fleet_is_settled(const Fleet *f); /* every worker has been asked once */
