/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>
#include <systemd/sd-event.h>

#include "bus/bus.h"
#include "daemon/config.h"
#include "http/api.h"
#include "http/rate.h"
#include "session/images.h"
#include "session/warm.h"

/* The worker: everything put together. */

typedef struct ManagerOptions {
        const char *worker;    /* instance's name, or NULL */
        const char *root;      /* prefix of configuration paths, "" normally */
        const char *state;     /* folder with images/ */
        const char *runtime;   /* folder of sockets */
        const char *listen[8]; /* ADDR:PORT, standalone only */
        size_t n_listen;
        bool standalone;
} ManagerOptions;

typedef struct ManagerPool {
        Pool *pool;                  /* owned by the list */
        char *image;                 /* owned: name in its section, or NULL */
        char folder[IMAGE_NAME_MAX]; /* that the members are of */
        Warmth *warmth;              /* owned, or NULL */
        bool missed;                 /* it was told that there is no such image */
} ManagerPool;

typedef struct Manager {
        ManagerOptions options;
        sd_event *event;
        Config *config;
        Backend *backend;
        Pool *pool;                       /* of the default image; the others follow it */
        ManagerPool pools[POOLS_MAX + 1]; /* the first is that one */
        bool pools_started;
        Registry *registry;
        RecordTable *records;
        SessionManager *sessions;
        Snapshots *snapshots;
        HttpServer *server;
        HttpApi api;
        RateLimiter *rates;
        Bus *bus;
        char **listen; /* owned, ended by NULL: addresses of our sockets as in ListenStream= */
        size_t n_listen;
        pid_t spawner, announcer; /* standalone only */
        int keeper_fd;            /* owned: the pipe to it, or -EBADF; only where the registry is in memory */
        int spawner_sock;
        int records_fd;          /* owned: of the former worker's records, until they are opened */
        Images *images;
        char archiver[PATH_MAX]; /* path of the program for archives */
        char socket_path[108];   /* of ours, to be removed; standalone only */

        sd_event_source *status_source, *deadline_source, *spawner_source, *inherit_source, *watchdog_source,
                *pressure_source, *announcer_source, *keeper_source;
        bool silence_told, pool_strained, sessions_strained, registry_kept;
        char status[160];
        bool ready, stopping, handing_over, limits_warned, warm_warned, backend_was_ready;
        BackendStatus backend_status; /* as it was told last */
        int exit_code; /* of a start that failed, 0 for EXIT_FAILURE; after EX_CONFIG the unit tries no other */
} Manager;

/* Runs a worker until it is told to stop. Returns the exit status. */
int manager_main(const ManagerOptions *options);

/* manager.c, for the other files here */
SnapshotSettings manager_snapshot_settings(const Manager *m);

/* listen.c: takes what the service manager passed, or opens sockets. Returns 0 or -errno, having logged. */
int manager_listen(Manager *m);

#define RECORDS_NAME "sessions" /* in the descriptor store */

/* inherit.c: what outlives this process. Opens the registry, and the records that a former worker left in the service
 * manager's descriptor store. Returns 0 or -errno, having logged. */
int manager_open_registry(Manager *m);
int manager_inherit(Manager *m);
/* inherit.c: takes up the snapshots of former workers. */
int manager_open_snapshots(Manager *m);
/* Keeps a table of records for the next worker, once it is known how many there have to be. */
void manager_store_records(Manager *m);

/* keeper.c: the registry in memory, and the process that writes it to the file @path. Returns 0 or -errno. */
int manager_open_kept_registry(Manager *m, const char *path);
void manager_start_keeper(Manager *m);
/* The last changes are written; nobody waits for it. */
void manager_stop_keeper(Manager *m);

/* stop.c: asked to end: for good, or for another to follow? Calls @answer once. */
void manager_ask_job(Manager *m, void (*answer)(Manager *m, bool restart));

/* watchdog.c: tells the service manager that this loop and the spawner are alive. */
int manager_watch(Manager *m);

/* pressure.c: looks at what the machine has left, and has pool and sessions take in sail. */
int manager_watch_pressure(Manager *m);

/* standalone.c: a program of the package: beside this one, in @folder, when it runs from where it was built, else where
 * it is installed. */
void manager_find_program(const char *folder, const char *name, char *buf, size_t size);
/* standalone.c: with all above it. Returns 0 or -errno. */
int manager_make_folder(const char *folder);
/* standalone.c: makes the image, starts the spawner and gives up rights. Returns 0 or -errno, having logged. */
int manager_standalone(Manager *m);

/* announcer.c: what tells Redis of the worker. Returns 0 or -errno, having logged. */
int manager_start_announcer(Manager *m);
/* The configuration has been read again. */
void manager_change_announcer(Manager *m, const Config *former);
void manager_stop_announcer(Manager *m);

/* auth.c */
HttpAuthenticate manager_authenticate;
/* Ends what is being served for keys that were good in @old and are not any more. */
void manager_revoke_keys(Manager *m, const Config *old);

/* images.c. The first two: returns 0 or -errno, having logged. */
int manager_open_images(Manager *m);
int manager_check_image(Manager *m);
ImageResolve manager_resolve_image;

/* pools.c: what the configuration says of pools, and what images there are. */
int manager_make_pools(Manager *m);
void manager_configure_pools(Manager *m);
void manager_start_pools(Manager *m);
void manager_free_pools(Manager *m);
/* Of a pool that is not the default image's: its name as configured; else NULL. */
const char *manager_pool_image(const Manager *m, const Pool *pool);

/* events.c: what happens, for the log, the bus and the service manager */
void manager_on_backend(Backend *b, void *userdata);
void manager_on_pool(Pool *p, PoolEvent event, const Sandbox *s, void *userdata);
void manager_on_session(SessionManager *sm, SessionEvent event, Session *s, const Exec *e, void *userdata);
void manager_update_status(Manager *m);
/* The service manager is told that the worker has started, filled or not. */
void manager_set_ready(Manager *m);
