/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/slot.h"

#include "base/clock.h"
#include "base/fd.h"

int slot_table_init(SlotTable *t, uint32_t n_identities) {
        assert(n_identities > 1);

        if (n_identities > IDENTITIES_MAX)
                return -E2BIG;
        /* one id more than slots, so that a freed id rests at least once */
        *t = (SlotTable){
                .n_slots = n_identities - 1,
                .n_identities = n_identities,
                .first_free = SLOT_NONE,
                /* never one that a spawner before this one gave away */
                .last_generation = clock_realtime(),
        };
        t->slots = calloc(t->n_slots, sizeof *t->slots);
        t->identities = calloc(n_identities, 1);
        if (!t->slots || !t->identities) {
                free(t->slots);
                free(t->identities);
                return -ENOMEM;
        }
        t->last_identity = n_identities - 1;
        return 0;
}

/* A slot that was never used. */
static Slot *slot_fresh(SlotTable *t) {
        if (t->n_used >= t->n_slots)
                return NULL;

        Slot *s = &t->slots[t->n_used++];
        *s = (Slot){ .netns = -EBADF, .ctl = -EBADF, .inner = -EBADF, .pidfd = -EBADF };
        return s;
}

Slot *slot_take(SlotTable *t) {
        Slot *s;

        if (t->first_free != SLOT_NONE) {
                s = &t->slots[t->first_free];
                t->first_free = s->next;
        } else
                s = slot_fresh(t);
        if (!s)
                return NULL;

        do
                t->last_identity = (t->last_identity + 1) % t->n_identities;
        while (t->identities[t->last_identity]);

        t->identities[t->last_identity] = 1;
        t->n_busy++;
        s->state = SLOT_WAITING;
        s->kill_wanted = false;
        s->identity = t->last_identity;
        s->generation = ++t->last_generation;
        return s;
}

void slot_release(SlotTable *t, Slot *s) {
        assert(s->state != SLOT_FREE);

        while (s->kept)
                slot_drop(s, s->kept->number);
        s->ctl = fd_close(s->ctl);
        s->inner = fd_close(s->inner);
        s->pidfd = fd_close(s->pidfd);
        if (!s->netns_reusable)
                s->netns = fd_close(s->netns);
        t->identities[s->identity] = 0;
        t->n_busy--;
        s->state = SLOT_FREE;
        s->next = t->first_free;
        t->first_free = slot_index(t, s);
}

void slot_drop(Slot *s, uint64_t number) {
        for (Kept **p = &s->kept; *p; p = &(*p)->next) {
                Kept *k = *p;
                if (k->number != number)
                        continue;
                *p = k->next;
                s->n_kept--;
                fds_close(k->fds, (size_t) __builtin_popcount(k->flags));
                free(k);
                return;
        }
}

int slot_keep(Slot *s, uint64_t number, uint32_t flags, int *fds, size_t n_fds) {
        if (n_fds == 0 || flags >= 1U << KEPT_MAX || (size_t) __builtin_popcount(flags) != n_fds)
                return -EINVAL;
        slot_drop(s, number);
        if (s->n_kept >= KEPT_PER_SLOT_MAX)
                return -EMFILE;

        Kept *k = malloc(sizeof *k);
        if (!k)
                return -ENOMEM;
        *k = (Kept){ .next = s->kept, .number = number, .flags = flags };
        for (size_t i = 0; i < n_fds; i++)
                k->fds[i] = take_fd(fds[i]);
        s->kept = k;
        s->n_kept++;
        return 0;
}
