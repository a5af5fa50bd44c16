/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "conf/keys.h"
#include "conf/rate.h"
#include "conf/redis.h"

/* All settings of the coordinator. Text members are owned. */

#define COORD_WORKERS_MAX 4096U
#define COORD_PROXIES_MAX 64U

typedef struct AddressRange {
        bool v6;
        uint8_t bytes[16];
        unsigned bits; /* that count */
} AddressRange;

typedef struct AddressRanges {
        AddressRange *list; /* owned */
        size_t n;
} AddressRanges;

typedef struct Urls {
        char **list; /* owned, each */
        size_t n;
} Urls;

typedef struct CoordConfig {
        /* [Coordinator] */
        Urls workers;
        char *discover;
        usec_t health_interval;
        usec_t give_up;
        usec_t answer_timeout;
        char *worker_key; /* or "" */

        /* [Auth] */
        ApiKeys keys;
        Rate rate;                 /* of requests */
        unsigned sessions_per_key; /* 0: no limit */
        bool allow_anonymous;

        /* [Redis] */
        RedisSettings redis; /* no host: none is used */

        /* [Http] */
        uint64_t body_max;
        unsigned connections_max;
        AddressRanges trusted_proxies;
        unsigned port;
} CoordConfig;

CoordConfig *coord_config_free(CoordConfig *c);
DEFINE_CLEANUP(CoordConfig, coord_config_free);

/* Every setting there is: what the loader, the sample file, the manual page and their tests read. */
const ConfTable *coord_config_describe(void);

/* Loads, lowest to highest: built-in defaults, the vendor file, SYSCONFDIR/sandboxd/coordinator.conf and
 * coordinator.conf.d, then the environment; the credentials "api-keys", "worker-key" and "redis-password" of the
 * service are above the settings of that meaning. @file: read instead of all files, or NULL. Returns 0 or -errno with
 * @error set. */
int coord_config_load(const char *file, CoordConfig **ret, Error *error);

/* Is @address (numeric) in one of the ranges? */
bool address_ranges_have(const AddressRanges *ranges, const char *address);
