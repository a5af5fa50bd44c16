/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "spawner/launch.h"
#include "spawner/notify.h"
#include "spawner/spawner-internal.h"

/* Sandboxes: the way from a request to a live one, and the zygote that makes them. */

#define ZYGOTE_FAILURES_MAX 5U
#define LEAF_TRIES 3U
#define TRIES_MAX 3U

int making_start_zygote(Spawner *s) {
        int r = launch_zygote(s->program, s->held->userns, s->images, &s->zygote, &s->zygote_pidfd);
        if (r < 0) {
                spawner_log(LOG_ERR, "Cannot start the zygote: %s", strerror(-r));
                return r;
        }
        s->zygote_ready = false;
        s->netns_pending = 0;
        /* both would wait for each other, were both to send more than the other reads */
        r = fd_set_nonblock(s->zygote, true);
        if (r == 0)
                r = spawner_watch(s, s->zygote, SOURCE_ZYGOTE, 0);
        if (r == 0)
                r = spawner_watch(s, s->zygote_pidfd, SOURCE_ZYGOTE_PIDFD, 0);
        return r;
}

int making_tell_zygote(Spawner *s, ZygoteMessage *m, const int *fds, size_t n_fds) {
        struct iovec iov = { .iov_base = m, .iov_len = sizeof *m };

        return s->zygote_ready ? message_send(s->zygote, &iov, 1, fds, n_fds) : -EAGAIN;
}

static void wait_in_line(Spawner *s, Slot *slot);

static void slot_fail(Spawner *s, Slot *slot, int error, const char *text) {
        if (blank_is(slot))
                blank_lost(s, slot);
        else
                link_send_failed(s, slot->cookie, error, text);
        s->n_making--;
        slot_release(&s->table, slot);
        ending_trim_later(s);
}

/* The service manager removes groups that are empty when it looks after the unit: then there is a new one, with all
 * limits. Returns a descriptor or -errno. */
static int open_leaf(const Spawner *s, Slot *slot) {
        uint32_t index = slot_index(&s->table, slot);
        Limits now = slot->leaf_limits;
        bool known = slot->leaf;

        slot->leaf = false; /* what is in it is not known while it is written */
        int leaf = cgroup_leaf_open(&s->cgroup, index, &slot->limits, known ? &now : NULL);
        for (unsigned i = 0; i < LEAF_TRIES && (leaf == -ENOENT || leaf == -ENODEV); i++)
                leaf = cgroup_leaf_open(&s->cgroup, index, &slot->limits, NULL);
        if (leaf >= 0) {
                slot->leaf_limits = slot->limits;
                slot->leaf = true;
        }
        return leaf;
}

/* Has the zygote make the sandbox of @slot, which has its network namespace now. */
static void slot_start(Spawner *s, Slot *slot) {
        _cleanup_fd_ int leaf = -EBADF;
        uint32_t index = slot_index(&s->table, slot);
        int ends[2];

        if (s->cgroup.fd >= 0) {
                leaf = open_leaf(s, slot);
                if (leaf < 0) {
                        slot_fail(s, slot, leaf, "preparing the cgroup");
                        return;
                }
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
                .calls = slot->calls,
                .limits = slot->limits,
                .flags = (s->cgroup.limits ? 0 : ZYGOTE_NO_CGROUP) | (blank_is(slot) ? ZYGOTE_BLANK : 0),
        };
        memcpy(m.image, slot->image, sizeof m.image);
        int fds[3] = { slot->inner, slot->netns, leaf };
        int r = making_tell_zygote(s, &m, fds, leaf >= 0 ? 3 : 2);
        if (r == -EAGAIN) { /* it has enough to do: with its next answer */
                slot_close(&slot->ctl);
                slot_close(&slot->inner);
                wait_in_line(s, slot);
                return;
        }
        if (r < 0) {
                slot_fail(s, slot, r, "telling the zygote");
                return;
        }
        slot_close(&slot->inner);
        slot_set_state(slot, SLOT_STARTING);
}

static void ask_netns(Spawner *s) {
        ZygoteMessage m = { .type = ZYGOTE_NETNS };

        if (making_tell_zygote(s, &m, NULL, 0) == 0)
                s->netns_pending++;
}

static void wait_in_line(Spawner *s, Slot *slot) {
        uint32_t index = slot_index(&s->table, slot);

        slot_set_state(slot, SLOT_WAITING);
        slot->next = SLOT_NONE;
        if (s->last_waiting == SLOT_NONE)
                s->first_waiting = index;
        else
                s->table.slots[s->last_waiting].next = index;
        s->last_waiting = index;
}

static Slot *next_in_line(Spawner *s) {
        if (s->first_waiting == SLOT_NONE)
                return NULL;

        Slot *slot = &s->table.slots[s->first_waiting];
        s->first_waiting = slot->next;
        if (s->first_waiting == SLOT_NONE)
                s->last_waiting = SLOT_NONE;
        return slot;
}

/* Goes on with a slot that has a tenant to be made, as far as it can be done now. */
void making_place(Spawner *s, Slot *slot) {
        if (slot->kill_wanted) {
                slot_fail(s, slot, ECANCELED, "killed before it was made");
                return;
        }
        if (slot->netns < 0 && s->held->n_spares > 0) {
                uint32_t n = --s->held->n_spares;
                slot->netns_reusable = s->held->spares_reusable[n] != 0;
                slot->netns = s->held->spares[n];
        }
        if (slot->netns >= 0 && s->zygote_ready)
                slot_start(s, slot);
        else { /* until there is a network namespace, or another zygote */
                wait_in_line(s, slot);
                if (s->zygote_ready)
                        ask_netns(s);
        }
}

/* Has the former process begun with it? */
static bool is_begun(const Spawner *s, uint64_t cookie) {
        for (uint32_t i = 0; i < s->table.counters->n_used; i++)
                if (s->table.slots[i].state != SLOT_FREE && s->table.slots[i].cookie == cookie)
                        return true;
        return false;
}

static void begin(Spawner *s, const SpawnMessage *m) {
        if (s->recovered && is_begun(s, m->cookie))
                return;
        if (s->table.slots) {
                bool given = !(m->flags & SPAWN_AHEAD) && blank_give(s, m);
                blank_note(s, m);
                if (given)
                        return;
        }
        Slot *slot = s->table.slots ? slot_take(&s->table, m->cookie, &m->limits, m->calls, m->image) : NULL;

        if (!slot) {
                link_send_failed(s, m->cookie, EAGAIN, s->table.slots ? "all sandbox ids are in use" : "starting");
                return;
        }
        s->n_making++;
        making_place(s, slot);
}

void making_create(Spawner *s, const SpawnMessage *m) {
        begin(s, m);
        /* not before: what is known to have come and lies nowhere is lost, the worker is told, though it is served again
         * when this process is killed meanwhile */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        s->held->last_cookie = m->cookie;
}

/* Network namespaces take longest to make: some are made ahead, while there is nothing else to do. */
static void refill_spares(Spawner *s) {
        /* one at a time, so that a request need not wait for more than one */
        if (s->zygote_ready && s->n_making == 0 && s->netns_pending == 0 && s->held->n_spares < STATE_SPARES_MAX)
                ask_netns(s);
}

static void add_spare(Spawner *s, int fd, bool reusable) {
        s->held->spares[s->held->n_spares] = fd;
        s->held->spares_reusable[s->held->n_spares] = reusable;
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* as with slots */
        s->held->n_spares++;
}

static void got_netns(Spawner *s, const ZygoteMessage *m, int fd) {
        Slot *slot = next_in_line(s);

        if (s->netns_pending > 0)
                s->netns_pending--;
        if (fd >= 0 && s->held->n_spares < STATE_SPARES_MAX) {
                add_spare(s, fd, m->flags & ZYGOTE_NETNS_REUSABLE);
        } else
                fd_close(fd);
        if (slot && fd < 0)
                slot_fail(s, slot, m->error, m->text);
        else if (slot)
                making_place(s, slot);
        else if (fd >= 0)
                refill_spares(s);
}

/* The slot that the zygote means; before it said hello there is none. */
static Slot *zygote_slot(const Spawner *s, const ZygoteMessage *m) {
        return s->table.slots && m->cookie < s->table.counters->n_used ? &s->table.slots[m->cookie] : NULL;
}

/* One that is as new. */
static void got_checked(Spawner *s, const ZygoteMessage *m, int fd) {
        Slot *own = zygote_slot(s, m), *waiting = next_in_line(s);

        if (fd >= 0 && !waiting && own && own->state == SLOT_FREE && own->netns < 0) {
                own->netns_reusable = true;
                own->netns = fd;
        } else if (fd >= 0 && s->held->n_spares < STATE_SPARES_MAX) {
                add_spare(s, fd, true);
        } else
                fd_close(fd);
        if (waiting)
                making_place(s, waiting);
        else
                refill_spares(s);
}

static void got_sandbox(Spawner *s, const ZygoteMessage *m, int fd) {
        Slot *slot = zygote_slot(s, m);

        if (!slot || slot->state != SLOT_STARTING) {
                fd_close(fd);
                return;
        }
        if (m->error != 0 || fd < 0) {
                fd_close(fd);
                slot_fail(s, slot, m->error, m->text);
                return;
        }
        slot->pid = m->pid;
        slot->pidfd = fd;
        slot_set_state(slot, SLOT_LIVE);
        s->n_making--;
        spawner_watch_slot(s, slot);
        if (!blank_is(slot)) {
                SpawnMessage created = link_slot_message(s, slot, SPAWN_CREATED);
                link_send(s, &created, slot->ctl);
        }
        if (slot->kill_wanted)
                ending_kill(s, slot);
        refill_spares(s);
}

static void got_clear(Spawner *s, const ZygoteMessage *m) {
        Slot *slot = zygote_slot(s, m);

        if (slot)
                ending_cleared(s, slot);
}

/* All that waited for a zygote. */
static void serve_line(Spawner *s) {
        uint32_t last = s->last_waiting;
        Slot *slot;

        while ((slot = next_in_line(s))) {
                bool was_last = slot_index(&s->table, slot) == last;
                making_place(s, slot);
                if (was_last)
                        break;
        }
}

static int make_table(Spawner *s, uint32_t n_identities) {
        int r = n_identities < 2 ? -EINVAL : state_add_slots(&s->state, n_identities);

        return r < 0 ? r : slot_table_init(&s->table, &s->held->counters, s->state.slots, s->state.kept, n_identities);
}

static void hello_from_zygote(Spawner *s, const ZygoteMessage *m) {
        s->zygote_ready = true;
        s->zygote_failures = 0;
        if (!s->table.slots) {
                if (make_table(s, m->identity) < 0) {
                        spawner_log(LOG_ERR, "No memory, or no ids, for the table of sandboxes");
                        s->stopping = true;
                        return;
                }
                (void) notify_send("READY=1\nSTATUS=Ready to make sandboxes");
                link_ready(s);
        } else if (s->resumed) {
                s->resumed = false;
                spawner_log(LOG_INFO, "%s with %u sandboxes", s->recovered ? "Goes on" : "Executed anew,",
                        s->table.n_busy);
                (void) notify_send("READY=1\nSTATUS=Ready to make sandboxes");
        }
        serve_line(s);
        refill_spares(s);
        if (s->held->listener >= 0 && !s->orphan)
                (void) spawner_watch(s, s->held->listener, SOURCE_LISTENER, 0); /* EEXIST after a new zygote */
}

/* The worker does not see it itself. 0: not known. */
static uint64_t memory_available(void) {
        char text[4096];
        const char *line;

        if (file_read(AT_FDCWD, "/proc/meminfo", text, sizeof text) < 0)
                return 0;
        line = strstr(text, "MemAvailable:");
        return line ? strtoull(line + 13, NULL, 10) * 1024 : 0;
}

void making_event(Spawner *s) {
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
        else if (m.type == ZYGOTE_CHECK)
                got_checked(s, &m, fd);
        else if (m.type == ZYGOTE_DONE)
                got_sandbox(s, &m, fd);
        else if (m.type == ZYGOTE_CLEAR && n_fds == 0)
                got_clear(s, &m);
        else if (m.type == ZYGOTE_PING) {
                SpawnMessage pong = {
                        .type = SPAWN_PONG, .cookie = m.cookie, .limits.memory = memory_available(), .slot = s->blanks.n
                };
                fd_close(fd);
                link_send(s, &pong, -EBADF);
        } else
                fd_close(fd);
        if (s->clear_again)
                ending_clear_again(s);
        if (s->first_waiting != SLOT_NONE && s->netns_pending == 0) /* it could not be asked before */
                ask_netns(s);
}

/* What the zygote made of it, if anything, ends with its control socket, which nobody has then. */
void making_again(Spawner *s, Slot *slot) {
        if (slot->kill_wanted || blank_is(slot) || ++slot->tries >= TRIES_MAX) {
                slot_fail(s, slot, EAGAIN, "the zygote ended");
                return;
        }
        slot_close(&slot->ctl);
        slot_close(&slot->inner);
        slot_close(&slot->netns);
        slot_set_state(slot, SLOT_WAITING);
        wait_in_line(s, slot);
}

/* The zygote ended: sandboxes live on (they are ours now), what was being made is made again, by a new zygote. */
int making_zygote_lost(Spawner *s) {
        bool was_ready = s->zygote_ready;

        s->zygote = fd_close(s->zygote);
        s->zygote_pidfd = fd_close(s->zygote_pidfd);
        s->zygote_ready = false;
        for (uint32_t i = 0; s->table.slots && i < s->table.counters->n_used; i++) {
                if (s->table.slots[i].state == SLOT_STARTING) /* those that wait go on waiting */
                        making_again(s, &s->table.slots[i]);
                ending_cleared(s, &s->table.slots[i]); /* with the process that held its mounts */
        }
        if (s->stopping)
                return 0;
        if (!was_ready && (!s->table.slots || ++s->zygote_failures >= ZYGOTE_FAILURES_MAX)) {
                spawner_log(LOG_ERR, "The zygote does not start; its last message says why");
                return -ECHILD;
        }
        if (was_ready)
                spawner_log(LOG_WARNING, "The zygote ended unexpectedly, starting another");
        return making_start_zygote(s);
}

void making_ping(Spawner *s, uint64_t cookie) {
        ZygoteMessage m = { .type = ZYGOTE_PING, .cookie = cookie };

        (void) making_tell_zygote(s, &m, NULL, 0); /* no answer is the answer */
}

bool making_is_busy(const Spawner *s) {
        return s->n_making > 0 || s->n_clearing > 0 || !s->zygote_ready;
}
