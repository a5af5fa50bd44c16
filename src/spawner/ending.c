/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "spawner/spawner-internal.h"

/* Sandboxes: the way from a live one to a slot that is free again. */

/* A control group and a network namespace are about 220 KiB of the kernel's: what a rush has left is given back. A few
 * stay, for those that come one after another. */
#define TRIM_USEC (10 * USEC_PER_SEC)
#define TRIM_KEEP 16U
#define TRIM_MAX 64U /* at once: others wait meanwhile */

void ending_kill(Spawner *s, Slot *slot) {
        if (slot->state == SLOT_WAITING || slot->state == SLOT_STARTING) {
                slot->kill_wanted = true;
                return;
        }
        if (slot->state != SLOT_LIVE)
                return;

        slot_set_state(slot, SLOT_DYING);
        /* process 1 takes all others of its pid namespace with it. Not cgroup.kill: since Linux 6.14 what is cloned
         * into a leaf that was ever killed dies at once, and leaves are used again */
        if (syscall(SYS_pidfd_send_signal, slot->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
                spawner_log(LOG_ERR, "Cannot kill sandbox %u: %s", slot_index(&s->table, slot), strerror(errno));
}

/* Where a sandbox was: nobody else may see what it did there. */
static void check_netns(Spawner *s, Slot *slot) {
        ZygoteMessage m = { .type = ZYGOTE_CHECK, .cookie = slot_index(&s->table, slot) };

        if (slot->netns < 0 || !slot->netns_reusable)
                return;
        (void) making_tell_zygote(s, &m, &slot->netns, 1); /* it comes back, or nobody holds it any more */
        slot_close(&slot->netns);
}

static bool is_clearing(const Slot *slot) {
        return slot->state == SLOT_DYING && slot->pidfd < 0;
}

/* Has its mounts taken down. Where the zygote has ended they are gone; one that has enough to do is told later. */
static void clear(Spawner *s, Slot *slot) {
        ZygoteMessage m = { .type = ZYGOTE_CLEAR, .cookie = slot_index(&s->table, slot) };

        if (!s->zygote_ready)
                ending_cleared(s, slot);
        else if (making_tell_zygote(s, &m, NULL, 0) == -EAGAIN)
                s->clear_again = true;
}

void ending_clear_again(Spawner *s) {
        s->clear_again = false;
        /* twice does no harm: it is answered before the next tenant's mounts are held */
        for (uint32_t i = 0; i < s->table.counters->n_used && !s->clear_again; i++)
                if (is_clearing(&s->table.slots[i]))
                        clear(s, &s->table.slots[i]);
}

void ending_reaped(Spawner *s, Slot *slot) {
        SpawnMessage m = link_slot_message(s, slot, SPAWN_ENDED);

        if ((slot->state != SLOT_LIVE && slot->state != SLOT_DYING) || slot->pidfd < 0)
                return;
        if (s->held->worker_flags & SPAWN_KNOWS_CLEARED)
                m.flags = SPAWN_CLEARING;
        if (blank_is(slot))
                blank_lost(s, slot);
        else
                link_send(s, &m, -EBADF); /* first of all: a client waits for it */
        (void) epoll_ctl(s->epoll, EPOLL_CTL_DEL, slot->pidfd, NULL);
        slot_set_state(slot, SLOT_DYING);
        slot_close(&slot->pidfd);
        s->n_clearing++;
        clear(s, slot);
}

void ending_trim_later(Spawner *s) {
        if (s->trim_due == 0 && slot_n_free(&s->table) > TRIM_KEEP)
                s->trim_due = clock_monotonic() + TRIM_USEC;
}

void ending_cleared(Spawner *s, Slot *slot) {
        SpawnMessage m = link_slot_message(s, slot, SPAWN_CLEARED);

        if (!is_clearing(slot))
                return;
        check_netns(s, slot);
        if (slot->frozen) { /* the next tenant would not begin */
                (void) cgroup_leaf_freeze(&s->cgroup, slot_index(&s->table, slot), false);
                slot->frozen = false;
        }
        slot_release(&s->table, slot);
        s->n_clearing--;
        ending_trim_later(s);
        if (!blank_is(slot) && (s->held->worker_flags & SPAWN_KNOWS_CLEARED))
                link_send(s, &m, -EBADF);
}

static void forget(void *userdata, Slot *slot) {
        Spawner *s = userdata;

        if (slot->leaf)
                slot->leaf = cgroup_leaf_remove(&s->cgroup, slot_index(&s->table, slot)) == -EBUSY;
        slot_close(&slot->netns);
}

int ending_trim(Spawner *s) {
        usec_t now;

        if (s->trim_due == 0)
                return -1;
        now = clock_monotonic();
        if (now >= s->trim_due) {
                if (!slot_table_trim(&s->table, TRIM_KEEP, TRIM_MAX, forget, s)) {
                        s->trim_due = 0;
                        return -1;
                }
                s->trim_due = now + TRIM_USEC;
        }
        return (int) ((s->trim_due - now) / USEC_PER_MSEC) + 1;
}
