/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "conf/redis.h"
#include "store/store.h"

/* The store that several coordinators share: a Redis server, or what speaks its protocol. */

/* Returns 0, -EINVAL (the host cannot be one) or -ENOMEM; the server need not be there. */
int store_redis_new(sd_event *event, const RedisSettings *settings, Store **ret);

/* The address that this machine has on its connection to the server, or "" when there is none. */
const char *store_redis_local_address(const Store *s);
