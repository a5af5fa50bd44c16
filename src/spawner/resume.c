/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/spawner-internal.h"

/*
 * Going on where another process ended: one that was killed at any moment, or one that made way for another version of
 * the program. The zygote ended with it; what it was making is made again, what ended meanwhile is told.
 */

static void resume_slot(Spawner *s, Slot *slot) {
        switch ((SlotState) slot->state) {
        case SLOT_WAITING:
        case SLOT_STARTING:
                s->n_making++;
                slot->tries = 0;
                making_again(s, slot);
                break;
        case SLOT_LIVE:
        case SLOT_DYING:
                if (slot->pidfd < 0) { /* it had ended, and what held its mounts has since */
                        s->n_clearing++;
                        slot_set_state(slot, SLOT_DYING);
                        ending_cleared(s, slot);
                        break;
                }
                spawner_watch_slot(s, slot);
                if (slot->state == SLOT_DYING || blank_is(slot)) {
                        slot->state = SLOT_LIVE; /* it may not have been killed yet */
                        ending_kill(s, slot);
                }
                break;
        default:
                break;
        }
}

int resume_state(Spawner *s) {
        StateHead *h = s->held;

        if (h->counters.n_identities == 0)
                return 0;
        int r = state_add_slots(&s->state, h->counters.n_identities);
        if (r == 0)
                r = slot_table_resume(&s->table, &h->counters, s->state.slots, s->state.kept);
        if (r < 0)
                return r;
        state_pass(&s->state, false);
        s->resumed = true;
        s->recovered = !h->clean;
        h->clean = false;
        for (uint32_t i = 0; i < h->counters.n_used; i++)
                resume_slot(s, &s->table.slots[i]);
        ending_trim_later(s); /* the former process may not have come to it */
        if (s->recovered)
                link_repeat(s);
        return 0;
}
