/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bus/bus.h"

#define BUS_PATH "/org/sandboxd/worker"
#define BUS_SESSION_PREFIX "/org/sandboxd/session"
#define BUS_INTERFACE "org.sandboxd.Worker1"
#define BUS_NAME_PREFIX "org.sandboxd.worker."

struct Bus {
        sd_event *event; /* borrowed */
        BusContext context;
        sd_bus *bus; /* NULL: not connected */
        sd_bus_slot *object;
        sd_event_source *retry;
        char *name; /* owned */
        bool ready; /* the name is ours */
        unsigned last_ready, last_size, last_sessions;
        bool last_draining;
};

extern const sd_bus_vtable bus_worker_vtable[];

/* The path of a session's object. @ret: owned by the caller. */
int bus_session_path(const char *id, char **ret);

/* Turns @e (cleared) into an error of the bus. Returns -errno. */
int bus_error(sd_bus_error *ret, Error *e, int result);
