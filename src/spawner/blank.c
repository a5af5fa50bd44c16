/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/fd.h"
#include "spawner/spawner-internal.h"

#define LEISURE_USEC (20 * USEC_PER_MSEC) /* while there are enough: the tenant's first command goes first */
#define SLOTS_MIN 8U

static BlankKind kind_of(const Spawner *s, const Limits *limits, uint32_t calls, const char *image) {
        BlankKind k = { .files = limits_files(limits, s->cgroup.limits), .calls = calls, .limits = *limits };

        memcpy(k.image, image, sizeof k.image);
        return k;
}

static bool is_same(const BlankKind *a, const BlankKind *b) {
        return a->files == b->files && a->calls == b->calls && strncmp(a->image, b->image, sizeof a->image) == 0;
}

static bool is_of_kind(const Spawner *s, const Slot *slot, const BlankKind *kind) {
        BlankKind k = kind_of(s, &slot->limits, slot->calls, slot->image);

        return is_same(&k, kind);
}

static Slot *blank(const Spawner *s, unsigned i) {
        return &s->table.slots[s->blanks.slots[i]];
}

static void strike(Blanks *b, unsigned i) {
        b->n--;
        memmove(&b->slots[i], &b->slots[i + 1], (b->n - i) * sizeof b->slots[0]);
}

static void end_oldest(Spawner *s) {
        Slot *slot = blank(s, 0);

        strike(&s->blanks, 0);
        ending_kill(s, slot);
}

static void end_all(Spawner *s) {
        while (s->blanks.n > 0)
                end_oldest(s);
}

void blank_note(Spawner *s, const SpawnMessage *m) {
        Blanks *b = &s->blanks;

        memmove(&b->asked[1], &b->asked[0], (BLANK_MEMORY - 1) * sizeof b->asked[0]);
        b->asked[0] = kind_of(s, &m->limits, m->calls, m->image);
        b->n_asked = MIN(b->n_asked + 1, BLANK_MEMORY);
        b->due = clock_monotonic() + (b->n > BLANKS_MAX / 2 ? LEISURE_USEC : 0);
        if (s->table.n_busy >= s->table.n_slots / 4 * 3) /* their places are needed */
                end_all(s);
}

/* The limits of the leaf, then those that process 1 sets itself: it reads them before whatever the worker sends. */
static int set_limits(Spawner *s, Slot *slot, const Limits *limits) {
        InitRequest request = { .type = INIT_LIMIT, .length = sizeof *limits };
        struct iovec iov[2] = {
                { .iov_base = &request, .iov_len = sizeof request },
                { .iov_base = (void *) limits, .iov_len = sizeof *limits },
        };

        if (s->cgroup.fd >= 0) {
                Limits now = slot->leaf_limits;
                slot->leaf = false; /* as when it is made */
                _cleanup_fd_ int leaf = cgroup_leaf_open(&s->cgroup, slot_index(&s->table, slot), limits, &now);
                if (leaf < 0)
                        return leaf;
                slot->leaf_limits = *limits;
                slot->leaf = true;
        }
        return message_send(slot->ctl, iov, ELEMENTSOF(iov), NULL, 0);
}

bool blank_give(Spawner *s, const SpawnMessage *m) {
        BlankKind wanted = kind_of(s, &m->limits, m->calls, m->image);

        for (unsigned i = 0; i < s->blanks.n;) {
                Slot *slot = blank(s, i);
                if (slot->state != SLOT_LIVE || !is_of_kind(s, slot, &wanted)) {
                        i++;
                        continue;
                }
                strike(&s->blanks, i);
                if (set_limits(s, slot, &m->limits) < 0) { /* it has just ended */
                        ending_kill(s, slot);
                        continue;
                }
                slot_set_tenant(slot, m->cookie, &m->limits);
                SpawnMessage created = link_slot_message(s, slot, SPAWN_CREATED);
                link_send(s, &created, slot->ctl);
                return true;
        }
        return false;
}

void blank_lost(Spawner *s, const Slot *slot) {
        Blanks *b = &s->blanks;

        for (unsigned i = 0; i < b->n; i++) {
                if (blank(s, i) != slot)
                        continue;
                strike(b, i);
                b->n_asked = 0; /* not again and again: not before it is asked for again */
                return;
        }
}

void blank_forget(Spawner *s) {
        s->blanks.n_asked = 0;
        end_all(s);
}

/* Whose number is enough, or who was asked for by chance alone. */
static bool is_wanted(Spawner *s) {
        const Blanks *b = &s->blanks;
        unsigned n_asked = 0, n = 0;

        for (unsigned i = 0; i < b->n_asked; i++)
                n_asked += is_same(&b->asked[i], &b->asked[0]);
        if (n_asked < 2)
                return false;
        for (unsigned i = 0; i < b->n; i++)
                n += is_of_kind(s, blank(s, i), &b->asked[0]);
        return b->n < BLANKS_MAX || n == 0;
}

static bool is_idle(const Spawner *s) {
        return s->zygote_ready && s->n_making == 0 && !s->stopping && !s->execute_wanted &&
               s->held->worker_said_hello && s->table.n_slots >= SLOTS_MIN && s->table.n_busy < s->table.n_slots / 2;
}

int blank_tend(Spawner *s) {
        usec_t now;

        if (!is_idle(s) || !is_wanted(s))
                return -1;
        now = clock_monotonic();
        if (now < s->blanks.due)
                return (int) ((s->blanks.due - now) / USEC_PER_MSEC) + 1;
        if (s->blanks.n == BLANKS_MAX)
                end_oldest(s);
        const BlankKind *k = &s->blanks.asked[0];
        Slot *slot = slot_take(&s->table, 0, &k->limits, k->calls, k->image);
        if (slot) {
                s->blanks.slots[s->blanks.n++] = slot_index(&s->table, slot);
                s->n_making++;
                making_place(s, slot);
        }
        return -1;
}
