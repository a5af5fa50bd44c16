/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "store/redis-answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink;

static void read_all(const redisReply *reply) {
        _cleanup_free_ const char **members =
                reply->type == REDIS_REPLY_ARRAY ? calloc(MAX(reply->elements, (size_t) 1), sizeof *members) : NULL;
        StoreReply r;

        for (RedisQuestion q = REDIS_PUT; q <= REDIS_MEMBERS; q++) {
                redis_answer_read(q, reply, members, &r);
                if (r.result == 0 && r.n_members > reply->elements)
                        abort();
                if (r.text)
                        sink += strlen(r.text);
                for (size_t i = 0; i < r.n_members; i++)
                        sink += strlen(r.members[i]);
        }
        (void) redis_answer_is_failure(reply);
}

/* The first byte says in how large pieces the rest of it comes, as a server's answers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(redis_reader_freep) RedisReader *reader = NULL;
        size_t piece = size > 0 ? data[0] % 64U + 1U : 1, at = 1;
        redisReply *reply;

        if (redis_reader_new(&reader) < 0)
                return 0;
        while (at < size) {
                size_t n = MIN(piece, size - at);
                if (redis_reader_feed(reader, (const char *) data + at, n) < 0)
                        return 0;
                at += n;
                int r;
                while ((r = redis_reader_next(reader, &reply)) > 0) {
                        read_all(reply);
                        freeReplyObject(reply);
                }
                if (r < 0)
                        return 0;
        }
        return 0;
}
