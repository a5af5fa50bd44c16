/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <hiredis/hiredis.h>

#include "base/macro.h"

/* Answers of a Redis server out of a stream of bytes: hiredis' reader, with limits of what it takes. */

#define REDIS_ANSWER_MAX (16U * 1024U * 1024U) /* bytes */
#define REDIS_ELEMENTS_MAX 131072U             /* of an answer */

typedef struct RedisReader RedisReader;

int redis_reader_new(RedisReader **ret);
RedisReader *redis_reader_free(RedisReader *r);
DEFINE_CLEANUP(RedisReader, redis_reader_free);

/* Returns 0, -EPROTO (that is no answer, or too long a one) or -ENOMEM. */
int redis_reader_feed(RedisReader *r, const char *bytes, size_t size);
/* Returns 1 with @ret (freeReplyObject()), 0 when there is no whole answer yet, -EPROTO or -ENOMEM. */
int redis_reader_next(RedisReader *r, redisReply **ret);
