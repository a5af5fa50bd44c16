/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/slot.h"

#include <string.h>

#include "base/clock.h"
#include "base/fd.h"

/* What was written before is in the file before what is written after: this process may be killed in between. */
static void settle(void) {
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void table_use(SlotTable *t, SlotCounters *counters, Slot *slots, Kept *kept) {
        *t = (SlotTable){
                .counters = counters,
                .slots = slots,
                .kept = kept,
                .n_slots = counters->n_identities - 1, /* one id more than slots, so that a freed id rests once */
                .first_free = SLOT_NONE,
                .first_free_kept = SLOT_NONE,
        };
}

int slot_table_init(SlotTable *t, SlotCounters *counters, Slot *slots, Kept *kept, uint32_t n_identities) {
        assert(n_identities > 1);

        if (n_identities > IDENTITIES_MAX)
                return -E2BIG;
        *counters = (SlotCounters){
                .last_identity = n_identities - 1,
                /* never one that a spawner before this one gave away */
                .last_generation = clock_realtime(),
        };
        settle();
        counters->n_identities = n_identities;
        table_use(t, counters, slots, kept);
        t->identities = calloc(n_identities, 1);
        return t->identities ? 0 : -ENOMEM;
}

static bool resume_slot(SlotTable *t, Slot *s) {
        if (s->state >= SLOT_STATE_MAX_ || s->identity >= t->counters->n_identities)
                return false;
        s->image[sizeof s->image - 1] = '\0';
        s->kept = SLOT_NONE;
        s->n_kept = 0;
        t->counters->last_generation = MAX(t->counters->last_generation, s->generation);
        if (s->state == SLOT_FREE) {
                s->next = t->first_free;
                t->first_free = slot_index(t, s);
                return true;
        }
        if (t->identities[s->identity])
                return false;
        t->identities[s->identity] = 1;
        t->n_busy++;
        return true;
}

static void resume_kept(SlotTable *t, uint32_t i) {
        Kept *k = &t->kept[i];
        Slot *s = k->slot < t->counters->n_used ? &t->slots[k->slot] : NULL;

        if (k->generation == 0 || !s || s->state == SLOT_FREE || s->generation != k->generation ||
                s->n_kept >= KEPT_PER_SLOT_MAX || k->flags >= 1U << KEPT_MAX) {
                k->generation = 0;
                k->next = t->first_free_kept;
                t->first_free_kept = i;
                return;
        }
        k->next = s->kept;
        s->kept = i;
        s->n_kept++;
}

int slot_table_resume(SlotTable *t, SlotCounters *counters, Slot *slots, Kept *kept) {
        if (counters->n_identities < 2 || counters->n_identities > IDENTITIES_MAX ||
                counters->n_used >= counters->n_identities || counters->last_identity >= counters->n_identities ||
                counters->n_kept_used > KEPT_TABLE_MAX)
                return -EBADMSG;
        table_use(t, counters, slots, kept);
        t->identities = calloc(counters->n_identities, 1);
        if (!t->identities)
                return -ENOMEM;
        for (uint32_t i = counters->n_used; i-- > 0;)
                if (!resume_slot(t, &slots[i]))
                        return -EBADMSG;
        for (uint32_t i = counters->n_kept_used; i-- > 0;)
                resume_kept(t, i);
        return 0;
}

void slot_close(int32_t *fd) {
        int old = *fd;

        *fd = -EBADF;
        settle();
        (void) fd_close(old);
}

void slot_set_state(Slot *s, SlotState state) {
        settle();
        s->state = state;
        settle();
}

/* A slot that was never used. */
static Slot *slot_fresh(SlotTable *t) {
        if (t->counters->n_used >= t->n_slots)
                return NULL;

        Slot *s = &t->slots[t->counters->n_used];
        *s = (Slot){ .netns = -EBADF, .ctl = -EBADF, .inner = -EBADF, .pidfd = -EBADF, .kept = SLOT_NONE };
        settle();
        t->counters->n_used++;
        return s;
}

Slot *slot_take(SlotTable *t, uint64_t cookie, const Limits *limits, uint32_t calls, const char *image) {
        SlotCounters *c = t->counters;
        Slot *s;

        if (t->first_free != SLOT_NONE) {
                s = &t->slots[t->first_free];
                t->first_free = s->next;
        } else
                s = slot_fresh(t);
        if (!s)
                return NULL;

        do
                c->last_identity = (c->last_identity + 1) % c->n_identities;
        while (t->identities[c->last_identity]);

        t->identities[c->last_identity] = 1;
        t->n_busy++;
        t->n_rested = MIN(t->n_rested, slot_n_free(t));
        s->kill_wanted = false;
        s->tries = 0;
        s->identity = c->last_identity;
        s->generation = ++c->last_generation;
        s->cookie = cookie;
        s->limits = *limits;
        s->calls = calls;
        memcpy(s->image, image, sizeof s->image);
        slot_set_state(s, SLOT_WAITING);
        return s;
}

void slot_set_tenant(Slot *s, uint64_t cookie, const Limits *limits) {
        s->limits = *limits;
        settle();
        s->cookie = cookie;
        settle();
}

void slot_release(SlotTable *t, Slot *s) {
        assert(s->state != SLOT_FREE);

        while (s->kept != SLOT_NONE)
                slot_drop(t, s, t->kept[s->kept].number);
        slot_close(&s->ctl);
        slot_close(&s->inner);
        slot_close(&s->pidfd);
        if (!s->netns_reusable)
                slot_close(&s->netns);
        t->identities[s->identity] = 0;
        t->n_busy--;
        slot_set_state(s, SLOT_FREE);
        s->next = t->first_free;
        t->first_free = slot_index(t, s);
}

bool slot_table_trim(SlotTable *t, uint32_t keep, uint32_t max, SlotForget forget, void *userdata) {
        uint32_t n_free = slot_n_free(t), n_needed = MAX(keep, n_free - MIN(n_free, t->n_rested)), i = 0, n = 0;
        bool more = false;

        /* they are given out from the front, so those behind have rested longest */
        for (uint32_t at = t->first_free; at != SLOT_NONE; at = t->slots[at].next, i++) {
                Slot *s = &t->slots[at];
                if (i < keep || (!s->leaf && s->netns < 0))
                        continue;
                if (i < n_needed || n == max)
                        more = true;
                else {
                        forget(userdata, s);
                        n++;
                        more |= s->leaf; /* it is busy still */
                }
        }
        t->n_rested = n_free;
        return more;
}

static void kept_free(SlotTable *t, uint32_t i) {
        Kept *k = &t->kept[i];
        int fds[KEPT_MAX];

        for (size_t f = 0; f < KEPT_MAX; f++)
                fds[f] = k->fds[f];
        k->generation = 0;
        settle();
        fds_close(fds, (size_t) __builtin_popcount(k->flags));
        k->next = t->first_free_kept;
        t->first_free_kept = i;
}

void slot_drop(SlotTable *t, Slot *s, uint64_t number) {
        for (uint32_t *p = &s->kept; *p != SLOT_NONE; p = &t->kept[*p].next) {
                uint32_t i = *p;
                if (t->kept[i].number != number)
                        continue;
                *p = t->kept[i].next;
                s->n_kept--;
                kept_free(t, i);
                return;
        }
}

/* Returns SLOT_NONE when all are taken. */
static uint32_t kept_take(SlotTable *t) {
        uint32_t i = t->first_free_kept;

        if (i != SLOT_NONE) {
                t->first_free_kept = t->kept[i].next;
                return i;
        }
        return t->counters->n_kept_used < KEPT_TABLE_MAX ? t->counters->n_kept_used++ : SLOT_NONE;
}

int slot_keep(SlotTable *t, Slot *s, uint64_t number, uint32_t flags, int *fds, size_t n_fds) {
        if (n_fds == 0 || flags >= 1U << KEPT_MAX || (size_t) __builtin_popcount(flags) != n_fds)
                return -EINVAL;
        slot_drop(t, s, number);
        if (s->n_kept >= KEPT_PER_SLOT_MAX)
                return -EMFILE;

        uint32_t i = kept_take(t);
        if (i == SLOT_NONE)
                return -EMFILE;
        Kept *k = &t->kept[i];
        *k = (Kept){ .next = s->kept, .slot = slot_index(t, s), .number = number, .flags = flags };
        for (size_t f = 0; f < n_fds; f++)
                k->fds[f] = take_fd(fds[f]);
        settle();
        k->generation = s->generation;
        s->kept = i;
        s->n_kept++;
        return 0;
}
