/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/redis-reader.h"

struct RedisReader {
        redisReader *reader;              /* owned */
        redisReplyObjectFunctions limits; /* hiredis' own, but for arrays */
        size_t n_pending;                 /* bytes since the last whole answer */
};

/* The type of the count differs between versions of the library. */
static __typeof__(((redisReplyObjectFunctions *) NULL)->createArray) make_array;

#if HIREDIS_MAJOR >= 1
typedef size_t ArrayCount;
#else
typedef int ArrayCount;
#endif

/* Room is made for as many as the server says that there are. */
static void *make_limited_array(const redisReadTask *task, ArrayCount n) {
        return (uint64_t) n > REDIS_ELEMENTS_MAX ? NULL : make_array(task, n);
}

int redis_reader_new(RedisReader **ret) {
        _cleanup_(redis_reader_freep) RedisReader *r = calloc(1, sizeof *r);

        if (!r)
                return -ENOMEM;
        r->reader = redisReaderCreate();
        if (!r->reader)
                return -ENOMEM;
        r->limits = *r->reader->fn;
        make_array = r->limits.createArray;
        r->limits.createArray = make_limited_array;
        r->reader->fn = &r->limits;
        *ret = take_ptr(r);
        return 0;
}

RedisReader *redis_reader_free(RedisReader *r) {
        if (!r)
                return NULL;
        if (r->reader)
                redisReaderFree(r->reader);
        free(r);
        return NULL;
}

int redis_reader_feed(RedisReader *r, const char *bytes, size_t size) {
        r->n_pending += size;
        if (r->n_pending > REDIS_ANSWER_MAX)
                return -EPROTO;
        return redisReaderFeed(r->reader, bytes, size) == REDIS_OK ? 0 : -ENOMEM;
}

int redis_reader_next(RedisReader *r, redisReply **ret) {
        void *reply = NULL;

        if (redisReaderGetReply(r->reader, &reply) != REDIS_OK)
                return -EPROTO; /* or out of memory, for what was announced */
        if (!reply)
                return 0;
        r->n_pending = r->reader->len - r->reader->pos;
        *ret = reply;
        return 1;
}
