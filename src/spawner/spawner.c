/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/spawner-internal.h"

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
#include "spawner/bequest.h"
#include "spawner/launch.h"
#include "spawner/notify.h"

#define STOP_PATIENCE_USEC (10 * USEC_PER_SEC)
#define WATCH_AGAIN_MS 100

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

int spawner_watch(Spawner *s, int fd, Source source, uint32_t index) {
        struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t) source << 32 | index };

        return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* The end of a sandbox would go unnoticed when the kernel had no memory for this: then it is tried again. */
void spawner_watch_slot(Spawner *s, const Slot *slot) {
        int r = spawner_watch(s, slot->pidfd, SOURCE_SLOT, slot_index(&s->table, slot));

        if (r < 0 && r != -EEXIST)
                s->watch_again = true;
}

static void watch_again(Spawner *s) {
        s->watch_again = false;
        for (uint32_t i = 0; i < s->table.counters->n_used; i++)
                if (s->table.slots[i].state != SLOT_FREE && s->table.slots[i].pidfd >= 0)
                        spawner_watch_slot(s, &s->table.slots[i]);
}

/* Without a supervisor: makes way for the one that the service manager starts as soon as the worker asks for it. */
static void orphaned(Spawner *s) {
        if (s->held->heir <= STDERR_FILENO || s->stopping) {
                s->stopping = true;
                return;
        }
        spawner_log(LOG_WARNING, "The main process was killed; the sandboxes wait for the next one");
        (void) epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->supervisor, NULL);
        (void) epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->held->listener, NULL);
        link_drop(s);
        s->orphan = s->execute_wanted = true;
}

static int dispatch(Spawner *s, const struct epoll_event *e) {
        uint32_t index = (uint32_t) e->data.u64;

        switch ((Source) (e->data.u64 >> 32)) {
        case SOURCE_LISTENER:
                link_accept(s);
                return 0;
        case SOURCE_WORKER:
                if (s->held->worker >= 0 && (e->events & EPOLLOUT))
                        link_flush(s);
                if (s->held->worker >= 0 && (e->events & ~(uint32_t) EPOLLOUT))
                        link_event(s);
                return 0;
        case SOURCE_SUPERVISOR: /* nobody would start another after us */
                orphaned(s);
                return 0;
        case SOURCE_SIGNALS: {
                struct signalfd_siginfo info;
                if (read(s->signals, &info, sizeof info) != sizeof info)
                        return 0;
                if (info.ssi_signo == SIGHUP)
                        s->execute_wanted = true;
                else
                        s->stopping = true;
                return 0;
        }
        case SOURCE_ZYGOTE:
                if (s->zygote >= 0)
                        making_event(s);
                return 0;
        case SOURCE_ZYGOTE_PIDFD:
                return making_zygote_lost(s);
        case SOURCE_SLOT:
                if (index < s->table.n_slots)
                        ending_reaped(s, &s->table.slots[index]);
                return 0;
        }
        return 0;
}

/* Of two times to wait, in ms, -1: for ever. */
static int sooner(int a, int b) {
        return a < 0 ? b : b < 0 ? a : MIN(a, b);
}

static int loop_once(Spawner *s, int timeout_ms) {
        struct epoll_event events[64];

        if (s->watch_again)
                watch_again(s);
        if (s->watch_again)
                timeout_ms = sooner(timeout_ms, WATCH_AGAIN_MS);
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
        for (uint32_t i = 0; s->table.slots && i < s->table.counters->n_used; i++)
                ending_kill(s, &s->table.slots[i]);
        while (s->table.n_busy > 0 && clock_monotonic() < deadline)
                if (loop_once(s, 100) < 0)
                        break;
        if (s->table.n_busy > 0)
                spawner_log(LOG_ERR, "%u sandboxes do not end", s->table.n_busy);
        for (uint32_t i = 0; s->table.slots && i < s->table.counters->n_used; i++)
                if (s->table.slots[i].leaf)
                        (void) cgroup_leaf_remove(&s->cgroup, i); /* what is not empty the next start removes */
}

static int prepare(Spawner *s) {
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        /* children of ours and, since we are made the reaper of orphans, of a zygote that ended, are not waited for */
        (void) signal(SIGCHLD, SIG_IGN);
        (void) signal(SIGPIPE, SIG_IGN);

        s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        s->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (s->signals < 0 || s->epoll < 0)
                return -errno;
        r = spawner_watch(s, s->signals, SOURCE_SIGNALS, 0);
        if (r == 0 && s->supervisor >= 0)
                r = spawner_watch(s, s->supervisor, SOURCE_SUPERVISOR, 0);
        if (r == 0)
                r = launch_program(&s->program);
        if (r == 0 && s->held->worker >= 0) {
                r = fd_set_nonblock(s->held->worker, true);
                if (r == 0)
                        r = spawner_watch(s, s->held->worker, SOURCE_WORKER, 0);
        }
        if (r == 0)
                r = resume_state(s);
        if (r == 0)
                r = making_start_zygote(s);
        return r;
}

/* Nothing is on its way: the supervisor executes the program anew, or there is another one, which finds all in the
 * state. */
static int make_way(Spawner *s) {
        s->held->clean = true;
        if (s->orphan)
                return bequest_leave(&s->state);
        state_pass(&s->state, true);
        s->held->wish = STATE_WISH_EXECUTE;
        return 0;
}

int spawner_run(Spawner *s) {
        int r = prepare(s);

        if (r < 0)
                spawner_log(LOG_ERR, "Cannot start: %s", strerror(-r));
        while (r == 0 && !s->stopping) {
                r = loop_once(s, sooner(blank_tend(s), ending_trim(s)));
                if (s->execute_wanted && r == 0 && !s->stopping && !making_is_busy(s) && !s->syncing && !s->outgoing) {
                        r = make_way(s);
                        if (r == 0)
                                return 0;
                        spawner_log(LOG_ERR, "No other main process came: %s", strerror(-r));
                }
        }
        stop_all(s);
        s->held->wish = r < 0 ? STATE_WISH_FAILED : STATE_WISH_STOPPED;
        return r;
}
