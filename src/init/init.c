/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/init.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/builtin.h"
#include "init/command.h"
#include "init/event.h"
#include "init/execs.h"
#include "init/memory.h"
#include "init/stack.h"
#include "init/sweep.h"
#include "init/terminal.h"

/*
 * Process 1 of a sandbox, with the payload's id and no more rights than the payload, but out of its reach: its signals
 * are blocked, it cannot be traced, and what it knows of the payload comes from wait(2) alone. It never allocates, and
 * it waits for no process that it has not killed.
 */

#define KEEP_STRINGS (16 * 1024) /* bigger requests give their memory back */
#define PAGE 4096U
#define END_PATIENCE_MS 100 /* nobody may be there to have it killed */

static struct {
        InitRequest head;
        char strings[INIT_STRINGS_MAX];
} request;
static char *vector[INIT_ARGC_MAX + INIT_ENVC_MAX + 2];

/* Starts what @c says, and sets what @e needs of it. Returns its pid or -errno. */
static pid_t start(Command *c, Exec *e, InitStage *ret_stage) {
        _cleanup_fd_ int slave = -EBADF;

        if (request.head.flags & INIT_FLAG_BUILTIN) {
                execs_expect();
                return builtin_start(c, ret_stage);
        }
        if (request.head.flags & INIT_FLAG_PTY) {
                *ret_stage = INIT_STAGE_TERMINAL;
                int r = terminal_open(request.head.rows, request.head.columns, &e->master, &slave);
                if (r < 0)
                        return r;
                c->terminal = true;
                c->streams[0] = c->streams[1] = c->streams[2] = slave;
        }
        *ret_stage = INIT_STAGE_FORK;
        bool alone = execs_are_none();
        execs_expect();
        pid_t pid = command_start(c, alone, &e->report);
        if (pid < 0)
                e->master = fd_close(e->master);
        return pid;
}

static bool streams_fit(uint32_t flags, size_t n) {
        if (flags & INIT_FLAG_BUILTIN)
                return !(flags & INIT_FLAG_PTY) && (n == 3 || n == COMMAND_STREAMS_MAX);
        return n == (flags & INIT_FLAG_PTY ? 0 : 3);
}

static void run_command(size_t length, const int *streams, size_t n_streams) {
        Exec *e = execs_find(0), new = { .number = request.head.exec, .report = -EBADF, .master = -EBADF };
        InitStage stage = INIT_STAGE_LIMIT;
        Command c = { .number = request.head.exec };

        if (!e || request.head.exec == 0 || execs_find(request.head.exec)) {
                event_refuse(request.head.exec, -EAGAIN, stage);
                return;
        }
        int r = command_parse(&request.head, request.strings, length, vector, &c);
        if (r == 0 && !streams_fit(request.head.flags, n_streams))
                r = -EBADMSG;
        if (r < 0) {
                event_refuse(request.head.exec, r, INIT_STAGE_FORK);
                return;
        }
        memcpy(c.streams, streams, n_streams * sizeof *streams);
        c.n_streams = (unsigned) n_streams;
        new.pid = start(&c, &new, &stage);
        if (new.pid < 0) {
                event_refuse(request.head.exec, new.pid, stage);
                return;
        }
        new.builtin = request.head.flags & INIT_FLAG_BUILTIN;
        new.wants_started = request.head.flags & INIT_FLAG_STARTED;
        execs_add(e, &new);
        if (e->report >= 0)
                execs_look(e); /* when it was waited for */
        else if (e->wants_started) {
                InitEvent event = { .type = INIT_STARTED, .exec = e->number, .pid = e->pid };
                event_tell(&event);
        }
}

static void send_signal(void) {
        Exec *e = request.head.exec != 0 ? execs_find(request.head.exec) : NULL;
        int number = (int) request.head.signal;

        if (!e || number < 1 || number > SIGRTMAX)
                return;
        execs_look(e);
        if (e->number == 0)
                return;
        if (e->builtin || e->report >= 0) /* what has not begun leads no group yet */
                (void) kill(e->pid, number);
        else if (request.head.scope == INIT_SCOPE_GROUP)
                (void) kill(-e->pid, number);
        else if (execs_count() == 1)
                (void) kill(-1, number);
        else
                (void) sweep_signal(e->number, number);
        if (request.head.flags & INIT_FLAG_STARTED) {
                InitEvent event = { .type = INIT_SIGNALLED, .exec = e->number };
                event_tell(&event);
        }
}

/* A new worker is there: it tells which commands it knows, and learns which of them are still there. */
static void resume(size_t length) {
        size_t n = request.head.argc;

        if (n > INIT_RESUME_MAX || length != n * sizeof(uint32_t))
                return;
        for (size_t i = 0; i < INIT_EXECS_MAX; i++) {
                const Exec *e = execs_at(i);
                bool known = false;
                if (e->number == 0)
                        continue;
                for (size_t k = 0; k < n && !known; k++) {
                        uint32_t number;
                        memcpy(&number, request.strings + k * sizeof number, sizeof number);
                        known = number == e->number;
                }
                if (!known) /* its end is told as that of any other, and nobody waits for it */
                        (void) sweep_signal(e->number, SIGKILL);
        }
        for (size_t k = 0; k < n; k++) {
                InitEvent gone = { .type = INIT_GONE };
                memcpy(&gone.exec, request.strings + k * sizeof gone.exec, sizeof gone.exec);
                if (gone.exec == 0 || !execs_find(gone.exec))
                        event_tell(&gone);
        }
        InitEvent resumed = { .type = INIT_RESUMED, .exec = execs_last_number() };
        event_tell_with_data(&resumed);
}

/* Tells when nothing is left but this process: the worker need not wait until the kernel has put it away. That takes a
 * processor as long as all that the worker has to do for its answer, so it begins only when somebody kills us. */
_noreturn_ static void end(void) {
        struct pollfd p = { .fd = INIT_CONTROL_FD };
        InitEvent ending = { .type = INIT_ENDING };

        if (execs_end_all()) {
                event_tell(&ending);
                (void) poll(&p, 1, END_PATIENCE_MS);
        }
        _exit(EXIT_SUCCESS); /* process 1 takes with it whatever there is */
}

static void serve(void) {
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 0;

        ssize_t n = message_recv(INIT_CONTROL_FD, &request, sizeof request, fds, &n_fds, 0);
        if (n <= 0)
                _exit(EXIT_SUCCESS); /* process 1 takes all others with it */
        if ((size_t) n >= sizeof request.head) {
                if (request.head.type == INIT_EXEC)
                        run_command((size_t) n - sizeof request.head, fds, n_fds);
                else if (request.head.type == INIT_SIGNAL)
                        send_signal();
                else if (request.head.type == INIT_END)
                        end();
                else if (request.head.type == INIT_RESUME)
                        resume((size_t) n - sizeof request.head);
        }
        fds_close(fds, n_fds);
        if (n > KEEP_STRINGS)
                memory_give_back(request.strings, INIT_STRINGS_MAX);
}

static int watch_children(const sigset_t *signals) {
        int fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);

        if (fd < 0)
                return -errno;
        if (fd == INIT_CHILDREN_FD)
                return 0;
        if (dup3(fd, INIT_CHILDREN_FD, O_CLOEXEC) < 0)
                return -errno;
        (void) close(fd);
        return 0;
}

/* The first command in a sandbox is slower than the next: a blank, of which there are few, takes the memory that makes
 * it as fast. */
static void warm_up(void) {
        memory_look_up_usual();
        execs_warm_up();
        memory_touch(vector, PAGE);
        memory_touch(&request, 2 * PAGE);
}

/* A blank is as confined as any sandbox, but for what is known only when somebody asks for one: it takes no other
 * request before that, and ends with one that is anything else. */
static void wait_for_limits(uint32_t flags) {
        Limits limits;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 0;

        ssize_t n = message_recv(INIT_CONTROL_FD, &request, sizeof request.head + sizeof limits, fds, &n_fds, 0);
        if (n <= 0)
                _exit(EXIT_SUCCESS); /* nobody asked */
        if (n != sizeof request.head + sizeof limits || n_fds > 0 || request.head.type != INIT_LIMIT)
                _exit(EXIT_FAILURE);
        memcpy(&limits, request.strings, sizeof limits);
        if (birth_limit(&limits, flags) < 0)
                _exit(EXIT_FAILURE);
}

_noreturn_ static void loop(void) {
        for (;;) {
                struct pollfd p[2 + INIT_EXECS_MAX];

                p[0] = (struct pollfd){ .fd = INIT_CONTROL_FD, .events = POLLIN };
                p[1] = (struct pollfd){ .fd = INIT_CHILDREN_FD, .events = POLLIN };
                if (poll(p, 2 + execs_poll(p + 2), execs_patience()) < 0)
                        continue;
                execs_look_after();
                if (p[1].revents)
                        execs_reap();
                if (p[0].revents)
                        serve();
        }
}

_noreturn_ static void loop_with_little(void) {
        stack_give_back();
        loop();
}

void init_run(uint32_t flags) {
        InitEvent ready = { .type = INIT_READY };
        sigset_t all;

        (void) signal(SIGCHLD, SIG_DFL); /* the zygote ignored it, which would reap for us and lose the status */
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);
        (void) sigemptyset(&all);
        (void) sigaddset(&all, SIGCHLD);
        if (watch_children(&all) < 0)
                _exit(EXIT_FAILURE);
        event_tell_with_data(&ready);
        if (flags & ZYGOTE_BLANK) {
                warm_up();
                wait_for_limits(flags);
                loop();
        }
        _exit(stack_begin_again(loop_with_little) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
