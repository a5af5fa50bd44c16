/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "conf/rate.h"
#include "error/error.h"
#include "http/request.h"

/* How many requests each client may send: a bucket of tokens for each key and each address, filled evenly. */

typedef struct RateLimiter RateLimiter;

int rate_limiter_new(RateLimiter **ret);
RateLimiter *rate_limiter_free(RateLimiter *l);
DEFINE_CLEANUP(RateLimiter, rate_limiter_free);

/* Takes a token of the key of that name, or of an address: of its network of 64 bits, for IPv6. "": nobody's. Returns
 * 0, or -EDQUOT with @error set, and when to come again. */
int rate_limiter_take_key(RateLimiter *l, const Rate *rate, const char *name, Error *error);
int rate_limiter_take_address(RateLimiter *l, const Rate *rate, const char *address, Error *error);

size_t rate_limiter_n(const RateLimiter *l);
#define RATE_BUCKETS_MAX 65536U /* the one that was not used for longest makes room */
