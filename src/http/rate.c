/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/rate.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/hash.h"

#define NAME_MAX_ 80U

typedef struct Bucket {
        usec_t full_at; /* monotonic: when all tokens are there again */
        TAILQ_ENTRY(Bucket) entry;
        UT_hash_handle hh;
        char name[]; /* "key NAME" or "address ADDRESS" */
} Bucket;

struct RateLimiter {
        Bucket *by_name;            /* hash table */
        TAILQ_HEAD(, Bucket) order; /* of the last use, oldest first */
};

int rate_limiter_new(RateLimiter **ret) {
        RateLimiter *l = calloc(1, sizeof *l);

        if (!l)
                return -ENOMEM;
        TAILQ_INIT(&l->order);
        *ret = l;
        return 0;
}

static void drop(RateLimiter *l, Bucket *b) {
        HASH_DELETE(hh, l->by_name, b);
        TAILQ_REMOVE(&l->order, b, entry);
        free(b);
}

RateLimiter *rate_limiter_free(RateLimiter *l) {
        Bucket *b;

        if (!l)
                return NULL;
        while ((b = TAILQ_FIRST(&l->order)))
                drop(l, b);
        free(l);
        return NULL;
}

size_t rate_limiter_n(const RateLimiter *l) {
        return HASH_COUNT(l->by_name);
}

/* One that is full is as good as none. */
static void forget_full(RateLimiter *l, usec_t now) {
        Bucket *b;

        for (unsigned i = 0; i < 2 && (b = TAILQ_FIRST(&l->order)) && b->full_at <= now; i++)
                drop(l, b);
        if (HASH_COUNT(l->by_name) >= RATE_BUCKETS_MAX)
                drop(l, TAILQ_FIRST(&l->order));
}

static Bucket *find(RateLimiter *l, const char *name, usec_t now) {
        size_t n = strlen(name);
        Bucket *b;

        HASH_FIND(hh, l->by_name, name, n, b);
        if (b) {
                TAILQ_REMOVE(&l->order, b, entry);
                TAILQ_INSERT_TAIL(&l->order, b, entry);
                return b;
        }
        forget_full(l, now);
        b = calloc(1, sizeof *b + n + 1);
        if (!b)
                return NULL;
        memcpy(b->name, name, n + 1);
        HASH_ADD(hh, l->by_name, name, n, b);
        if (!HASH_HAS(hh, b)) {
                free(b);
                return NULL;
        }
        TAILQ_INSERT_TAIL(&l->order, b, entry);
        return b;
}

static int take(RateLimiter *l, const Rate *rate, const char *name, const char *whose, Error *error) {
        usec_t now = clock_monotonic(), each = rate->per / rate->n;
        Bucket *b = find(l, name, now);

        if (!b)
                return -ENOMEM;
        usec_t full_at = MAX(b->full_at, now) + each;
        if (full_at <= now + rate->per) {
                b->full_at = full_at;
                return 0;
        }
        int r = error_set(error, ERROR_QUOTA, "Too many requests of this %s: %u in %llu s are allowed.", whose, rate->n,
                (unsigned long long) (rate->per / USEC_PER_SEC));
        error->retry_after = (unsigned) ((full_at - rate->per - now + USEC_PER_SEC - 1) / USEC_PER_SEC);
        return r;
}

int rate_limiter_take_key(RateLimiter *l, const Rate *rate, const char *name, Error *error) {
        char text[NAME_MAX_];

        if (rate->n == 0 || !name || !name[0])
                return 0;
        (void) snprintf(text, sizeof text, "key %s", name);
        return take(l, rate, text, "key", error);
}

int rate_limiter_take_address(RateLimiter *l, const Rate *rate, const char *address, Error *error) {
        struct in6_addr v6;
        char text[NAME_MAX_], network[INET6_ADDRSTRLEN];

        if (rate->n == 0 || !address[0])
                return 0;
        (void) snprintf(text, sizeof text, "address %s", address);
        if (inet_pton(AF_INET6, address, &v6) == 1) {
                memset(v6.s6_addr + 8, 0, 8); /* who has one has them all */
                if (inet_ntop(AF_INET6, &v6, network, sizeof network))
                        (void) snprintf(text, sizeof text, "address %s", network);
        }
        return take(l, rate, text, "address", error);
}
