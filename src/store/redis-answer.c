/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/redis-answer.h"

#include <string.h>

#include "base/text.h"

/* A text without NUL in it, and none that is too long. */
static bool is_text(const redisReply *r) {
        return r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS) && r->str &&
               (size_t) r->len <= STORE_TEXT_MAX && strlen(r->str) == (size_t) r->len;
}

static void read_get(const redisReply *r, StoreReply *ret) {
        if (r->type == REDIS_REPLY_NIL || (r->type == REDIS_REPLY_STRING && r->len == 0))
                ret->result = -ENOENT;
        else if (is_text(r))
                *ret = (StoreReply){ .text = r->str };
}

static void read_swap(const redisReply *r, StoreReply *ret) {
        if (r->type == REDIS_REPLY_INTEGER && r->integer == 1)
                ret->result = 0;
        if (r->type != REDIS_REPLY_ARRAY || r->elements != 1)
                return;
        const redisReply *there = r->element[0];
        if (there->type == REDIS_REPLY_NIL)
                ret->result = -ENOENT;
        else if (is_text(there))
                *ret = (StoreReply){ .result = -EEXIST, .text = there->str };
        else if (there->type == REDIS_REPLY_STRING) /* garbage: is replaced by who looks at it */
                *ret = (StoreReply){ .result = -EEXIST, .text = "" };
}

static void read_members(const redisReply *r, const char **members, StoreReply *ret) {
        if (r->type != REDIS_REPLY_ARRAY)
                return;
        *ret = (StoreReply){ .members = members };
        for (size_t i = 0; i < r->elements; i++)
                if (is_text(r->element[i]))
                        members[ret->n_members++] = r->element[i]->str;
}

void redis_answer_read(RedisQuestion question, const redisReply *r, const char **members, StoreReply *ret) {
        *ret = (StoreReply){ .result = -EIO };
        if (r->type == REDIS_REPLY_ERROR) {
                ret->text = r->str;
                return;
        }
        switch (question) {
        case REDIS_PUT:
                ret->result = 0;
                break;
        case REDIS_GET:
                read_get(r, ret);
                break;
        case REDIS_SWAP:
                read_swap(r, ret);
                break;
        case REDIS_ADD:
                if (r->type == REDIS_REPLY_INTEGER)
                        ret->result = r->integer == 1 ? 0 : -EDQUOT;
                break;
        case REDIS_MEMBERS:
                read_members(r, members, ret);
                break;
        }
}

bool redis_answer_is_failure(const redisReply *r) {
        /* of the command or of what is under the name: others may go well */
        static const char *const harmless[] = { "ERR", "WRONGTYPE", "NOSCRIPT" };

        if (r->type != REDIS_REPLY_ERROR)
                return false;
        if (!text_is_one_of(r->str, strcspn(r->str, " "), harmless, ELEMENTSOF(harmless)))
                return true;
        /* what a script met is told as an error of the script */
        return strstr(r->str, "-OOM ") || strstr(r->str, "-READONLY ") || strstr(r->str, "-MISCONF ");
}
