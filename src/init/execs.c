/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/execs.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/command.h"
#include "init/event.h"
#include "init/init.h"
#include "init/memory.h"
#include "init/sweep.h"

#define SWEEP_PASSES_MAX 200
#define SWEEP_PAUSE_MS 5
#define BEGIN_LOOK_MS 50 /* a command that takes longer to begin may have been stopped */
#define BEGIN_PATIENCE_USEC (10 * USEC_PER_SEC)

static Exec execs[INIT_EXECS_MAX];
static uint32_t last_number;
static unsigned n_execs, n_beginning;
static bool childless = true; /* the kernel said so, and nothing was started since */

/* From the kernel itself: what libc would ask without a call is not there (init/stack.h). */
static usec_t now(void) {
        struct timespec t = { 0 };

        (void) syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
        return (usec_t) t.tv_sec * USEC_PER_SEC + (usec_t) t.tv_nsec / 1000;
}

Exec *execs_find(uint32_t number) {
        for (size_t i = 0; i < INIT_EXECS_MAX; i++)
                if (execs[i].number == number)
                        return &execs[i];
        return NULL;
}

static void note_end(pid_t pid, int status, const struct rusage *usage) {
        for (size_t i = 0; i < INIT_EXECS_MAX; i++) {
                Exec *e = &execs[i];
                if (e->number == 0 || e->ended || e->pid != pid)
                        continue;
                e->ended = true;
                e->status = status;
                e->cpu_usec = (uint64_t) usage->ru_utime.tv_sec * 1000000 + (uint64_t) usage->ru_utime.tv_usec +
                              (uint64_t) usage->ru_stime.tv_sec * 1000000 + (uint64_t) usage->ru_stime.tv_usec;
                e->max_rss = (uint64_t) usage->ru_maxrss * 1024;
                return;
        }
}

/* Reaps what has ended; with @block waits until there is no child at all. */
static void reap(bool block) {
        struct signalfd_siginfo info;
        struct rusage usage;
        int status;
        pid_t pid;

        while (read(INIT_CHILDREN_FD, &info, sizeof info) > 0)
                ;
        while ((pid = wait4(-1, &status, block ? 0 : WNOHANG, &usage)) > 0)
                note_end(pid, status, &usage);
        childless = pid < 0 && errno == ECHILD;
}

static bool runs_beside(uint32_t number) {
        return number != 0 && execs_find(number);
}

/* Kills what a command left behind when it ended. */
static void kill_rest(const Exec *e) {
        if (n_execs == 1) {
                /* nothing else runs here: one call reaches all, also those that are just being forked. It looks at all
                 * processes of the host, though, and there mostly are none */
                while (!childless && kill(-1, SIGKILL) == 0)
                        reap(true);
                return;
        }
        for (int i = 0; i < SWEEP_PASSES_MAX && sweep_kill(e->number, runs_beside) > 0; i++) {
                struct pollfd wait = { .fd = INIT_CHILDREN_FD, .events = POLLIN };
                (void) poll(&wait, 1, SWEEP_PAUSE_MS);
                reap(false);
        }
}

bool execs_end_all(void) {
        bool killed = false;
        pid_t pid;

        /* __WALL: whoever is there, also one whose end its parent did not want to be told */
        while ((pid = waitpid(-1, NULL, killed ? __WALL : __WALL | WNOHANG)) >= 0)
                if (pid == 0) {
                        (void) kill(-1, SIGKILL); /* reaches those too that are just being forked */
                        killed = true;
                }
        return errno == ECHILD; /* whose parent has ended is our child: so there is nobody */
}

static void forget(Exec *e) {
        if (e->report >= 0)
                n_beginning--;
        (void) fd_close(e->report);
        (void) fd_close(e->master);
        *e = (Exec){ 0 };
        n_execs--;
}

void execs_look(Exec *e) {
        InitStage stage;

        if (e->report < 0)
                return;
        int r = command_report(e->report, &stage);
        if (r < 0) {
                uint32_t number = e->number;
                forget(e);
                event_refuse(number, r, stage);
        } else if (r > 0) {
                InitEvent event = { .type = INIT_STARTED, .exec = e->number, .pid = e->pid };
                n_beginning--;
                e->report = fd_close(e->report);
                if (e->wants_started)
                        event_tell_with(&event, e->master);
                e->master = fd_close(e->master);
        }
}

void execs_look_after(void) {
        usec_t time = n_beginning > 0 ? now() : 0;

        for (size_t i = 0; i < INIT_EXECS_MAX && n_beginning > 0; i++) {
                Exec *e = &execs[i];
                if (e->number != 0)
                        execs_look(e);
                if (e->number == 0 || e->report < 0)
                        continue;
                /* not while the whole sandbox was frozen */
                e->waited += MIN(time - e->looked, 4 * BEGIN_LOOK_MS * USEC_PER_MSEC);
                e->looked = time;
                if (e->waited > BEGIN_PATIENCE_USEC) {
                        uint32_t number = e->number;
                        (void) sweep_signal(number, SIGKILL);
                        forget(e);
                        event_refuse(number, -ETIMEDOUT, INIT_STAGE_STOPPED);
                } else if (e->waited >= BEGIN_LOOK_MS * USEC_PER_MSEC)
                        (void) kill(e->pid, SIGCONT);
        }
}

static void finish_ended(void) {
        bool again;

        do {
                again = false;
                for (size_t i = 0; i < INIT_EXECS_MAX; i++) {
                        Exec *e = &execs[i];
                        if (e->number == 0 || !e->ended)
                                continue;
                        execs_look(e);
                        if (e->number == 0)
                                continue;
                        if (!e->builtin)
                                kill_rest(e);
                        InitEvent event = {
                                .type = INIT_EXITED,
                                .exec = e->number,
                                .pid = e->pid,
                                .status = e->status,
                                .cpu_usec = e->cpu_usec,
                                .max_rss = e->max_rss,
                        };
                        forget(e);
                        event_tell(&event);
                        again = true; /* killing the rest may have reaped other commands */
                }
        } while (again && n_execs > 0);
}

bool execs_are_none(void) {
        return n_execs == 0 && (childless || (kill(-1, 0) < 0 && errno == ESRCH));
}

unsigned execs_count(void) {
        return n_execs;
}

uint32_t execs_last_number(void) {
        return last_number;
}

Exec *execs_at(size_t i) {
        return &execs[i];
}

void execs_add(Exec *e, const Exec *new) {
        *e = *new;
        last_number = MAX(last_number, e->number);
        n_execs++;
        if (e->report >= 0) {
                e->looked = now();
                n_beginning++;
        }
}

void execs_expect(void) {
        childless = false;
}

nfds_t execs_poll(struct pollfd *p) {
        nfds_t n = 0;

        for (size_t i = 0; i < INIT_EXECS_MAX && n < n_beginning; i++)
                if (execs[i].number != 0 && execs[i].report >= 0)
                        p[n++] = (struct pollfd){ .fd = execs[i].report, .events = POLLIN };
        return n;
}

int execs_patience(void) {
        return n_beginning > 0 ? BEGIN_LOOK_MS : -1;
}

void execs_reap(void) {
        reap(false);
        finish_ended();
}

void execs_warm_up(void) {
        memory_touch(execs, sizeof execs);
}
