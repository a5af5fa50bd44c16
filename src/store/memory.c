/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/hash.h"
#include "store/store.h"

#define SWEEP_USEC (10 * USEC_PER_SEC)

/* One text, or one member of a set: "SET\nMEMBER". */
typedef struct Item {
        char *text; /* owned */
        usec_t deadline;
        UT_hash_handle hh;
        char name[];
} Item;

typedef struct Memory Memory;

typedef struct MemoryCall {
        StoreCall call;
        Memory *memory; /* borrowed */
        StoreDone *done;
        void *userdata;
        int result;
        char *text;     /* owned or NULL */
        char **members; /* owned, each */
        size_t n_members;
        TAILQ_ENTRY(MemoryCall) entry;
} MemoryCall;

struct Memory {
        Store store;
        Item *items, *sets;             /* hash tables */
        TAILQ_HEAD(, MemoryCall) calls; /* to be answered in this turn */
        sd_event_source *answer, *sweep;
};

static Memory *memory(Store *s) {
        return CONTAINER_OF(s, Memory, store);
}

/* --- answers --- */

static StoreCall *call_cancel(StoreCall *call) {
        MemoryCall *c = CONTAINER_OF(call, MemoryCall, call);

        TAILQ_REMOVE(&c->memory->calls, c, entry);
        for (size_t i = 0; i < c->n_members; i++)
                free(c->members[i]);
        free(c->members);
        free(c->text);
        free(c);
        return NULL;
}

static int on_answer(sd_event_source *source, void *userdata) {
        Memory *m = userdata;
        MemoryCall *c;

        (void) source;
        while ((c = TAILQ_FIRST(&m->calls))) {
                MemoryCall copy = *c;
                TAILQ_REMOVE(&m->calls, c, entry);
                copy.done(&(StoreReply){ copy.result, copy.text, (const char *const *) copy.members, copy.n_members },
                        copy.userdata);
                TAILQ_INSERT_HEAD(&m->calls, c, entry);
                (void) call_cancel(&c->call);
        }
        return 0;
}

/* Returns a call that will be answered with @result, or NULL when nobody wants to know. */
static int answer(Memory *m, int result, const char *text, StoreDone *done, void *userdata, StoreCall **ret) {
        if (!done)
                return 0;
        MemoryCall *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->call.ops = m->store.ops;
        c->memory = m;
        c->done = done;
        c->userdata = userdata;
        c->result = result;
        if (text && !(c->text = strdup(text))) {
                free(c);
                return -ENOMEM;
        }
        TAILQ_INSERT_TAIL(&m->calls, c, entry);
        (void) sd_event_source_set_enabled(m->answer, SD_EVENT_ONESHOT);
        if (ret)
                *ret = &c->call;
        return 0;
}

static int add_member(MemoryCall *c, const char *member) {
        char **p = reallocarray(c->members, c->n_members + 1, sizeof *p);

        if (!p)
                return -ENOMEM;
        c->members = p;
        p[c->n_members] = strdup(member);
        return p[c->n_members++] ? 0 : -ENOMEM;
}

/* --- items --- */

static void item_drop(Item **table, Item *i) {
        HASH_DELETE(hh, *table, i);
        free(i->text);
        free(i);
}

static Item *item_find(Item **table, const char *name) {
        Item *i;

        HASH_FIND(hh, *table, name, strlen(name), i);
        if (i && clock_monotonic() >= i->deadline) {
                item_drop(table, i);
                i = NULL;
        }
        return i;
}

static int item_put(Item **table, const char *name, const char *text, usec_t life) {
        Item *i = item_find(table, name);
        char *copy = strdup(text);

        if (!i && copy) {
                i = malloc(sizeof *i + strlen(name) + 1);
                if (i) {
                        i->text = NULL;
                        memcpy(i->name, name, strlen(name) + 1);
                        HASH_ADD(hh, *table, name, strlen(name), i);
                        if (!HASH_HAS(hh, i)) {
                                free(i);
                                i = NULL;
                        }
                }
        }
        if (!i || !copy) {
                free(copy);
                return -ENOMEM;
        }
        free(i->text);
        i->text = copy;
        i->deadline = clock_monotonic() + life;
        return 0;
}

static void sweep(Item **table) {
        usec_t now = clock_monotonic();
        Item *i, *next;

        HASH_ITER(hh, *table, i, next)
        if (now >= i->deadline)
                item_drop(table, i);
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata) {
        Memory *m = userdata;

        (void) usec;
        (void) sd_event_source_set_time_relative(source, SWEEP_USEC);
        sweep(&m->items);
        sweep(&m->sets);
        return 0;
}

/* --- calls --- */

static int memory_get(Store *s, const char *name, StoreDone *done, void *userdata, StoreCall **ret) {
        Item *i = item_find(&memory(s)->items, name);

        return answer(memory(s), i ? 0 : -ENOENT, i ? i->text : NULL, done, userdata, ret);
}

static int memory_put(
        Store *s, const char *name, const char *text, usec_t life, StoreDone *done, void *userdata, StoreCall **ret) {
        int r = item_put(&memory(s)->items, name, text, life);

        return r < 0 ? r : answer(memory(s), 0, NULL, done, userdata, ret);
}

static int memory_swap(Store *s, const char *name, const char *expected, const char *text, usec_t life, StoreDone *done,
        void *userdata, StoreCall **ret) {
        Memory *m = memory(s);
        Item *i = item_find(&m->items, name);

        if (i ? !expected || strcmp(i->text, expected) != 0 : expected != NULL)
                return answer(m, i ? -EEXIST : -ENOENT, i ? i->text : NULL, done, userdata, ret);
        if (text) {
                int r = item_put(&m->items, name, text, life);
                if (r < 0)
                        return r;
        } else if (i)
                item_drop(&m->items, i);
        return answer(m, 0, NULL, done, userdata, ret);
}

static int memory_drop(Store *s, const char *name) {
        Item *i = item_find(&memory(s)->items, name);

        if (i)
                item_drop(&memory(s)->items, i);
        return 0;
}

static char *member_name(const char *set, const char *member) {
        char *name;

        return asprintf(&name, "%s\n%s", set, member) < 0 ? NULL : name;
}

static unsigned count_members(Memory *m, const char *prefix) {
        usec_t now = clock_monotonic();
        unsigned n = 0;

        for (Item *i = m->sets; i; i = i->hh.next)
                if (strncmp(i->name, prefix, strlen(prefix)) == 0 && now < i->deadline)
                        n++;
        return n;
}

/* How many of @m are not there yet? */
static int count_new(Memory *m, const char *set, const StoreMembers *members, unsigned *ret) {
        *ret = 0;
        for (size_t i = 0; i < members->n_members; i++) {
                _cleanup_free_ char *name = member_name(set, members->members[i]);
                if (!name)
                        return -ENOMEM;
                *ret += !item_find(&m->sets, name);
        }
        return 0;
}

static int memory_remove(Store *s, const char *set, const char *member) {
        _cleanup_free_ char *name = member_name(set, member);
        Item *i = name ? item_find(&memory(s)->sets, name) : NULL;

        if (i)
                item_drop(&memory(s)->sets, i);
        return name ? 0 : -ENOMEM;
}

static int memory_add(
        Store *s, const char *set, const StoreMembers *m, StoreDone *done, void *userdata, StoreCall **ret) {
        _cleanup_free_ char *prefix = member_name(set, "");
        unsigned added = 0;

        int r = prefix ? count_new(memory(s), set, m, &added) : -ENOMEM;
        if (r < 0)
                return r;
        if (m->max > 0 && added > 0 && count_members(memory(s), prefix) + added > m->max)
                return answer(memory(s), -EDQUOT, NULL, done, userdata, ret);
        if (m->instead)
                r = memory_remove(s, set, m->instead);
        for (size_t i = 0; i < m->n_members && r >= 0; i++) {
                _cleanup_free_ char *name = member_name(set, m->members[i]);
                r = name ? item_put(&memory(s)->sets, name, "", m->life) : -ENOMEM;
        }
        return r < 0 ? r : answer(memory(s), 0, NULL, done, userdata, ret);
}

static int memory_members(Store *s, const char *set, StoreDone *done, void *userdata, StoreCall **ret) {
        _cleanup_free_ char *prefix = member_name(set, "");
        usec_t now = clock_monotonic();
        StoreCall *c = NULL;

        int r = prefix ? answer(memory(s), 0, NULL, done, userdata, &c) : -ENOMEM;
        if (r < 0 || !done)
                return r;
        for (Item *i = memory(s)->sets; i && r >= 0; i = i->hh.next)
                if (strncmp(i->name, prefix, strlen(prefix)) == 0 && now < i->deadline)
                        r = add_member(CONTAINER_OF(c, MemoryCall, call), i->name + strlen(prefix));
        if (r < 0) {
                (void) call_cancel(c);
                return r;
        }
        if (ret)
                *ret = c;
        return 0;
}

/* --- start and end --- */

static void clear(Item **table) {
        Item *i, *next;

        HASH_ITER(hh, *table, i, next)
        item_drop(table, i);
}

static Store *memory_free(Store *s) {
        Memory *m = memory(s);
        MemoryCall *c;

        while ((c = TAILQ_FIRST(&m->calls)))
                (void) call_cancel(&c->call);
        clear(&m->items);
        clear(&m->sets);
        m->answer = sd_event_source_disable_unref(m->answer);
        m->sweep = sd_event_source_disable_unref(m->sweep);
        free(m);
        return NULL;
}

static const StoreOps memory_ops = {
        .name = "memory",
        .free = memory_free,
        .get = memory_get,
        .put = memory_put,
        .swap = memory_swap,
        .drop = memory_drop,
        .add = memory_add,
        .remove = memory_remove,
        .members = memory_members,
        .cancel = call_cancel,
};

int store_memory_new(sd_event *event, Store **ret) {
        Memory *m = calloc(1, sizeof *m);

        if (!m)
                return -ENOMEM;
        m->store.ops = &memory_ops;
        m->store.available = true;
        TAILQ_INIT(&m->calls);
        int r = sd_event_add_defer(event, &m->answer, on_answer, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->answer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(
                        event, &m->sweep, CLOCK_MONOTONIC, SWEEP_USEC, USEC_PER_SEC, on_sweep, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->sweep, SD_EVENT_ON);
        if (r < 0) {
                (void) memory_free(&m->store);
                return r;
        }
        *ret = &m->store;
        return 0;
}
