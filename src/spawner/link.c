/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>

#include "base/fd.h"
#include "spawner/spawner-internal.h"

/* The connection to the worker: at most one, the newest; what it does not read at once waits. */

void link_drop(Spawner *s) {
        Outgoing *o;

        while ((o = s->outgoing)) {
                s->outgoing = o->next;
                fd_close(o->fd);
                free(o);
        }
        s->n_outgoing = 0;
        s->held->worker_said_hello = false;
        s->held->worker_flags = 0;
        slot_close(&s->held->worker);
        s->syncing = false;
        if (s->held->exit_with_worker)
                s->stopping = true;
}

static void worker_wait_writable(Spawner *s) {
        struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.u64 = (uint64_t) SOURCE_WORKER << 32 };

        (void) epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->held->worker, &e);
}

/* Returns 0, -EAGAIN when the worker does not read now, or another -errno when it is gone. */
static int worker_try(Spawner *s, const SpawnMessage *m, const int *fds, size_t n_fds) {
        struct iovec iov = { .iov_base = (void *) m, .iov_len = sizeof *m };

        int r = message_send(s->held->worker, &iov, 1, fds, n_fds);
        /* the kernel is short of memory just now, or too many descriptors are on their way through sockets */
        if (r == -ENOBUFS || r == -ENOMEM || r == -ETOOMANYREFS)
                r = -EAGAIN;
        if (r == -EAGAIN)
                worker_wait_writable(s);
        else if (r < 0)
                link_drop(s);
        return r;
}

void link_send(Spawner *s, const SpawnMessage *m, int fd) {
        if (s->held->worker < 0)
                return;
        if (!s->outgoing && !s->syncing && worker_try(s, m, &fd, fd >= 0 ? 1 : 0) != -EAGAIN)
                return;

        Outgoing *o = s->n_outgoing < OUTGOING_MAX ? malloc(sizeof *o) : NULL;
        if (!o) {
                spawner_log(LOG_WARNING, "Dropping the connection of a worker that does not read");
                link_drop(s);
                return;
        }
        *o = (Outgoing){ .message = *m, .fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -EBADF };
        if (!s->outgoing)
                s->outgoing_tail = &s->outgoing;
        *s->outgoing_tail = o;
        s->outgoing_tail = &o->next;
        s->n_outgoing++;
}

SpawnMessage link_slot_message(const Spawner *s, const Slot *slot, SpawnType type) {
        SpawnMessage m = {
                .type = type,
                .cookie = slot->cookie,
                .generation = slot->generation,
                .slot = slot_index(&s->table, slot),
                .pid = slot->pid,
                .limits = slot->limits,
        };
        memcpy(m.image, slot->image, sizeof m.image);
        return m;
}

void link_send_failed(Spawner *s, uint64_t cookie, int error, const char *text) {
        SpawnMessage m = { .type = SPAWN_FAILED, .cookie = cookie, .error = error < 0 ? -error : error };

        (void) snprintf(m.text, sizeof m.text, "%s", text);
        link_send(s, &m, -EBADF);
}

/* Tells about one slot and what is kept for it. Returns like worker_try(). */
static int sync_one(Spawner *s, const Slot *slot) {
        SpawnMessage m = link_slot_message(s, slot, SPAWN_SLOT);
        uint32_t i = 0;
        int r = 0;

        if (s->sync_kept == 0)
                r = worker_try(s, &m, &slot->ctl, 1);
        if (r < 0)
                return r;
        s->sync_kept = MAX(s->sync_kept, 1U); /* the slot itself, then each that is kept */
        m.type = SPAWN_KEPT;
        for (uint32_t n = slot->kept; n != SLOT_NONE; n = s->table.kept[n].next) {
                const Kept *k = &s->table.kept[n];
                if (++i < s->sync_kept)
                        continue;
                m.cookie = k->number;
                m.flags = k->flags;
                r = worker_try(s, &m, k->fds, (size_t) __builtin_popcount(k->flags));
                if (r < 0)
                        return r;
                s->sync_kept = i + 1;
        }
        return 0;
}

/* One that the worker has asked for and that is being made. */
static int sync_pending(Spawner *s, const Slot *slot) {
        SpawnMessage m = { .type = SPAWN_PENDING, .cookie = slot->cookie };

        return worker_try(s, &m, NULL, 0);
}

/* Goes on with telling a new worker what there is, and with what came up meanwhile, as far as it reads. */
void link_flush(Spawner *s) {
        struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t) SOURCE_WORKER << 32 };
        SpawnMessage synced = { .type = SPAWN_SYNCED, .cookie = s->sync_cookie };

        for (; s->syncing && s->sync_slot < s->table.counters->n_used; s->sync_slot++) {
                const Slot *slot = &s->table.slots[s->sync_slot];
                if (slot->state == SLOT_LIVE && !blank_is(slot) && sync_one(s, slot) < 0)
                        return;
                if (s->repeating && slot->state == SLOT_WAITING && !blank_is(slot) && sync_pending(s, slot) < 0)
                        return;
                s->sync_kept = 0;
        }
        if (s->syncing) {
                if (worker_try(s, &synced, NULL, 0) < 0)
                        return;
                s->syncing = s->repeating = false;
        }
        while (s->outgoing) {
                Outgoing *o = s->outgoing;
                if (worker_try(s, &o->message, &o->fd, o->fd >= 0 ? 1 : 0) < 0)
                        return;
                s->outgoing = o->next;
                s->n_outgoing--;
                fd_close(o->fd);
                free(o);
        }
        if (s->held->worker >= 0)
                (void) epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->held->worker, &e);
}

static void worker_welcome(Spawner *s) {
        SpawnMessage m = {
                .type = SPAWN_WELCOME,
                .cookie = WIRE_VERSION,
                .slot = s->table.n_slots,
                .flags = SPAWN_CAN_WIDEN | SPAWN_CAN_FORGET | (s->cgroup.limits ? SPAWN_LIMITS_ENFORCED : 0) |
                         (s->cgroup.fd >= 0 ? SPAWN_CAN_FREEZE : 0),
        };

        (void) snprintf(
                m.text, sizeof m.text, "%.*s", (int) sizeof m.text - 1, s->cgroup.fd >= 0 ? s->cgroup.path : "");
        if (worker_try(s, &m, NULL, 0) < 0) /* the very first message does not fit: nobody is there */
                return;
        s->syncing = true;
        s->sync_slot = s->sync_kept = 0;
        s->sync_cookie = s->held->last_cookie; /* what comes while this is told is told by itself */
        link_flush(s);
}

void link_repeat(Spawner *s) {
        if (s->held->worker < 0 || !s->held->worker_said_hello)
                return;
        s->repeating = true;
        worker_welcome(s);
}

void link_ready(Spawner *s) {
        if (s->held->worker_said_hello)
                worker_welcome(s);
}

/* --- what the worker wants --- */

static bool image_name_is_valid(const char name[static IMAGE_NAME_MAX]) {
        if (name[0] == '\0' || name[0] == '.' || !memchr(name, '\0', IMAGE_NAME_MAX))
                return false;
        return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(name);
}

static bool limits_are_valid(const Limits *l) {
        return l->memory >= LIMIT_MEMORY_MIN && l->memory <= LIMIT_MEMORY_MAX && l->disk >= LIMIT_DISK_MIN &&
               l->disk <= LIMIT_DISK_MAX && l->cpu_quota >= LIMIT_CPU_QUOTA_MIN &&
               l->cpu_quota <= LIMIT_CPU_QUOTA_MAX && l->pids >= LIMIT_PIDS_MIN && l->pids <= LIMIT_PIDS_MAX;
}

/* The slot that the worker means, while it has the same tenant; before the zygote is ready there is none. Of blanks it
 * does not know. */
static Slot *worker_slot(const Spawner *s, const SpawnMessage *m) {
        Slot *slot = s->table.slots && m->slot < s->table.counters->n_used ? &s->table.slots[m->slot] : NULL;

        return slot && slot->state != SLOT_FREE && !blank_is(slot) && slot->generation == m->generation ? slot : NULL;
}

static void slot_freeze(Spawner *s, Slot *slot, bool freeze) {
        int r = cgroup_leaf_freeze(&s->cgroup, slot_index(&s->table, slot), freeze);

        if (r < 0)
                spawner_log(LOG_WARNING, "Cannot %s sandbox %u: %s", freeze ? "freeze" : "thaw", slot_index(&s->table, slot),
                        strerror(-r));
        else
                slot->frozen = freeze;
}

static void serve_worker(Spawner *s, const SpawnMessage *m, int *fds, size_t n_fds) {
        Slot *slot;

        switch (m->type) {
        case SPAWN_HELLO:
                if (m->cookie != WIRE_VERSION) {
                        spawner_log(LOG_ERR, "The worker speaks version %llu of the protocol, this is %u",
                                (unsigned long long) m->cookie, WIRE_VERSION);
                        link_drop(s);
                        return;
                }
                s->held->last_cookie = 0;
                s->held->worker_flags = m->flags;
                s->held->worker_said_hello = true;
                if (s->table.slots) /* else once it is */
                        worker_welcome(s);
                break;
        case SPAWN_CREATE:
                if (!s->held->worker_said_hello || !image_name_is_valid(m->image) || !limits_are_valid(&m->limits) ||
                        (m->calls & ~CALLS_ALL) || m->cookie == 0)
                        link_send_failed(s, m->cookie, EINVAL, "cookie, image, limits or system calls out of range");
                else
                        making_create(s, m);
                break;
        case SPAWN_KILL:
                slot = worker_slot(s, m);
                if (slot)
                        ending_kill(s, slot);
                break;
        case SPAWN_KEEP:
                slot = worker_slot(s, m);
                if (slot && slot_keep(&s->table, slot, m->cookie, m->flags, fds, n_fds) < 0)
                        spawner_log(LOG_WARNING, "Descriptors of a command could not be kept");
                break;
        case SPAWN_DROP:
                slot = worker_slot(s, m);
                if (slot)
                        slot_drop(&s->table, slot, m->cookie);
                break;
        case SPAWN_FREEZE:
                slot = worker_slot(s, m);
                if (slot && slot->state == SLOT_LIVE && s->cgroup.fd >= 0)
                        slot_freeze(s, slot, m->flags != 0);
                break;
        case SPAWN_FORGET:
                blank_forget(s);
                break;
        case SPAWN_PING:
                making_ping(s, m->cookie);
                break;
        default:
                link_drop(s);
        }
}

static void message_skip(int sock) {
        char first;

        (void) recv(sock, &first, sizeof first, MSG_DONTWAIT);
}

void link_event(Spawner *s) {
        SpawnMessage m;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 0;

        /* it leaves the socket when it has been served: if we are killed meanwhile it is served once more, which does
         * no harm, instead of never */
        int sock = s->held->worker;
        ssize_t n = message_recv(sock, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT | MSG_PEEK);
        if (n == -EAGAIN)
                return;
        if (n == -EBADMSG) { /* no room for its descriptors: what was to be kept is not */
                spawner_log(LOG_WARNING, "A message of the worker could not be received whole: too many open files?");
                message_skip(sock);
                return;
        }
        if (n != sizeof m) {
                if (n > 0)
                        fds_close(fds, n_fds);
                link_drop(s);
                return;
        }
        serve_worker(s, &m, fds, n_fds);
        fds_close(fds, n_fds);
        if (s->held->worker == sock)
                message_skip(sock);
}

void link_accept(Spawner *s) {
        int fd = accept4(s->held->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
                return;
        /* one worker at a time: the newest is the one that the service manager runs */
        if (s->held->worker >= 0)
                link_drop(s);
        s->held->worker = fd;
        s->held->worker_flags = 0; /* until it says hello */
        int size = 1 << 20;
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        if (fd_set_nonblock(fd, true) < 0 || spawner_watch(s, fd, SOURCE_WORKER, 0) < 0)
                link_drop(s);
}
