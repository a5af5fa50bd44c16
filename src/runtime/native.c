/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "runtime/backend.h"

#define RECONNECT_USEC (100 * USEC_PER_MSEC)
#define MESSAGES_PER_TURN 64
#define SLOTS_MAX (1U << 20)

typedef struct Native {
        Backend backend;
        sd_event *event; /* borrowed */
        char *path;      /* owned; NULL: there is one connection only */
        int sock;        /* owned */
        sd_event_source *io, *retry;
        bool synced;
        bool can_widen;   /* what connects knows of groups of system calls */
        bool can_forget;  /* and of images that change */
        bool forget_wanted;
        bool room_wanted; /* somebody could not ask for a sandbox: the spawner does not read fast enough */
        uint64_t last_cookie;
        char cgroup[256];
        LIST_HEAD(, Sandbox) sandboxes; /* all that have not ended, newest first; each with a reference */
        Sandbox **slots;                /* owned: the same by slot, borrowed */
        uint32_t n_slots;
} Native;

static Native *native(Backend *b) {
        return CONTAINER_OF(b, Native, backend);
}

static void set_status(Native *n, BackendStatus status) {
        if (n->backend.status == status)
                return;
        n->backend.status = status;
        if (n->backend.notify)
                n->backend.notify(&n->backend, n->backend.userdata);
}

static void end_sandbox(Sandbox *s, int error, const char *text) {
        if (s->state == SANDBOX_STARTING && s->error == 0 && error != 0) {
                s->error = error;
                (void) snprintf(s->error_text, sizeof s->error_text, "%s", text);
        }
        Native *n = native(s->backend);

        LIST_REMOVE(s, entry);
        if (s->slot < n->n_slots && n->slots[s->slot] == s)
                n->slots[s->slot] = NULL;
        sandbox_set_state(s, SANDBOX_ENDED);
        (void) sandbox_unref(s);
}

static int send_message(Native *n, const SpawnMessage *m) {
        struct iovec iov = { .iov_base = (void *) m, .iov_len = sizeof *m };

        return n->sock >= 0 ? message_send(n->sock, &iov, 1, NULL, 0) : -ENOTCONN;
}

static int connect_spawner(Native *n);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Native *n = userdata;

        (void) source;
        (void) usec;
        (void) connect_spawner(n);
        return 0;
}

static void retry_later(Native *n) {
        int r;

        if (!n->path)
                return;
        if (n->retry)
                r = sd_event_source_set_time_relative(n->retry, RECONNECT_USEC);
        else
                r = sd_event_add_time_relative(n->event, &n->retry, CLOCK_MONOTONIC, RECONNECT_USEC, 0, on_retry, n);
        if (r >= 0)
                (void) sd_event_source_set_enabled(n->retry, SD_EVENT_ONESHOT);
}

/* The connection is gone. Sandboxes may live on: which ones is told when it is back. What was being asked for is lost.
 */
static void disconnect(Native *n) {
        Sandbox *s, *next;

        n->io = sd_event_source_disable_unref(n->io);
        n->sock = fd_close(n->sock);
        n->synced = false;
        n->backend.n_clearing = 0;
        for (s = LIST_FIRST(&n->sandboxes); s; s = next) {
                next = LIST_NEXT(s, entry);
                if (s->generation == 0 || !n->path)
                        end_sandbox(s, -ENOTCONN, "the spawner is gone");
        }
        set_status(n, n->backend.status == BACKEND_CONNECTING ? BACKEND_CONNECTING : BACKEND_LOST);
        retry_later(n);
}

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

/* One that is nobody's. When it cannot be told the connection begins anew, which names it again. */
static int kill_slot(Native *n, uint32_t slot, uint64_t generation) {
        SpawnMessage m = { .type = SPAWN_KILL, .slot = slot, .generation = generation };

        return send_message(n, &m);
}

/* Says that @s is to end: now, or as soon as the spawner reads on, or is back. */
static void tell_end(Native *n, Sandbox *s) {
        s->end_wanted = true;
        if (s->generation == 0 || s->end_told)
                return;
        int r = kill_slot(n, s->slot, s->generation);
        s->end_told = r == 0;
        if (r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM) /* the last two: the kernel is short of memory just now */
                (void) sd_event_source_set_io_events(n->io, EPOLLIN | EPOLLOUT);
}

/* There is room again. */
static void tell_ends(Native *n) {
        Sandbox *s;

        (void) sd_event_source_set_io_events(n->io, EPOLLIN);
        LIST_FOREACH(s, &n->sandboxes, entry)
        if (s->end_wanted)
                tell_end(n, s);
}

static void native_forget(Backend *b) {
        Native *n = native(b);
        SpawnMessage m = { .type = SPAWN_FORGET };

        n->forget_wanted = n->can_forget && send_message(n, &m) < 0;
        if (n->forget_wanted && n->io)
                (void) sd_event_source_set_io_events(n->io, EPOLLIN | EPOLLOUT);
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
                        end_sandbox(s, -EBADMSG, "the spawner's answer is malformed");
                return kill_slot(n, m->slot, m->generation);
        }
        s->slot = m->slot;
        s->generation = m->generation;
        s->pid = (pid_t) m->pid;
        n->slots[s->slot] = s;
        if (s->end_wanted) {
                tell_end(n, s);
                return 0;
        }
        note_base_counters(n, s);
        int r = sandbox_attach(s, n->event, take_fd(fds[0]));
        if (r < 0) {
                s->error = r;
                tell_end(n, s);
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
                return kill_slot(n, m->slot, m->generation);
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
                tell_end(n, s);
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
                        end_sandbox(s, -EAGAIN, "the spawner was killed");
                else if (s->generation == 0)
                        s->pending = false;
                else if (s->cookie != UINT64_MAX)
                        end_sandbox(s, 0, "");
                else
                        s->cookie = 0;
        }
        LIST_FOREACH(s, &n->sandboxes, entry)
        if (s->resuming && !s->resume_asked) {
                s->resume_asked = true;
                if (sandbox_resume(s) < 0)
                        tell_end(n, s);
        }
        native_forget(&n->backend); /* there may be other ones than when the former worker ended */
        n->synced = true;
        n->backend.last_answer = clock_monotonic();
        if (n->backend.heir.done)
                n->backend.heir.done(n->backend.heir.userdata);
        set_status(n, BACKEND_READY);
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

static int handle_message(Native *n, const SpawnMessage *m, int *fds, size_t n_fds) {
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
                        end_sandbox(s, m->error > 0 ? -m->error : -EIO, m->text);
                return 0;
        case SPAWN_ENDED:
                n->backend.n_clearing += m->flags & SPAWN_CLEARING ? 1 : 0;
                s = find_by_slot(n, m->slot, m->generation);
                if (s)
                        end_sandbox(s, s->error ? s->error : -ECHILD, "it ended while it was being made");
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

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Native *n = userdata;
        SpawnMessage m;
        int fds[MESSAGE_FDS_MAX], r = 0;
        size_t n_fds;

        (void) source;
        if (revents & EPOLLOUT) {
                tell_ends(n);
                if (n->forget_wanted)
                        native_forget(&n->backend);
                if (n->room_wanted && n->backend.notify) {
                        n->room_wanted = false;
                        n->backend.notify(&n->backend, n->backend.userdata);
                }
        }
        for (int i = 0; i < MESSAGES_PER_TURN && r == 0; i++) {
                ssize_t size = message_recv(fd, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT);
                if (size == -EAGAIN)
                        return 0;
                if (size != sizeof m) {
                        if (size > 0)
                                fds_close(fds, n_fds);
                        r = -EPIPE;
                        break;
                }
                m.text[sizeof m.text - 1] = '\0';
                r = handle_message(n, &m, fds, n_fds);
                fds_close(fds, n_fds);
        }
        if (r < 0)
                disconnect(n);
        return 0;
}

static int hello(Native *n) {
        SpawnMessage m = { .type = SPAWN_HELLO, .cookie = WIRE_VERSION, .flags = SPAWN_KNOWS_CLEARED };

        int r = fd_set_nonblock(n->sock, true);
        if (r >= 0)
                r = sd_event_add_io(n->event, &n->io, n->sock, EPOLLIN, on_message, n);
        if (r >= 0)
                r = send_message(n, &m);
        return r;
}

static int connect_spawner(Native *n) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r = 0;

        (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", n->path);
        n->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (n->sock < 0 || connect(n->sock, (struct sockaddr *) &address, sizeof address) < 0)
                r = -errno;
        if (r == 0)
                r = hello(n);
        if (r < 0)
                disconnect(n);
        return r;
}

static int native_start(Backend *b, Sandbox *s) {
        Native *n = native(b);
        SpawnMessage m = {
                .type = SPAWN_CREATE,
                .flags = s->spec.ahead ? SPAWN_AHEAD : 0,
                .limits = s->spec.limits,
                .calls = s->spec.calls,
        };

        if (!n->synced)
                return -ENOTCONN;
        if (m.calls && !n->can_widen) /* a spawner of an older package would not give them */
                return -EPROTONOSUPPORT;
        m.cookie = ++n->last_cookie;
        memcpy(m.image, s->spec.image, sizeof m.image);
        s->cookie = m.cookie;
        int r = send_message(n, &m);
        if (r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM) {
                n->room_wanted = true;
                (void) sd_event_source_set_io_events(n->io, EPOLLIN | EPOLLOUT);
                return -EAGAIN;
        }
        if (r < 0)
                return r;
        (void) sandbox_ref(s); /* not in the macro, which names its argument several times */
        LIST_INSERT_HEAD(&n->sandboxes, s, entry);
        return 0;
}

static void native_kill(Backend *b, Sandbox *s) {
        Native *n = native(b);

        if (s->state == SANDBOX_ENDED || s->end_wanted)
                return;
        sandbox_end(s);
        tell_end(n, s); /* or as soon as it is known which one it is */
}

static void native_keep(Backend *b, const Sandbox *s, uint32_t number, uint32_t flags, const int *fds, size_t n_fds) {
        Native *n = native(b);
        SpawnMessage m = {
                .type = n_fds > 0 ? SPAWN_KEEP : SPAWN_DROP,
                .cookie = number,
                .flags = flags,
                .slot = s->slot,
                .generation = s->generation,
        };
        struct iovec iov = { .iov_base = &m, .iov_len = sizeof m };

        if (n->sock >= 0 && n->path)                               /* else there is no worker to come back */
                (void) message_send(n->sock, &iov, 1, fds, n_fds); /* if it fails the command ends with this worker */
}

static void native_freeze(Backend *b, const Sandbox *s, bool freeze) {
        SpawnMessage m = { .type = SPAWN_FREEZE, .slot = s->slot, .generation = s->generation, .flags = freeze };

        (void) send_message(native(b), &m);
}

static void native_ping(Backend *b) {
        SpawnMessage m = { .type = SPAWN_PING };

        (void) send_message(native(b), &m); /* no answer is the answer */
}

static int native_cgroup(Backend *b, const Sandbox *s, char *buf, size_t size) {
        Native *n = native(b);

        if (!n->cgroup[0] || s->generation == 0)
                return -ENOENT;
        int k = snprintf(buf, size, "%s/slot-%" PRIu32, n->cgroup, s->slot);
        return k < 0 || (size_t) k >= size ? -ENAMETOOLONG : 0;
}

/* The number after @name in a file of "name number" lines, or the first number when @name is NULL. */
static uint64_t read_counter(int dir, const char *file, const char *name) {
        char text[1024];
        const char *p = text;

        if (file_read(dir, file, text, sizeof text) < 0)
                return 0;
        if (name) {
                size_t length = strlen(name);
                while (p && !(strncmp(p, name, length) == 0 && p[length] == ' ')) {
                        p = strchr(p, '\n');
                        if (p)
                                p++;
                }
                if (!p)
                        return 0;
                p += length + 1;
        }
        return strtoull(p, NULL, 10);
}

static uint64_t since(uint64_t now, uint64_t before) {
        return now > before ? now - before : 0;
}

static int native_usage(Backend *b, const Sandbox *s, BackendUsage *ret) {
        _cleanup_fd_ int dir = -EBADF;
        char path[512];

        if (!b->limits_enforced || native_cgroup(b, s, path, sizeof path) < 0)
                return -EOPNOTSUPP;
        dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return -errno;
        *ret = (BackendUsage){
                .memory = read_counter(dir, "memory.current", NULL),
                .cpu_usec = since(read_counter(dir, "cpu.stat", "usage_usec"), s->base_cpu_usec),
                .pids = read_counter(dir, "pids.current", NULL),
                .oom_kills = since(read_counter(dir, "memory.events", "oom_kill"), s->base_oom_kills),
                .pids_refused = since(read_counter(dir, "pids.events", "max"), s->base_pids_refused),
        };
        return 0;
}

static Backend *native_free(Backend *b) {
        Native *n = native(b);
        Sandbox *s;

        n->io = sd_event_source_disable_unref(n->io);
        n->retry = sd_event_source_disable_unref(n->retry);
        n->sock = fd_close(n->sock);
        while ((s = LIST_FIRST(&n->sandboxes)))
                end_sandbox(s, -ESHUTDOWN, "the worker ends");
        free(n->slots);
        free(n->path);
        free(n);
        return NULL;
}

static const BackendOps native_ops = {
        .name = "native",
        .start = native_start,
        .kill = native_kill,
        .usage = native_usage,
        .keep = native_keep,
        .freeze = native_freeze,
        .forget = native_forget,
        .ping = native_ping,
        .cgroup = native_cgroup,
        .free = native_free,
};

int native_new(sd_event *event, const char *path, int fd, BackendNotify *notify, void *userdata, Backend **ret) {
        _cleanup_(backend_freep) Backend *b = NULL;
        Native *n = malloc(sizeof *n);

        if (!n)
                return -ENOMEM;
        *n = (Native){
                .backend = { .ops = &native_ops, .status = BACKEND_CONNECTING, .notify = notify, .userdata = userdata },
                .event = event,
                .sock = path ? -EBADF : fd,
        };
        LIST_INIT(&n->sandboxes);
        b = &n->backend;
        /* what a former worker asked for last may be answered to us: no cookie of its is one of ours */
        if (getrandom(&n->last_cookie, sizeof n->last_cookie, 0) < 0)
                n->last_cookie = clock_realtime();
        n->last_cookie >>= 1;

        if (path) {
                n->path = strdup(path);
                if (!n->path)
                        return -ENOMEM;
                (void) connect_spawner(n); /* tries again later by itself */
        } else {
                int r = hello(n);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(b);
        return 0;
}
