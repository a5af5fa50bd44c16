/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/supervisor.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "spawner/bequest.h"
#include "spawner/notify.h"

#define FALLS_MAX 10U /* of the working process, within FALLS_USEC: more, and it is given up */
#define FALLS_USEC (10 * USEC_PER_SEC)
#define LAST_PATIENCE_USEC (2 * USEC_PER_SEC)

typedef struct Supervisor {
        Spawner *spawner;
        int self;    /* owned, like the next four: a pidfd of this process */
        int signals;
        int life;    /* the working process */
        int told;    /* what it says */
        int tell;
        pid_t pid; /* of it */
        int status;
        bool stopping;
        unsigned n_falls;
        usec_t first_fall;
} Supervisor;

/* Closes what the former working process had and nobody knows of. */
static void sweep(Supervisor *v) {
        const int ours[] = { v->signals, v->told, v->tell, v->self, v->spawner->cgroup.fd };
        int r = state_sweep(&v->spawner->state, ours, ELEMENTSOF(ours));

        if (r < 0)
                spawner_log(LOG_WARNING, "Descriptors of the former working process stay open: %s", strerror(-r));
}

static int start(Supervisor *v) {
        Spawner *s = v->spawner;
        uint32_t n_identities = s->state.head->counters.n_identities;
        int pidfd = -EBADF;

        int r = n_identities > 0 ? state_add_slots(&s->state, n_identities) : 0;
        if (r < 0)
                return r;
        sweep(v);
        s->state.head->wish = STATE_NO_WISH;
        /* without a stack of its own it goes on here, with a copy of this memory, as after fork(2) */
        v->pid = (pid_t) syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD | SIGCHLD, 0, &pidfd, NULL, 0);
        if (v->pid < 0)
                return -errno;
        if (v->pid == 0) {
                notify_through(v->tell);
                s->supervisor = v->self;
                _exit(spawner_run(s) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        v->life = pidfd;
        return 0;
}

static void pass_on(const Supervisor *v, int signal_number) {
        if (v->life >= 0)
                (void) syscall(SYS_pidfd_send_signal, v->life, signal_number, NULL, 0);
}

/* Also reaps what became ours while there was no working process. */
static void reap(Supervisor *v) {
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                if (pid == v->pid) {
                        v->status = status;
                        v->pid = 0;
                }
}

/* The zygote, and what it started, end with the working process, and a service manager that leaves other processes
 * alone removes the group at once when the main one ends, or never. */
static void await_last(Supervisor *v) {
        usec_t deadline = clock_monotonic() + LAST_PATIENCE_USEC, now;
        struct pollfd p = { .fd = v->signals, .events = POLLIN };
        struct signalfd_siginfo info;

        for (;;) {
                reap(v);
                if (waitpid(-1, NULL, WNOHANG) < 0) /* nobody is left */
                        return;
                now = clock_monotonic();
                if (now >= deadline)
                        break;
                (void) poll(&p, 1, (int) ((deadline - now) / USEC_PER_MSEC) + 1);
                while (read(v->signals, &info, sizeof info) == sizeof info)
                        ;
        }
        spawner_log(LOG_WARNING, "What the working process started does not end");
}

static void on_signal(Supervisor *v) {
        struct signalfd_siginfo info;

        while (read(v->signals, &info, sizeof info) == sizeof info) {
                if (info.ssi_signo == SIGCHLD)
                        continue;
                if (info.ssi_signo != SIGHUP && !v->stopping) {
                        v->stopping = true;
                        (void) notify_send("STOPPING=1\nSTATUS=Ending all sandboxes");
                }
                pass_on(v, (int) info.ssi_signo);
        }
        reap(v);
}

/* A message is at most what notify_send() is given by the working process; nobody else has the other end. */
static void on_told(const Supervisor *v) {
        char text[256];
        ssize_t n;

        while ((n = read(v->told, text, sizeof text - 1)) > 0) {
                text[n] = '\0';
                (void) notify_send(text);
        }
}

static void execute(Spawner *s) {
        char number[16];
        char *argv[] = { s->path, (char *) (s->state.head->exit_with_worker ? "--standalone" : "--worker"), s->name,
                (char *) "--images", s->images, (char *) "--resume", number, NULL };

        (void) snprintf(number, sizeof number, "%d", s->state.fd);
        (void) execv(s->path, argv);
        spawner_log(LOG_ERR, "Cannot execute %s anew: %s; going on as before", s->path, strerror(errno));
}

static void tell_fall(const Supervisor *v) {
        if (v->pid == 0 && WIFSIGNALED(v->status))
                spawner_log(LOG_WARNING, "The working process was killed by signal %d; starting another, with all "
                        "sandboxes", WTERMSIG(v->status));
        else
                spawner_log(LOG_WARNING, "The working process ended; starting another, with all sandboxes");
}

/* Returns 1 when all is over, 0 when there is another working process, or -errno. */
static int on_end(Supervisor *v) {
        usec_t now = clock_monotonic();

        reap(v);
        on_told(v);
        v->life = fd_close(v->life);
        switch ((StateWish) v->spawner->state.head->wish) {
        case STATE_WISH_STOPPED:
                return 1;
        case STATE_WISH_FAILED:
                return -ECANCELED;
        case STATE_WISH_EXECUTE:
                execute(v->spawner);
                break;
        default:
                if (v->spawner->state.head->counters.n_identities == 0) /* it had not begun */
                        return -ECHILD;
                if (v->n_falls == 0 || now - v->first_fall > FALLS_USEC) {
                        v->first_fall = now;
                        v->n_falls = 0;
                }
                if (++v->n_falls > FALLS_MAX) {
                        spawner_log(LOG_ERR, "The working process ended %u times in a short time: giving up", v->n_falls);
                        return -ECHILD;
                }
                tell_fall(v);
        }
        int r = start(v);
        if (r == 0 && v->stopping)
                pass_on(v, SIGTERM);
        return r;
}

static int prepare(Supervisor *v) {
        sigset_t mask;
        int ends[2];

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigaddset(&mask, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        /* sandboxes whose zygote and whose working process ended become ours */
        (void) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

        v->self = (int) syscall(SYS_pidfd_open, getpid(), 0);
        v->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (v->self < 0 || v->signals < 0)
                return -errno;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                return -errno;
        v->told = ends[0];
        v->tell = ends[1];
        int r = bequest_prepare(v->spawner->held);
        if (r < 0)
                spawner_log(LOG_WARNING, "Sandboxes will not outlive this process: %s", strerror(-r));
        return start(v);
}

int supervisor_run(Spawner *s) {
        Supervisor v = { .spawner = s, .self = -EBADF, .signals = -EBADF, .life = -EBADF, .told = -EBADF, .tell = -EBADF };
        int r = prepare(&v);

        if (r < 0)
                spawner_log(LOG_ERR, "Cannot start: %s", strerror(-r));
        while (r == 0) {
                struct pollfd p[] = {
                        { .fd = v.signals, .events = POLLIN },
                        { .fd = v.told, .events = POLLIN },
                        { .fd = v.life, .events = POLLIN },
                };
                if (poll(p, ELEMENTSOF(p), -1) < 0)
                        continue;
                if (p[1].revents)
                        on_told(&v);
                if (p[0].revents)
                        on_signal(&v);
                if (p[2].revents & POLLIN)
                        r = on_end(&v);
        }
        if (r > 0)
                await_last(&v);
        return MIN(r, 0);
}
