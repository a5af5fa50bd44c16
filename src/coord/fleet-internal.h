/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/fleet.h"

/* Shared by fleet.c, probe.c and worker.c only. */

typedef TAILQ_HEAD(WorkerList, Worker) WorkerList;

struct Fleet {
        sd_event *event;  /* borrowed */
        Fetcher *fetcher; /* borrowed */
        FleetSettings settings;
        FleetNotify *notify;
        void *userdata;

        WorkerList workers;
        Worker *by_id;  /* hash table */
        Worker **ready; /* owned array, borrowed members: those that take new sessions, in no order */
        size_t n_ready, ready_size;
        sd_event_source *tick;
        uint64_t random;
        bool freeing;
};

/* fleet.c */
void fleet_refresh(Worker *w); /* after anything changed that decides whether it takes sessions */
void fleet_tell(Worker *w, FleetEvent event);
uint64_t fleet_random(Fleet *f);

/* probe.c */
int probe_init(Worker *w);
void probe_done(Worker *w);
void probe_soon(Worker *w);
void probe_stop(Worker *w);
