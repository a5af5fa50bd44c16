/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/redis-reader.h"
#include "store/store.h"

/* What an answer of a Redis server means. */

typedef enum RedisQuestion {
        REDIS_PUT,     /* done, or not */
        REDIS_GET,     /* a text; an empty one is none */
        REDIS_SWAP,    /* 1, or an array of what is there: a text or nil */
        REDIS_ADD,     /* 1, or 0 when the set is full */
        REDIS_MEMBERS, /* an array of texts */
} RedisQuestion;

/* Fills @ret, which borrows from @reply; @members: room for as many as @reply has elements. An answer of another shape
 * is -EIO. */
void redis_answer_read(RedisQuestion question, const redisReply *reply, const char **members, StoreReply *ret);

/* Is it an error that says something of the server, not of the command: read only, loading, out of memory? */
bool redis_answer_is_failure(const redisReply *reply);
