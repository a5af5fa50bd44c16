/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "store/redis-answer.h"
#include "store/redis-link.h"

/* Times are the server's: clocks of coordinators may differ. Whatever is under a name that should not be there, of
 * another type or longer than any of ours, reads as the empty text, and is replaced. */
#define NOW "local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000) "

/* clang-format off */
static const char swap_script[] =
        "local n=redis.pcall('STRLEN',KEYS[1]) local v='' "
        "if type(n)=='number' and n<=65536 then v=redis.call('GET',KEYS[1]) end "
        "if v and string.find(v,'%z') then v='' end "
        "if v~=(ARGV[1]=='1' and ARGV[2]) then return {v} end "
        "if ARGV[3]=='1' then redis.call('SET',KEYS[1],ARGV[4],'PX',ARGV[5]) else redis.call('DEL',KEYS[1]) end "
        "return 1";

static const char add_script[] =
        NOW
        "if redis.call('TYPE',KEYS[1]).ok~='zset' then redis.call('DEL',KEYS[1]) end "
        "redis.call('ZREMRANGEBYSCORE',KEYS[1],'-inf',now) "
        "local max=tonumber(ARGV[2]) local new=0 "
        "for i=4,#ARGV do if not redis.call('ZSCORE',KEYS[1],ARGV[i]) then new=new+1 end end "
        "if max>0 and new>0 and redis.call('ZCARD',KEYS[1])+new>max then return 0 end "
        "if ARGV[3]~='' then redis.call('ZREM',KEYS[1],ARGV[3]) end "
        "for i=4,#ARGV do redis.call('ZADD',KEYS[1],now+ARGV[1],ARGV[i]) end "
        "redis.call('PEXPIREAT',KEYS[1],string.format('%.0f',"
        "redis.call('ZREVRANGE',KEYS[1],0,0,'WITHSCORES')[2])) "
        "return 1";

static const char members_script[] =
        NOW "return redis.call('ZRANGEBYSCORE',KEYS[1],now,'+inf','LIMIT',0,100000)";
/* clang-format on */

typedef struct Redis Redis;

typedef struct RedisCall {
        StoreCall call;
        Redis *redis;          /* borrowed */
        RedisCommand *command; /* NULL: it is over, and told soon */
        RedisQuestion question;
        StoreDone *done;
        void *userdata;
        TAILQ_ENTRY(RedisCall) entry;
} RedisCall;

struct Redis {
        Store store;
        RedisSettings settings; /* owned copies */
        RedisLink *link;
        bool told; /* whether it is there */
        TAILQ_HEAD(, RedisCall) calls;
};

static Redis *redis(Store *s) {
        return CONTAINER_OF(s, Redis, store);
}

/* --- calls --- */

static StoreCall *call_cancel(StoreCall *call) {
        RedisCall *c = CONTAINER_OF(call, RedisCall, call);

        if (c->command)
                redis_command_detach(c->command);
        TAILQ_REMOVE(&c->redis->calls, c, entry);
        free(c);
        return NULL;
}

static void on_reply(const redisReply *reply, int error, void *userdata) {
        RedisCall *c = userdata;
        RedisCall copy = *c;
        StoreReply answer = { .result = error };
        _cleanup_free_ const char **members = NULL;

        c->command = NULL;
        (void) call_cancel(&c->call);
        if (reply && reply->type == REDIS_REPLY_ARRAY)
                members = calloc(MAX(reply->elements, (size_t) 1), sizeof *members);
        if (reply && reply->type == REDIS_REPLY_ARRAY && !members)
                answer.result = -ENOMEM;
        else if (reply)
                redis_answer_read(copy.question, reply, members, &answer);
        copy.done(&answer, copy.userdata);
}

static int ask(Store *s, RedisQuestion question, size_t argc, const char *const *argv, StoreDone *done, void *userdata,
        StoreCall **ret) {
        Redis *r = redis(s);

        if (!done)
                return redis_link_send(r->link, argc, argv, NULL, NULL, NULL);
        RedisCall *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->call.ops = s->ops;
        c->redis = r;
        c->question = question;
        c->done = done;
        c->userdata = userdata;
        TAILQ_INSERT_TAIL(&r->calls, c, entry);
        int k = redis_link_send(r->link, argc, argv, on_reply, c, &c->command);
        if (k < 0) {
                (void) call_cancel(&c->call);
                return k;
        }
        if (ret)
                *ret = &c->call;
        return 0;
}

#define NUMBER_MAX 24U

/* At least a millisecond: a life of none is an error for Redis. */
static const char *milliseconds(usec_t life, char buf[static NUMBER_MAX]) {
        (void) snprintf(buf, NUMBER_MAX, "%" PRIu64, MAX(life / USEC_PER_MSEC, UINT64_C(1)));
        return buf;
}

static int redis_get(Store *s, const char *name, StoreDone *done, void *userdata, StoreCall **ret) {
        /* not GET: there may be anything, of any length */
        const char *const argv[] = { "GETRANGE", name, "0", "65536" };

        return ask(s, REDIS_GET, ELEMENTSOF(argv), argv, done, userdata, ret);
}

static int redis_put(
        Store *s, const char *name, const char *text, usec_t life, StoreDone *done, void *userdata, StoreCall **ret) {
        char number[NUMBER_MAX];
        const char *const argv[] = { "SET", name, text, "PX", milliseconds(life, number) };

        return ask(s, REDIS_PUT, ELEMENTSOF(argv), argv, done, userdata, ret);
}

static int redis_swap(Store *s, const char *name, const char *expected, const char *text, usec_t life, StoreDone *done,
        void *userdata, StoreCall **ret) {
        char number[NUMBER_MAX];
        const char *const argv[] = { "EVAL", swap_script, "1", name, expected ? "1" : "0", expected ? expected : "",
                text ? "1" : "0", text ? text : "", milliseconds(life, number) };

        return ask(s, REDIS_SWAP, ELEMENTSOF(argv), argv, done, userdata, ret);
}

static int redis_drop(Store *s, const char *name) {
        const char *const argv[] = { "DEL", name };

        return ask(s, REDIS_PUT, ELEMENTSOF(argv), argv, NULL, NULL, NULL);
}

static int redis_add(
        Store *s, const char *set, const StoreMembers *m, StoreDone *done, void *userdata, StoreCall **ret) {
        char number[NUMBER_MAX], most[NUMBER_MAX];
        const char *argv[7 + STORE_MEMBERS_MAX] = { "EVAL", add_script, "1", set, milliseconds(m->life, number), most,
                m->instead ? m->instead : "" };

        assert(m->n_members > 0 && m->n_members <= STORE_MEMBERS_MAX);
        assert(m->max == 0 || !m->instead);
        (void) snprintf(most, sizeof most, "%u", m->max);
        memcpy(argv + 7, m->members, m->n_members * sizeof *argv);
        return ask(s, REDIS_ADD, 7 + m->n_members, argv, done, userdata, ret);
}

static int redis_remove(Store *s, const char *set, const char *member) {
        const char *const argv[] = { "ZREM", set, member };

        return ask(s, REDIS_PUT, ELEMENTSOF(argv), argv, NULL, NULL, NULL);
}

static int redis_members(Store *s, const char *set, StoreDone *done, void *userdata, StoreCall **ret) {
        const char *const argv[] = { "EVAL", members_script, "1", set };

        return ask(s, REDIS_MEMBERS, ELEMENTSOF(argv), argv, done, userdata, ret);
}

/* --- start and end --- */

static void on_link(RedisLink *l, bool ready, const char *reason, void *userdata) {
        Redis *r = userdata;
        bool changed = r->store.available != ready || !r->told;

        (void) l;
        r->told = true;
        r->store.available = ready;
        (void) snprintf(r->store.reason, sizeof r->store.reason, "%s", reason);
        if (changed && r->store.notify)
                r->store.notify(&r->store, ready, reason, r->store.userdata);
}

static Store *redis_free(Store *s) {
        Redis *r = redis(s);
        RedisCall *c;

        while ((c = TAILQ_FIRST(&r->calls)))
                (void) call_cancel(&c->call);
        r->link = redis_link_free(r->link);
        redis_settings_clear(&r->settings);
        free(r);
        return NULL;
}

static const StoreOps redis_ops = {
        .name = "redis",
        .is_shared = true,
        .free = redis_free,
        .get = redis_get,
        .put = redis_put,
        .swap = redis_swap,
        .drop = redis_drop,
        .add = redis_add,
        .remove = redis_remove,
        .members = redis_members,
        .cancel = call_cancel,
};

static int copy_settings(const RedisSettings *from, RedisSettings *to) {
        *to = *from;
        to->host = strdup(from->host);
        to->user = strdup(from->user);
        to->password = strdup(from->password);
        to->ca_file = strdup(from->ca_file);
        return to->host && to->user && to->password && to->ca_file ? 0 : -ENOMEM;
}

int store_redis_new(sd_event *event, const RedisSettings *settings, Store **ret) {
        Redis *r = calloc(1, sizeof *r);

        if (!r)
                return -ENOMEM;
        r->store.ops = &redis_ops;
        (void) snprintf(r->store.reason, sizeof r->store.reason, "Not connected yet");
        TAILQ_INIT(&r->calls);
        int k = copy_settings(settings, &r->settings);
        if (k >= 0)
                k = redis_link_new(event, &r->settings, on_link, r, &r->link);
        if (k < 0) {
                (void) redis_free(&r->store);
                return k;
        }
        *ret = &r->store;
        return 0;
}

const char *store_redis_local_address(const Store *s) {
        return s->ops == &redis_ops ? redis_link_local_address(CONTAINER_OF(s, Redis, store)->link) : "";
}
