/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "conf/keys.h"
#include "conf/rate.h"
#include "conf/redis.h"
#include "error/error.h"
#include "spec/calls.h"
#include "spec/limits.h"

/* [Pool "IMAGE"]: ready sandboxes of another image than the default. Text members are owned. */
typedef struct PoolConfig {
        char *image;
        unsigned size, min, max;
        usec_t idle;
        char *warm; /* an interpreter, or "" */
        unsigned calls; /* groups of system calls that are added, CALLS_... */
} PoolConfig;

#define POOLS_MAX 32U
#define POOL_SIZE_MAX 4096U

/* All settings of a worker. Text members are owned. */
typedef struct Config {
        char *worker_id;

        /* [Pool] */
        unsigned pool_size;
        unsigned pool_min;
        unsigned pool_max;
        usec_t pool_idle;
        PoolConfig pools[POOLS_MAX]; /* of other images, in the order of the files */
        size_t n_pools;

        /* [Session] */
        usec_t session_timeout;
        usec_t session_timeout_max;
        unsigned sessions_max; /* 0: what the machine allows */

        /* [Sandbox] */
        char *backend;
        char *image;
        char *warm; /* see config_warm() */
        unsigned calls; /* of that image, like PoolConfig.calls */

        /* [Limits] */
        Limits limits;
        uint64_t output_max; /* default of an exec's max_output, bytes a stream */

        /* [Snapshots] */
        unsigned snapshots_max, snapshots_per_key; /* 0: of the latter, no limit */
        uint64_t snapshots_space;                  /* bytes */

        /* [Auth] */
        ApiKeys keys;
        char *coordinators; /* names of keys, separated by blanks */
        Rate rate;          /* of requests */
        unsigned sessions_per_key; /* 0: no limit */
        bool allow_anonymous;

        /* [Redis] */
        RedisSettings redis; /* no host: none is used */
        char *advertise;     /* the worker's address for others; "": found out */

        /* [Http] */
        uint64_t body_max; /* bytes of a request body */
        unsigned connections_max;
        unsigned port; /* 0: none; standalone listens on 127.0.0.1:port */
} Config;

Config *config_free(Config *c);
DEFINE_CLEANUP(Config, config_free);

/* Which interpreter waits in sandboxes of the default image: a new string, or NULL for none. */
char *config_warm(const Config *c);
/* The parser of [Sandbox] Warm=. */
ConfParse config_parse_warm;

/* The groups of system calls that the image @name has been given; none for those that no setting names. */
uint32_t config_calls(const Config *c, const char *name);
/* The parser of SystemCalls=. */
ConfParse config_parse_calls;

/* config-pools.c: the sections [Pool "IMAGE"]. */
extern const ConfNamed config_pools;
void config_pools_clear(Config *c);
int config_pools_check(const Config *c, Error *error);

/* Every setting there is: what the loader, the sample file, the manual page and their tests read. */
const ConfTable *config_describe(void);

/* Loads, lowest to highest: built-in defaults, the vendor file, SYSCONFDIR/sandboxd/sandboxd.conf and
 * sandboxd.conf.d (a folder's .conf files in order of their names), worker/NAME.conf and NAME.conf.d beside it,
 * then the environment; the API keys of the service's credential "api-keys" join those of [Auth] Keys=.
 * @root: prefix of all paths ("" for the real ones). @worker: the instance's name; NULL: what WORKER_ID in the
 * environment says, else "worker1". Any unknown section or key or bad value refuses everything: @error names file,
 * line, section, key and what was expected. Returns 0 or -errno with @error set. */
int config_load(const char *root, const char *worker, Config **ret, Error *error);
/* For a program beside the worker, which may not read its keys. */
int config_load_without_keys(const char *root, const char *worker, Config **ret, Error *error);
