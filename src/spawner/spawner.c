/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/spawner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "spawner/launch.h"
#include "spawner/notify.h"

#define STOP_PATIENCE_USEC (10 * USEC_PER_SEC)
#define ZYGOTE_FAILURES_MAX 5U

typedef enum Source {
        SOURCE_LISTENER,
        SOURCE_WORKER,
        SOURCE_SIGNALS,
        SOURCE_ZYGOTE,
        SOURCE_ZYGOTE_PIDFD,
        SOURCE_SLOT
} Source;

void spawner_log(int priority, const char *format, ...) {
        char text[512];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        if (getenv("JOURNAL_STREAM"))
                (void) dprintf(STDERR_FILENO, "<%d>%s\n", priority, text);
        else
                (void) dprintf(STDERR_FILENO, "sandboxd-spawner: %s\n", text);
}

static int watch(Spawner *s, int fd, Source source, uint32_t index) {
        struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t) source << 32 | index };

        return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int start_zygote(Spawner *s) {
        int r = launch_zygote(s->program, s->userns, s->images, &s->zygote, &s->zygote_pidfd);
        if (r < 0) {
                spawner_log(LOG_ERR, "Cannot start the zygote: %s", strerror(-r));
                return r;
        }
        s->zygote_ready = false;
        s->netns_pending = 0;
        r = watch(s, s->zygote, SOURCE_ZYGOTE, 0);
        if (r == 0)
                r = watch(s, s->zygote_pidfd, SOURCE_ZYGOTE_PIDFD, 0);
        return r;
}

/* --- towards the worker --- */

static void worker_drop(Spawner *s) {
        Outgoing *o;

        while ((o = s->outgoing)) {
                s->outgoing = o->next;
                fd_close(o->fd);
                free(o);
        }
        s->n_outgoing = 0;
        s->worker = fd_close(s->worker);
        s->worker_said_hello = s->syncing = false;
        if (s->exit_with_worker)
                s->stopping = true;
}

static void worker_wait_writable(Spawner *s) {
        struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.u64 = (uint64_t) SOURCE_WORKER << 32 };

        (void) epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->worker, &e);
}

/* Returns 0, -EAGAIN when the worker does not read now, or another -errno when it is gone. */
static int worker_try(Spawner *s, const SpawnMessage *m, const int *fds, size_t n_fds) {
        struct iovec iov = { .iov_base = (void *) m, .iov_len = sizeof *m };

        int r = message_send(s->worker, &iov, 1, fds, n_fds);
        if (r == -EAGAIN)
                worker_wait_writable(s);
        else if (r < 0)
                worker_drop(s);
        return r;
}

static void worker_send(Spawner *s, const SpawnMessage *m, int fd) {
        if (s->worker < 0)
                return;
        if (!s->outgoing && !s->syncing && worker_try(s, m, &fd, fd >= 0 ? 1 : 0) != -EAGAIN)
                return;

        Outgoing *o = s->n_outgoing < OUTGOING_MAX ? malloc(sizeof *o) : NULL;
        if (!o) {
                spawner_log(LOG_WARNING, "Dropping the connection of a worker that does not read");
                worker_drop(s);
                return;
        }
        *o = (Outgoing){ .message = *m, .fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -EBADF };
        if (!s->outgoing)
                s->outgoing_tail = &s->outgoing;
        *s->outgoing_tail = o;
        s->outgoing_tail = &o->next;
        s->n_outgoing++;
}

static SpawnMessage slot_message(const Spawner *s, const Slot *slot, SpawnType type) {
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

static void worker_send_failed(Spawner *s, uint64_t cookie, int error, const char *text) {
        SpawnMessage m = { .type = SPAWN_FAILED, .cookie = cookie, .error = error < 0 ? -error : error };

        (void) snprintf(m.text, sizeof m.text, "%s", text);
        worker_send(s, &m, -EBADF);
}

/* Tells about one slot and what is kept for it. Returns like worker_try(). */
static int sync_one(Spawner *s, const Slot *slot) {
        SpawnMessage m = slot_message(s, slot, SPAWN_SLOT);
        uint32_t i = 0;
        int r = 0;

        if (s->sync_kept == 0)
                r = worker_try(s, &m, &slot->ctl, 1);
        if (r < 0)
                return r;
        s->sync_kept = MAX(s->sync_kept, 1U); /* the slot itself, then each that is kept */
        m.type = SPAWN_KEPT;
        for (const Kept *k = slot->kept; k; k = k->next) {
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

/* Goes on with telling a new worker what there is, and with what came up meanwhile, as far as it reads. */
static void worker_flush(Spawner *s) {
        struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t) SOURCE_WORKER << 32 };
        SpawnMessage synced = { .type = SPAWN_SYNCED };

        for (; s->syncing && s->sync_slot < s->table.n_slots; s->sync_slot++) {
                const Slot *slot = &s->table.slots[s->sync_slot];
                if (slot->state == SLOT_LIVE && sync_one(s, slot) < 0)
                        return;
                s->sync_kept = 0;
        }
        if (s->syncing) {
                if (worker_try(s, &synced, NULL, 0) < 0)
                        return;
                s->syncing = false;
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
        if (s->worker >= 0)
                (void) epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->worker, &e);
}

static void worker_welcome(Spawner *s) {
        SpawnMessage m = {
                .type = SPAWN_WELCOME,
                .cookie = WIRE_VERSION,
                .slot = s->table.n_slots,
                .flags = s->cgroup.limits ? SPAWN_LIMITS_ENFORCED : 0,
        };

        (void) snprintf(
                m.text, sizeof m.text, "%.*s", (int) sizeof m.text - 1, s->cgroup.fd >= 0 ? s->cgroup.path : "");
        if (worker_try(s, &m, NULL, 0) < 0) /* the very first message does not fit: nobody is there */
                return;
        s->syncing = true;
        s->sync_slot = s->sync_kept = 0;
        worker_flush(s);
}

/* --- making --- */

static int zygote_send(Spawner *s, ZygoteMessage *m, const int *fds, size_t n_fds) {
        struct iovec iov = { .iov_base = m, .iov_len = sizeof *m };

        return s->zygote_ready ? message_send(s->zygote, &iov, 1, fds, n_fds) : -EAGAIN;
}

static void slot_fail(Spawner *s, Slot *slot, int error, const char *text) {
        worker_send_failed(s, slot->cookie, error, text);
        slot_release(&s->table, slot);
}

/* Has the zygote make the sandbox of @slot, which has its network namespace now. */
static void slot_start(Spawner *s, Slot *slot) {
        _cleanup_fd_ int leaf = -EBADF;
        uint32_t index = slot_index(&s->table, slot);
        int ends[2];

        if (s->cgroup.fd >= 0) {
                leaf = cgroup_leaf_open(&s->cgroup, index, &slot->limits, slot->leaf ? &slot->leaf_limits : NULL);
                if (leaf < 0) {
                        slot_fail(s, slot, leaf, "preparing the cgroup");
                        return;
                }
                slot->leaf = true;
                slot->leaf_limits = slot->limits;
        }
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
                slot_fail(s, slot, errno, "socketpair");
                return;
        }
        slot->ctl = ends[0];
        slot->inner = ends[1];

        ZygoteMessage m = {
                .type = ZYGOTE_CREATE,
                .cookie = (uint64_t) index,
                .identity = slot->identity,
                .limits = slot->limits,
                .flags = s->cgroup.limits ? 0 : ZYGOTE_NO_CGROUP,
        };
        memcpy(m.image, slot->image, sizeof m.image);
        int fds[3] = { slot->inner, slot->netns, leaf };
        int r = zygote_send(s, &m, fds, leaf >= 0 ? 3 : 2);
        if (r < 0) {
                slot_fail(s, slot, r, "telling the zygote");
                return;
        }
        slot->inner = fd_close(slot->inner);
        slot->state = SLOT_STARTING;
}

static void ask_netns(Spawner *s) {
        ZygoteMessage m = { .type = ZYGOTE_NETNS };

        if (zygote_send(s, &m, NULL, 0) == 0)
                s->netns_pending++;
}

static void create(Spawner *s, const SpawnMessage *m) {
        Slot *slot = s->zygote_ready ? slot_take(&s->table) : NULL;

        if (!slot) {
                worker_send_failed(s, m->cookie, EAGAIN, s->zygote_ready ? "all sandbox ids are in use" : "starting");
                return;
        }
        slot->cookie = m->cookie;
        slot->limits = m->limits;
        memcpy(slot->image, m->image, sizeof slot->image);

        if (slot->netns < 0 && s->n_spares > 0) {
                s->n_spares--;
                slot->netns = s->spares[s->n_spares].fd;
                slot->netns_reusable = s->spares[s->n_spares].reusable;
        }
        if (slot->netns >= 0) {
                slot_start(s, slot);
                return;
        }

        slot->next = SLOT_NONE;
        if (s->last_waiting == SLOT_NONE)
                s->first_waiting = slot_index(&s->table, slot);
        else
                s->table.slots[s->last_waiting].next = slot_index(&s->table, slot);
        s->last_waiting = slot_index(&s->table, slot);
        ask_netns(s);
}

static void slot_kill(Spawner *s, Slot *slot) {
        if (slot->state == SLOT_WAITING || slot->state == SLOT_STARTING) {
                slot->kill_wanted = true;
                return;
        }
        if (slot->state != SLOT_LIVE)
                return;

        slot->state = SLOT_DYING;
        /* process 1 takes all others of its pid namespace with it. Not cgroup.kill: since Linux 6.14 what is cloned
         * into a leaf that was ever killed dies at once, and leaves are used again */
        if (syscall(SYS_pidfd_send_signal, slot->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
                spawner_log(LOG_ERR, "Cannot kill sandbox %u: %s", slot_index(&s->table, slot), strerror(errno));
}

static void got_netns(Spawner *s, const ZygoteMessage *m, int fd) {
        bool reusable = m->flags & ZYGOTE_NETNS_REUSABLE;
        uint32_t index = s->first_waiting;

        if (s->netns_pending > 0)
                s->netns_pending--;

        if (index == SLOT_NONE) {
                if (fd >= 0 && s->n_spares < SPARE_NETNS_MAX) {
                        s->spares[s->n_spares].fd = fd;
                        s->spares[s->n_spares++].reusable = reusable;
                } else
                        fd_close(fd);
                return;
        }

        Slot *slot = &s->table.slots[index];
        s->first_waiting = slot->next;
        if (s->first_waiting == SLOT_NONE)
                s->last_waiting = SLOT_NONE;
        if (fd < 0 || slot->kill_wanted) {
                fd_close(fd);
                slot_fail(s, slot, fd < 0 ? m->error : ECANCELED, fd < 0 ? m->text : "killed before it was made");
                return;
        }
        slot->netns = fd;
        slot->netns_reusable = reusable;
        slot_start(s, slot);
}

static void got_sandbox(Spawner *s, const ZygoteMessage *m, int fd) {
        Slot *slot = m->cookie < s->table.n_slots ? &s->table.slots[m->cookie] : NULL;

        if (!slot || slot->state != SLOT_STARTING) {
                fd_close(fd);
                return;
        }
        if (m->error != 0 || fd < 0) {
                slot_fail(s, slot, m->error, m->text);
                return;
        }
        slot->pid = m->pid;
        slot->pidfd = fd;
        slot->state = SLOT_LIVE;
        int r = watch(s, slot->pidfd, SOURCE_SLOT, slot_index(&s->table, slot));
        if (r < 0) {
                spawner_log(LOG_ERR, "Cannot watch a sandbox: %s", strerror(-r));
                slot->kill_wanted = true;
        }
        SpawnMessage created = slot_message(s, slot, SPAWN_CREATED);
        worker_send(s, &created, slot->ctl);
        if (slot->kill_wanted)
                slot_kill(s, slot);
}

static void ended(Spawner *s, Slot *slot) {
        SpawnMessage m = slot_message(s, slot, SPAWN_ENDED);

        if (slot->state != SLOT_LIVE && slot->state != SLOT_DYING)
                return;
        (void) epoll_ctl(s->epoll, EPOLL_CTL_DEL, slot->pidfd, NULL);
        slot_release(&s->table, slot);
        worker_send(s, &m, -EBADF);
}

/* --- events --- */

static void hello_from_zygote(Spawner *s, const ZygoteMessage *m) {
        s->zygote_ready = true;
        s->zygote_failures = 0;
        if (!s->table.slots) {
                if (m->identity < 2 || slot_table_init(&s->table, m->identity) < 0) {
                        spawner_log(LOG_ERR, "No memory, or no ids, for the table of sandboxes");
                        s->stopping = true;
                        return;
                }
                (void) notify_send("READY=1\nSTATUS=Ready to make sandboxes");
                if (s->worker_said_hello)
                        worker_welcome(s);
        }
        while (s->n_spares + s->netns_pending < SPARE_NETNS_MAX)
                ask_netns(s);
        if (s->listener >= 0 && s->worker < 0)
                (void) watch(s, s->listener, SOURCE_LISTENER, 0); /* EEXIST after a new zygote */
}

static void zygote_event(Spawner *s) {
        ZygoteMessage m;
        int fds[MESSAGE_FDS_MAX] = { -EBADF };
        size_t n_fds = 0;

        ssize_t n = message_recv(s->zygote, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
                return;
        if (n != sizeof m || n_fds > 1) { /* its end is told by the pidfd */
                if (n > 0)
                        fds_close(fds, n_fds);
                (void) epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->zygote, NULL);
                return;
        }
        int fd = n_fds == 1 ? fds[0] : -EBADF;

        m.text[sizeof m.text - 1] = '\0';
        if (m.type == ZYGOTE_HELLO && n_fds == 0)
                hello_from_zygote(s, &m);
        else if (m.type == ZYGOTE_NETNS)
                got_netns(s, &m, fd);
        else if (m.type == ZYGOTE_DONE)
                got_sandbox(s, &m, fd);
        else if (m.type == ZYGOTE_PING) {
                SpawnMessage pong = { .type = SPAWN_PONG, .cookie = m.cookie };
                fd_close(fd);
                worker_send(s, &pong, -EBADF);
        } else
                fd_close(fd);
}

/* The zygote ended: sandboxes live on (they are ours now), what was being made fails, a new zygote starts. */
static int zygote_lost(Spawner *s) {
        bool was_ready = s->zygote_ready;

        s->zygote = fd_close(s->zygote);
        s->zygote_pidfd = fd_close(s->zygote_pidfd);
        s->zygote_ready = false;
        s->first_waiting = s->last_waiting = SLOT_NONE;
        for (uint32_t i = 0; i < s->table.n_slots; i++)
                if (s->table.slots[i].state == SLOT_WAITING || s->table.slots[i].state == SLOT_STARTING)
                        slot_fail(s, &s->table.slots[i], EAGAIN, "the zygote ended");
        if (s->stopping)
                return 0;
        if (!was_ready && (!s->table.slots || ++s->zygote_failures >= ZYGOTE_FAILURES_MAX)) {
                spawner_log(LOG_ERR, "The zygote does not start; its last message says why");
                return -ECHILD;
        }
        if (was_ready)
                spawner_log(LOG_WARNING, "The zygote ended unexpectedly, starting another");
        return start_zygote(s);
}

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

/* The slot that the worker means, while it has the same tenant. */
static Slot *worker_slot(const Spawner *s, const SpawnMessage *m) {
        Slot *slot = m->slot < s->table.n_slots ? &s->table.slots[m->slot] : NULL;

        return slot && slot->state != SLOT_FREE && slot->generation == m->generation ? slot : NULL;
}

static void serve_worker(Spawner *s, const SpawnMessage *m, int *fds, size_t n_fds) {
        Slot *slot;

        switch (m->type) {
        case SPAWN_HELLO:
                if (m->cookie != WIRE_VERSION) {
                        spawner_log(LOG_ERR, "The worker speaks version %llu of the protocol, this is %u",
                                (unsigned long long) m->cookie, WIRE_VERSION);
                        worker_drop(s);
                        return;
                }
                s->worker_said_hello = true;
                if (s->zygote_ready) /* else once it is */
                        worker_welcome(s);
                break;
        case SPAWN_CREATE:
                if (!s->worker_said_hello || !image_name_is_valid(m->image) || !limits_are_valid(&m->limits))
                        worker_send_failed(s, m->cookie, EINVAL, "image or limits out of range");
                else
                        create(s, m);
                break;
        case SPAWN_KILL:
                slot = worker_slot(s, m);
                if (slot)
                        slot_kill(s, slot);
                break;
        case SPAWN_KEEP:
                slot = worker_slot(s, m);
                if (slot && slot_keep(slot, m->cookie, m->flags, fds, n_fds) < 0)
                        spawner_log(LOG_WARNING, "Descriptors of a command could not be kept");
                break;
        case SPAWN_DROP:
                slot = worker_slot(s, m);
                if (slot)
                        slot_drop(slot, m->cookie);
                break;
        case SPAWN_PING: {
                ZygoteMessage ping = { .type = ZYGOTE_PING, .cookie = m->cookie };
                (void) zygote_send(s, &ping, NULL, 0); /* no answer is the answer */
                break;
        }
        default:
                worker_drop(s);
        }
}

static void worker_event(Spawner *s) {
        SpawnMessage m;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 0;

        ssize_t n = message_recv(s->worker, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
                return;
        if (n == -EBADMSG) { /* no room for its descriptors: what was to be kept is not */
                spawner_log(LOG_WARNING, "A message of the worker could not be received whole: too many open files?");
                return;
        }
        if (n != sizeof m) {
                if (n > 0)
                        fds_close(fds, n_fds);
                worker_drop(s);
                return;
        }
        serve_worker(s, &m, fds, n_fds);
        fds_close(fds, n_fds);
}

static void listener_event(Spawner *s) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
                return;
        /* one worker at a time: the newest is the one that the service manager runs */
        if (s->worker >= 0)
                worker_drop(s);
        s->worker = fd;
        int size = 1 << 20;
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        if (fd_set_nonblock(fd, true) < 0 || watch(s, fd, SOURCE_WORKER, 0) < 0)
                worker_drop(s);
}

static int dispatch(Spawner *s, const struct epoll_event *e) {
        uint32_t index = (uint32_t) e->data.u64;

        switch ((Source) (e->data.u64 >> 32)) {
        case SOURCE_LISTENER:
                listener_event(s);
                return 0;
        case SOURCE_WORKER:
                if (s->worker >= 0 && (e->events & EPOLLOUT))
                        worker_flush(s);
                if (s->worker >= 0 && (e->events & ~(uint32_t) EPOLLOUT))
                        worker_event(s);
                return 0;
        case SOURCE_SIGNALS: {
                struct signalfd_siginfo info;
                if (read(s->signals, &info, sizeof info) == sizeof info)
                        s->stopping = true;
                return 0;
        }
        case SOURCE_ZYGOTE:
                if (s->zygote >= 0)
                        zygote_event(s);
                return 0;
        case SOURCE_ZYGOTE_PIDFD:
                return zygote_lost(s);
        case SOURCE_SLOT:
                if (index < s->table.n_slots)
                        ended(s, &s->table.slots[index]);
                return 0;
        }
        return 0;
}

static int loop_once(Spawner *s, int timeout_ms) {
        struct epoll_event events[64];

        int n = epoll_wait(s->epoll, events, ELEMENTSOF(events), timeout_ms);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        for (int i = 0; i < n; i++) {
                int r = dispatch(s, &events[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Ends all sandboxes, waits until they are gone and removes their cgroups. */
static void stop_all(Spawner *s) {
        usec_t deadline = clock_monotonic() + STOP_PATIENCE_USEC;

        (void) notify_send("STOPPING=1\nSTATUS=Ending all sandboxes");
        for (uint32_t i = 0; i < s->table.n_slots; i++)
                slot_kill(s, &s->table.slots[i]);
        while (s->table.n_busy > 0 && clock_monotonic() < deadline)
                if (loop_once(s, 100) < 0)
                        break;
        if (s->table.n_busy > 0)
                spawner_log(LOG_ERR, "%u sandboxes do not end", s->table.n_busy);
        for (uint32_t i = 0; i < s->table.n_slots; i++)
                if (s->table.slots[i].leaf)
                        cgroup_leaf_remove(&s->cgroup, i);
}

static int prepare(Spawner *s) {
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        /* children of ours and, since we are made the reaper of orphans, of a zygote that ended, are not waited for */
        (void) signal(SIGCHLD, SIG_IGN);
        (void) signal(SIGPIPE, SIG_IGN);

        s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        s->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (s->signals < 0 || s->epoll < 0)
                return -errno;
        r = watch(s, s->signals, SOURCE_SIGNALS, 0);
        if (r == 0)
                r = launch_program(&s->program);
        if (r == 0 && s->worker >= 0) {
                r = fd_set_nonblock(s->worker, true);
                if (r == 0)
                        r = watch(s, s->worker, SOURCE_WORKER, 0);
        }
        if (r == 0)
                r = start_zygote(s);
        return r;
}

int spawner_run(Spawner *s) {
        int r = prepare(s);

        if (r < 0)
                spawner_log(LOG_ERR, "Cannot start: %s", strerror(-r));
        while (r == 0 && !s->stopping)
                r = loop_once(s, -1);
        stop_all(s);
        return r;
}
