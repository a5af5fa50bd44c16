/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "session/manager.h"

/* The worker on the system bus: name org.sandboxd.worker.NAME, objects /org/sandboxd/worker and
 * /org/sandboxd/session/ID. Without a bus the worker works all the same; it appears when the bus does. */

typedef struct Bus Bus;

typedef struct BusContext {
        const char *worker_id;    /* borrowed */
        SessionManager *sessions; /* borrowed */
        Pool *pool;               /* borrowed */
        char **listen;            /* borrowed, ended by NULL */
        sd_bus *direct;           /* a connection to serve, taken, for tests; NULL: the system bus */
} BusContext;

int bus_new(sd_event *event, const BusContext *context, Bus **ret);
Bus *bus_free(Bus *b);
DEFINE_CLEANUP(Bus, bus_free);

/* All accept NULL. */
void bus_session_new(Bus *b, const Session *s);
void bus_session_changed(Bus *b, const Session *s);
void bus_session_removed(Bus *b, const Session *s);
void bus_exec_exited(Bus *b, const Session *s, const Exec *e);
/* Numbers of the pool or of the sessions have changed. */
void bus_changed(Bus *b);
