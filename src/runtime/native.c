/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/fd.h"
#include "runtime/native-internal.h"

/* So long a process 1 that was asked to end may take before it is killed: what it says is told a client sooner than the
 * spawner could see its end. When it takes longer, nothing is lost but that. */
#define END_PATIENCE_USEC (5 * USEC_PER_MSEC)

void native_set_status(Native *n, BackendStatus status) {
        if (n->backend.status == status)
                return;
        n->backend.status = status;
        if (n->backend.notify)
                n->backend.notify(&n->backend, n->backend.userdata);
}

static void stop_asking(Native *n, Sandbox *s) {
        if (!s->asked.le_prev)
                return;
        LIST_REMOVE(s, asked);
        s->asked.le_prev = NULL;
        if (LIST_EMPTY(&n->asked))
                (void) sd_event_source_set_enabled(n->patience, SD_EVENT_OFF);
}

void native_end(Sandbox *s, int error, const char *text) {
        if (s->state == SANDBOX_STARTING && s->error == 0 && error != 0) {
                s->error = error;
                (void) snprintf(s->error_text, sizeof s->error_text, "%s", text);
        }
        Native *n = native(s->backend);

        LIST_REMOVE(s, entry);
        stop_asking(n, s);
        if (s->slot < n->n_slots && n->slots[s->slot] == s)
                n->slots[s->slot] = NULL;
        sandbox_set_state(s, SANDBOX_ENDED);
        (void) sandbox_unref(s);
}

int native_kill_slot(Native *n, uint32_t slot, uint64_t generation) {
        SpawnMessage m = { .type = SPAWN_KILL, .slot = slot, .generation = generation };

        return native_link_send(n, &m);
}

void native_tell_end(Native *n, Sandbox *s) {
        s->end_wanted = true;
        stop_asking(n, s);
        if (s->generation == 0 || s->end_told)
                return;
        int r = native_kill_slot(n, s->slot, s->generation);
        s->end_told = r == 0;
        if (r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM) /* the last two: the kernel is short of memory just now */
                (void) sd_event_source_set_io_events(n->io, EPOLLIN | EPOLLOUT);
}

static void tell_asked(Native *n) {
        Sandbox *s;

        while ((s = LIST_FIRST(&n->asked)))
                native_tell_end(n, s);
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        tell_asked(userdata);
        return 0;
}

static int on_idle(sd_event_source *source, void *userdata) {
        Native *n = userdata;
        Sandbox *s, *next;

        (void) source;
        for (s = LIST_FIRST(&n->asked); s; s = next) {
                next = LIST_NEXT(s, asked);
                if (s->state == SANDBOX_EMPTY)
                        native_tell_end(n, s);
        }
        return 0;
}

/* The spawner is told of one that is empty when clients have been answered: it and the end of process 1 would take the
 * processor from them. Returns false when it has to be now. */
static bool tell_when_idle(Native *n, const Sandbox *s) {
        if (!s->asked.le_prev || s->state != SANDBOX_EMPTY)
                return false;
        if (!n->idle && (sd_event_add_defer(n->event, &n->idle, on_idle, n) < 0 ||
                                sd_event_source_set_priority(n->idle, SD_EVENT_PRIORITY_IDLE) < 0))
                return false;
        return sd_event_source_set_enabled(n->idle, SD_EVENT_ONESHOT) >= 0;
}

/* Asks process 1 first. Returns whether it has the time to say so; one timer does for all: whoever comes while it runs
 * has less. */
static bool ask_to_end(Native *n, Sandbox *s) {
        int r = 0;

        if (!sandbox_end(s))
                return false;
        if (!n->patience)
                r = sd_event_add_time_relative(
                        n->event, &n->patience, CLOCK_MONOTONIC, END_PATIENCE_USEC, USEC_PER_MSEC, on_patience, n);
        else if (LIST_EMPTY(&n->asked)) {
                r = sd_event_source_set_time_relative(n->patience, END_PATIENCE_USEC);
                if (r >= 0)
                        r = sd_event_source_set_enabled(n->patience, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                return false;
        LIST_INSERT_HEAD(&n->asked, s, asked);
        return true;
}

void native_forget(Backend *b) {
        Native *n = native(b);
        SpawnMessage m = { .type = SPAWN_FORGET };

        n->forget_wanted = n->can_forget && native_link_send(n, &m) < 0;
        if (n->forget_wanted && n->io)
                (void) sd_event_source_set_io_events(n->io, EPOLLIN | EPOLLOUT);
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
        int r = native_link_send(n, &m);
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

        if (s->state == SANDBOX_ENDED)
                return;
        if (!s->end_wanted && ask_to_end(n, s))
                s->end_wanted = true;
        else if (!tell_when_idle(n, s))
                native_tell_end(n, s); /* or as soon as it is known which one it is */
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

        (void) native_link_send(native(b), &m);
}

static void native_ping(Backend *b) {
        SpawnMessage m = { .type = SPAWN_PING };

        (void) native_link_send(native(b), &m); /* no answer is the answer */
}

static Backend *native_free(Backend *b) {
        Native *n = native(b);
        Sandbox *s;

        tell_asked(n);
        n->io = sd_event_source_disable_unref(n->io);
        n->retry = sd_event_source_disable_unref(n->retry);
        n->sock = fd_close(n->sock);
        while ((s = LIST_FIRST(&n->sandboxes)))
                native_end(s, -ESHUTDOWN, "the worker ends");
        /* an owner may have ended another one when it was told */
        n->patience = sd_event_source_disable_unref(n->patience);
        n->idle = sd_event_source_disable_unref(n->idle);
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
        LIST_INIT(&n->asked);
        b = &n->backend;
        /* what a former worker asked for last may be answered to us: no cookie of its is one of ours */
        if (getrandom(&n->last_cookie, sizeof n->last_cookie, 0) < 0)
                n->last_cookie = clock_realtime();
        n->last_cookie >>= 1;

        if (path) {
                n->path = strdup(path);
                if (!n->path)
                        return -ENOMEM;
                (void) native_link_connect(n); /* tries again later by itself */
        } else {
                int r = native_link_hello(n);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(b);
        return 0;
}
