/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "error/error.h"
#include "spec/limits.h"

/* One API key as configured: NAME:SHA256, the lower case hex digest of the key itself. */
typedef struct ConfigKey {
        char *name;
        uint8_t digest[32];
} ConfigKey;

/* All settings of a worker. Text members are owned. */
typedef struct Config {
        char *worker_id;

        /* [Pool] */
        unsigned pool_size;
        unsigned pool_min;
        unsigned pool_max;

        /* [Session] */
        usec_t session_timeout;
        usec_t session_timeout_max;
        unsigned sessions_max; /* 0: what the machine allows */

        /* [Sandbox] */
        char *backend;
        char *image;

        /* [Limits] */
        Limits limits;
        uint64_t output_max; /* default of an exec's max_output, bytes a stream */

        /* [Auth] */
        ConfigKey *keys;
        size_t n_keys;
        bool allow_anonymous;

        /* [Http] */
        uint64_t body_max;     /* bytes of a request body */
        unsigned connections_max;
        unsigned port;         /* 0: none; standalone listens on 127.0.0.1:port */
} Config;

Config *config_free(Config *c);
DEFINE_CLEANUP(Config, config_free);

/* Loads, lowest to highest: built-in defaults, the vendor file, /etc/sandboxd/sandboxd.conf and
 * sandboxd.conf.d (a folder's .conf files in order of their names), /etc/sandboxd/worker/NAME.conf and NAME.conf.d,
 * then the environment. @root: prefix of all paths ("" for the real ones); @worker: the instance's name.
 * Any unknown section or key or bad value refuses everything: @error names file, line, section, key and what was
 * expected. Returns 0 or -errno with @error set. */
int config_load(const char *root, const char *worker, Config **ret, Error *error);
