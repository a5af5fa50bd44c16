/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/native-internal.h"

#define SLOTS_MAX (1U << 20)

static Sandbox *find_by_cookie(Native *n, uint64_t cookie) {
        Sandbox *s;

        LIST_FOREACH(s, &n->sandboxes, entry)
        if (s->generation == 0 && s->cookie == cookie)
                return s;
        return NULL;
}

static Sandbox *find_by_slot(Native *n, uint32_t slot, uint64_t generation) {
        Sandbox *s = slot < n->n_slots ? n->slots[slot] : NULL;

        return s && s->generation == generation ? s : NULL;
}

static void note_base_counters(Native *n, Sandbox *s) {
        BackendUsage u;

        if (n->backend.ops->usage(&n->backend, s, &u) < 0)
                return;
        s->base_cpu_usec = u.cpu_usec;
        s->base_oom_kills = u.oom_kills;
        s->base_pids_refused = u.pids_refused;
}

static int handle_created(Native *n, const SpawnMessage *m, int *fds, size_t n_fds) {
        Sandbox *s = find_by_cookie(n, m->cookie);

        if (!s || n_fds != 1 || m->slot >= n->n_slots || n->slots[m->slot] || m->generation == 0) {
                if (s)
                        native_end(s, -EBADMSG, "the spawner's answer is malformed");
                return native_kill_slot(n, m->slot, m->generation);
        }
        s->slot = m->slot;
        s->generation = m->generation;
        s->pid = (pid_t) m->pid;
        n->slots[s->slot] = s;
        if (s->end_wanted) {
                native_tell_end(n, s);
                return 0;
        }
        note_base_counters(n, s);
        int r = sandbox_attach(s, n->event, take_fd(fds[0]));
        if (r < 0) {
                s->error = r;
                native_tell_end(n, s);
        } else
                sandbox_listen(s);
        return 0;
}

/* Takes over one of a former worker, if somebody wants it. */
static int adopt(Native *n, const SpawnMessage *m, int *fds, size_t n_fds) {
        SandboxSpec spec = { .limits = m->limits };
        Sandbox *s = NULL;

        memcpy(spec.image, m->image, sizeof spec.image);
        spec.image[sizeof spec.image - 1] = '\0';
        if (n->backend.heir.adopt && n_fds == 1 && m->slot < n->n_slots && !n->slots[m->slot] && m->generation > 0)
                s = sandbox_new(&n->backend, &spec, NULL, NULL);
        if (s) {
                s->slot = m->slot;
                s->generation = m->generation;
                s->pid = (pid_t) m->pid;
                s->resuming = true;
                s->cookie = UINT64_MAX;
        }
        if (!s || !n->backend.heir.adopt(s, n->backend.heir.userdata) ||
                sandbox_attach(s, n->event, take_fd(fds[0])) < 0) {
                if (s)
                        sandbox_set_owner(s, NULL, NULL);
                (void) sandbox_unref(s);
                return native_kill_slot(n, m->slot, m->generation);
        }
        n->slots[s->slot] = s;
        LIST_INSERT_HEAD(&n->sandboxes, s, entry); /* the list's reference is the one it was born with */
        return 0;
}

/* One that was there before this connection: known, inherited, or a stranger that nobody will ever use. */
static int handle_slot(Native *n, const SpawnMessage *m, int *fds, size_t n_fds) {
        Sandbox *s = find_by_slot(n, m->slot, m->generation);

        if (!s && n->synced && find_by_cookie(n, m->cookie)) { /* that it was created could not be told */
                int r = handle_created(n, m, fds, n_fds);
                s = r == 0 ? find_by_slot(n, m->slot, m->generation) : NULL;
                if (!s)
                        return r;
        }
        if (!s)
                return adopt(n, m, fds, n_fds);
        s->cookie = UINT64_MAX; /* marks it as seen */
        if (s->end_wanted)
                native_tell_end(n, s);
        return 0;
}

static void handle_kept(Native *n, const SpawnMessage *m, int *fds, size_t n_fds) {
        Sandbox *s = find_by_slot(n, m->slot, m->generation);
        int sorted[KEPT_MAX];
        size_t used = 0;

        for (unsigned i = 0; i < KEPT_MAX; i++) {
                sorted[i] = -EBADF;
                if ((m->flags & 1U << i) && used < n_fds) {
                        sorted[i] = take_fd(fds[used]);
                        used++;
                }
        }
        if (s && s->resuming && n->backend.heir.kept)
                n->backend.heir.kept(s, (uint32_t) m->cookie, m->flags, sorted, n->backend.heir.userdata);
        fds_close(sorted, KEPT_MAX);
}

/* @last: the newest cookie that the spawner knows of. */
static void handle_synced(Native *n, uint64_t last) {
        Sandbox *s, *next;

        for (s = LIST_FIRST(&n->sandboxes); s; s = next) {
                next = LIST_NEXT(s, entry);
                if (s->generation == 0 && s->cookie <= last && !s->pending)
                        native_end(s, -EAGAIN, "the spawner was killed");
                else if (s->generation == 0)
                        s->pending = false;
                else if (s->cookie != UINT64_MAX)
                        native_end(s, 0, "");
                else
                        s->cookie = 0;
        }
        LIST_FOREACH(s, &n->sandboxes, entry)
        if (s->resuming && !s->resume_asked) {
                s->resume_asked = true;
                if (sandbox_resume(s) < 0)
                        native_tell_end(n, s);
        }
        native_forget(&n->backend); /* there may be other ones than when the former worker ended */
        n->synced = true;
        n->backend.last_answer = clock_monotonic();
        if (n->backend.heir.done)
                n->backend.heir.done(n->backend.heir.userdata);
        native_set_status(n, BACKEND_READY);
}

static int handle_welcome(Native *n, const SpawnMessage *m) {
        Sandbox *s;

        if (m->cookie != WIRE_VERSION)
                return -EPROTONOSUPPORT;
        if (m->slot > SLOTS_MAX)
                return -EBADMSG;
        if (m->slot > n->n_slots) {
                Sandbox **slots = reallocarray(n->slots, m->slot, sizeof *slots);
                if (!slots)
                        return -ENOMEM;
                memset(slots + n->n_slots, 0, (m->slot - n->n_slots) * sizeof *slots);
                n->slots = slots;
                n->n_slots = m->slot;
        }
        n->backend.limits_enforced = m->flags & SPAWN_LIMITS_ENFORCED;
        n->can_widen = m->flags & SPAWN_CAN_WIDEN;
        n->can_forget = m->flags & SPAWN_CAN_FORGET;
        n->backend.can_freeze = m->flags & SPAWN_CAN_FREEZE;
        n->backend.capacity = m->slot;
        n->backend.n_clearing = 0;
        LIST_FOREACH(s, &n->sandboxes, entry) {
                if (s->generation == 0)
                        continue;
                s->cookie = 0; /* those that were named last time may have ended since */
                s->end_told = false;
        }
        (void) snprintf(n->cgroup, sizeof n->cgroup, "%s", m->text);
        return 0;
}

int native_answer_handle(Native *n, const SpawnMessage *m, int *fds, size_t n_fds) {
        Sandbox *s;

        switch (m->type) {
        case SPAWN_WELCOME:
                return handle_welcome(n, m);
        case SPAWN_SLOT:
                return handle_slot(n, m, fds, n_fds);
        case SPAWN_KEPT:
                handle_kept(n, m, fds, n_fds);
                return 0;
        case SPAWN_SYNCED:
                handle_synced(n, m->cookie);
                return 0;
        case SPAWN_PENDING:
                s = find_by_cookie(n, m->cookie);
                if (s)
                        s->pending = true;
                return 0;
        case SPAWN_CREATED:
                return handle_created(n, m, fds, n_fds);
        case SPAWN_FAILED:
                s = find_by_cookie(n, m->cookie);
                if (s)
                        native_end(s, m->error > 0 ? -m->error : -EIO, m->text);
                return 0;
        case SPAWN_ENDED:
                n->backend.n_clearing += m->flags & SPAWN_CLEARING ? 1 : 0;
                s = find_by_slot(n, m->slot, m->generation);
                if (s)
                        native_end(s, s->error ? s->error : -ECHILD, "it ended while it was being made");
                return 0;
        case SPAWN_CLEARED:
                if (n->backend.n_clearing > 0) /* else it was counted on another connection */
                        n->backend.n_clearing--;
                if (n->backend.notify)
                        n->backend.notify(&n->backend, n->backend.userdata);
                return 0;
        case SPAWN_PONG:
                n->backend.last_answer = clock_monotonic();
                n->backend.memory_available = m->limits.memory;
                n->backend.n_blanks = m->slot;
                return 0;
        default:
                return -EBADMSG;
        }
}
