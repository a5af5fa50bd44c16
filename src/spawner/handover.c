/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/handover.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "spawner/spawner-internal.h"

/*
 * On SIGHUP the spawner executes its program anew in the same process, with all descriptors and a file in memory that
 * says what they are: an upgrade that no sandbox, and no worker, notices. Only the zygote is another one afterwards.
 */

#define MAGIC UINT32_C(0x6f486253)
#define VERSION_NOW 1U /* one that is other is refused: what the former one kept would be lost */

typedef struct SavedHead {
        uint32_t magic, version;
        uint32_t n_identities, n_used, last_identity, n_slots, n_kept, first_free;
        uint64_t last_generation;
        int32_t listener, worker, userns, program;
        uint32_t worker_said_hello, exit_with_worker;
        uint32_t n_spares, padding;
        int32_t spares[SPARE_NETNS_MAX];
        uint32_t spares_reusable[SPARE_NETNS_MAX];
} SavedHead;

typedef struct SavedSlot {
        uint32_t index, state;
        uint32_t identity, pid;
        uint64_t generation, cookie;
        Limits limits, leaf_limits;
        int32_t netns, ctl, pidfd;
        uint32_t netns_reusable, leaf, next;
        char image[IMAGE_NAME_MAX];
} SavedSlot;

typedef struct SavedKept {
        uint32_t slot, flags;
        uint64_t number;
        int32_t fds[KEPT_MAX];
} SavedKept;

/* --- saving --- */

static int put(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        p += n;
                        size -= (size_t) n;
                }
        }
        return 0;
}

static void pass(int fd) {
        if (fd >= 0)
                (void) fcntl(fd, F_SETFD, 0);
}

static int save_slot(int fd, const SlotTable *t, const Slot *slot) {
        SavedSlot saved = {
                .index = slot_index(t, slot),
                .state = slot->state,
                .identity = slot->identity,
                .pid = slot->pid,
                .generation = slot->generation,
                .cookie = slot->cookie,
                .limits = slot->limits,
                .leaf_limits = slot->leaf_limits,
                .netns = slot->netns,
                .ctl = slot->ctl,
                .pidfd = slot->pidfd,
                .netns_reusable = slot->netns_reusable,
                .leaf = slot->leaf,
                .next = slot->next,
        };

        memcpy(saved.image, slot->image, sizeof saved.image);
        pass(slot->netns);
        pass(slot->ctl);
        pass(slot->pidfd);
        return put(fd, &saved, sizeof saved);
}

static int save_kept(int fd, const SlotTable *t, const Slot *slot) {
        for (const Kept *k = slot->kept; k; k = k->next) {
                SavedKept saved = { .slot = slot_index(t, slot), .flags = k->flags, .number = k->number };
                for (unsigned i = 0; i < (unsigned) __builtin_popcount(k->flags); i++) {
                        saved.fds[i] = k->fds[i];
                        pass(k->fds[i]);
                }
                int r = put(fd, &saved, sizeof saved);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int save(const Spawner *s, int fd) {
        const SlotTable *t = &s->table;
        SavedHead head = {
                .magic = MAGIC,
                .version = VERSION_NOW,
                .n_identities = t->n_identities,
                .n_used = t->n_used,
                .last_identity = t->last_identity,
                .first_free = t->first_free,
                .last_generation = t->last_generation,
                .listener = s->listener,
                .worker = s->worker,
                .userns = s->userns,
                .worker_said_hello = s->worker_said_hello,
                .exit_with_worker = s->exit_with_worker,
                .n_spares = s->n_spares,
        };
        int r;

        for (unsigned i = 0; i < s->n_spares; i++) {
                head.spares[i] = s->spares[i].fd;
                head.spares_reusable[i] = s->spares[i].reusable;
                pass(s->spares[i].fd);
        }
        for (uint32_t i = 0; i < t->n_used; i++)
                head.n_kept += t->slots[i].n_kept;
        pass(s->listener);
        pass(s->worker);
        pass(s->userns);
        r = put(fd, &head, sizeof head);
        for (uint32_t i = 0; i < t->n_used && r == 0; i++)
                r = save_slot(fd, t, &t->slots[i]);
        for (uint32_t i = 0; i < t->n_used && r == 0; i++)
                r = save_kept(fd, t, &t->slots[i]);
        return r;
}

int handover_execute(Spawner *s) {
        char number[16];
        _cleanup_fd_ int fd = memfd_create("spawner", 0);

        if (fd < 0)
                return -errno;
        int r = save(s, fd);
        if (r < 0)
                return r;
        (void) snprintf(number, sizeof number, "%d", fd);

        /* sandboxes become ours, since we are the reaper of orphans */
        if (s->zygote_pidfd >= 0)
                (void) syscall(SYS_pidfd_send_signal, s->zygote_pidfd, SIGKILL, NULL, 0);
        char *argv[] = { s->path, (char *) (s->exit_with_worker ? "--standalone" : "--worker"), s->name,
                (char *) "--images", s->images, (char *) "--resume", number, NULL };
        (void) execv(s->path, argv);
        return -errno; /* nothing is lost: the loop starts another zygote */
}

/* --- taking up --- */

static int get(int fd, void *data, size_t size) {
        char *p = data;

        while (size > 0) {
                ssize_t n = read(fd, p, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EBADMSG;
                p += n;
                size -= (size_t) n;
        }
        return 0;
}

static void receive(int fd) {
        if (fd >= 0)
                (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int load_slot(int fd, SlotTable *t) {
        SavedSlot saved;

        int r = get(fd, &saved, sizeof saved);
        if (r < 0)
                return r;
        if (saved.index >= t->n_slots || saved.identity >= t->n_identities)
                return -EBADMSG;
        Slot *slot = &t->slots[saved.index];
        *slot = (Slot){
                .state = (SlotState) saved.state,
                .identity = saved.identity,
                .pid = saved.pid,
                .generation = saved.generation,
                .cookie = saved.cookie,
                .limits = saved.limits,
                .leaf_limits = saved.leaf_limits,
                .netns = saved.netns,
                .ctl = saved.ctl,
                .pidfd = saved.pidfd,
                .inner = -EBADF,
                .netns_reusable = saved.netns_reusable,
                .leaf = saved.leaf,
                .next = saved.next,
        };
        memcpy(slot->image, saved.image, sizeof slot->image);
        receive(slot->netns);
        receive(slot->ctl);
        receive(slot->pidfd);
        if (slot->state != SLOT_FREE) {
                t->identities[slot->identity] = 1;
                t->n_busy++;
        }
        return 0;
}

static int load_kept(int fd, SlotTable *t) {
        SavedKept saved;

        int r = get(fd, &saved, sizeof saved);
        if (r < 0)
                return r;
        if (saved.slot >= t->n_used)
                return -EBADMSG;
        for (unsigned i = 0; i < (unsigned) __builtin_popcount(saved.flags) && i < KEPT_MAX; i++)
                receive(saved.fds[i]);
        return slot_keep(
                &t->slots[saved.slot], saved.number, saved.flags, saved.fds, (size_t) __builtin_popcount(saved.flags));
}

int handover_resume(Spawner *s, int state) {
        _cleanup_fd_ int fd = state;
        SavedHead head;

        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        int r = get(fd, &head, sizeof head);
        if (r < 0)
                return r;
        if (head.magic != MAGIC || head.version != VERSION_NOW || head.n_spares > SPARE_NETNS_MAX)
                return -EPROTONOSUPPORT;

        s->listener = head.listener;
        s->worker = head.worker;
        s->userns = head.userns;
        s->worker_said_hello = head.worker_said_hello;
        s->exit_with_worker = head.exit_with_worker;
        s->n_spares = head.n_spares;
        for (unsigned i = 0; i < s->n_spares; i++) {
                s->spares[i].fd = head.spares[i];
                s->spares[i].reusable = head.spares_reusable[i];
                receive(s->spares[i].fd);
        }
        receive(s->listener);
        receive(s->worker);
        receive(s->userns);

        if (head.n_identities == 0) /* it had not begun */
                return 0;
        r = slot_table_init(&s->table, head.n_identities);
        if (r < 0)
                return r;
        s->table.n_used = head.n_used;
        s->table.last_identity = head.last_identity;
        s->table.last_generation = head.last_generation;
        s->table.first_free = head.first_free;
        for (uint32_t i = 0; i < head.n_used && r == 0; i++)
                r = load_slot(fd, &s->table);
        for (uint32_t i = 0; i < head.n_kept && r == 0; i++)
                r = load_kept(fd, &s->table);
        return r;
}
