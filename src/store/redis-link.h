/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/redis-reader.h"
#include "store/redis.h"

/* A connection to a Redis server that is there again after it broke. Commands go out at once, many in one write, and
 * are answered in order. What is not answered in time breaks the connection: nobody waits longer than that, and while
 * the server is slow, nobody waits at all. */

typedef struct RedisLink RedisLink;
typedef struct RedisCommand RedisCommand;

/* @reply: borrowed, maybe an error of the server; NULL: there is none, because of @error (-ETIMEDOUT, -ENOTCONN). The
 * command is over. Never called from within redis_link_send(). */
typedef void RedisDone(const redisReply *reply, int error, void *userdata);

/* The server can be used now, or it cannot, for @reason; told again after each attempt. */
typedef void RedisNotify(RedisLink *l, bool ready, const char *reason, void *userdata);

int redis_link_new(
        sd_event *event, const RedisSettings *settings, RedisNotify *notify, void *userdata, RedisLink **ret);
RedisLink *redis_link_free(RedisLink *l); /* tells nobody */
DEFINE_CLEANUP(RedisLink, redis_link_free);

/* @done: may be NULL. @ret: may be NULL. Returns 0, -ENOTCONN (not ready), -ENOBUFS (too many) or -ENOMEM. */
int redis_link_send(
        RedisLink *l, size_t argc, const char *const *argv, RedisDone *done, void *userdata, RedisCommand **ret);
/* Nobody waits for it any more. */
void redis_command_detach(RedisCommand *c);

bool redis_link_is_ready(const RedisLink *l);
/* Our address on the connection, or "". */
const char *redis_link_local_address(const RedisLink *l);
