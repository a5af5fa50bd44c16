/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bus/bus.h"
#include "bus/call.h"
#include "bus/options.h"

/* Shared by the files of the worker's objects: bus.c, worker.c, session.c and execute.c. */

#define BUS_ROOT "/org/sandboxd"
#define BUS_WORKER_PATH BUS_ROOT "/worker"
#define BUS_WORKER_INTERFACE "org.sandboxd.Worker1"
#define BUS_SESSION_PREFIX BUS_ROOT "/session"
#define BUS_SESSION_INTERFACE "org.sandboxd.Session1"
#define BUS_NAME "org.sandboxd.worker" /* all workers have it or wait for it: policies name it */

/* What the session object's handlers get: valid in the call that found it. */
typedef struct BusSession {
        Bus *bus;
        Session *session; /* borrowed */
} BusSession;

struct Bus {
        BusContext context;
        BusConnection *connection;
        const char *names[3];
        char *name; /* owned */
        BusSession found;

        /* what was told last */
        unsigned last_ready, last_size, last_sessions, last_max;
        bool last_draining;
        char *last_image; /* owned */

        /* numbers of one session's use, read once for all properties that are asked for together */
        char usage_id[UUID_TEXT_MAX];
        usec_t usage_time;
        BackendUsage usage;
        bool usage_known;
};

extern const sd_bus_vtable bus_worker_vtable[];
extern const sd_bus_vtable bus_session_vtable[];
extern const BusOption bus_create_options[], bus_execute_options[], bus_execute_fd_options[];

/* The path of a session's object. @ret: owned by the caller. */
int bus_session_path(const char *id, char **ret);
int bus_session_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
        sd_bus_error *ret_error);
int bus_session_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *ret_error);

/* Whose sessions the sender of @m sees: NULL means all. Returns 0, or -errno with @ret_error set. */
int bus_reader(Bus *b, sd_bus_message *m, char buf[static BUS_OWNER_MAX], const char **ret, sd_bus_error *ret_error);

/* For handlers that use or end @s: begins a call that polkit has to allow; @run finds the session by
 * bus_call_session(). Returns what the handler returns. */
int bus_session_call(Bus *b, sd_bus_message *m, const Session *s, BusCallRun *run, sd_bus_error *ret_error);

/* Ends @s and answers when nothing of it runs any more; for BusCallRun. */
int bus_session_end(BusCall *c, Session *s);

/* execute.c; userdata is a BusSession */
int bus_method_execute(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
int bus_method_execute_fd(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);

/* session.c: of the object that the call is for, which may have ended meanwhile. */
int bus_call_session(BusCall *c, Session **ret, Error *error);
