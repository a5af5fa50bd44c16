/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/init.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "init/builtin.h"
#include "init/command.h"
#include "init/sweep.h"
#include "init/terminal.h"

/*
 * Process 1 of a sandbox, with the payload's id and no more rights than the payload, but out of its reach: its signals
 * are blocked, it cannot be traced, and what it knows of the payload comes from wait(2) alone. It never allocates, and
 * it waits for no process that it has not killed.
 */

#define SWEEP_PASSES_MAX 200
#define SWEEP_PAUSE_MS 5
#define KEEP_STRINGS (16 * 1024) /* bigger requests give their memory back */
#define PAGE 4096U
#define STACK_NEEDED 256U /* for a call, below the frame of what gives back the stack */
#define STACK_USED (32U * 1024U)
#define BEGIN_LOOK_MS 50         /* a command that takes longer to begin may have been stopped */
#define BEGIN_PATIENCE_USEC (10 * USEC_PER_SEC)

typedef struct Exec {
        uint32_t number; /* 0: free */
        pid_t pid;
        bool builtin;       /* has no children */
        bool wants_started; /* to be told */
        bool ended;
        int report;         /* owned; until it has begun, else -EBADF */
        int master;         /* owned; of its terminal, until it has begun */
        usec_t looked, waited; /* when it was last looked whether it has begun, and how long it has not */
        int status;
        uint64_t cpu_usec;
        uint64_t max_rss;
} Exec;

static Exec execs[INIT_EXECS_MAX];
static uint32_t last_number;
static unsigned n_execs, n_beginning;
static bool childless = true; /* the kernel said so, and nothing was started since */

static struct {
        InitRequest head;
        char strings[INIT_STRINGS_MAX];
} request;
static char *vector[INIT_ARGC_MAX + INIT_ENVC_MAX + 2];

static void tell_with(const InitEvent *e, int fd) {
        struct iovec iov = { .iov_base = (void *) e, .iov_len = sizeof *e };

        if (message_send(INIT_CONTROL_FD, &iov, 1, &fd, fd >= 0 ? 1 : 0) < 0)
                _exit(EXIT_FAILURE); /* nobody is left to work for */
}

static void tell(const InitEvent *e) {
        tell_with(e, -EBADF);
}

/* With the folder that says how full the sandbox is; without it that is not known. */
static void tell_with_data(const InitEvent *e) {
        _cleanup_fd_ int data = open(SANDBOX_HOME, INIT_DATA_FLAGS);

        tell_with(e, data);
}

static Exec *find(uint32_t number) {
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
        return number != 0 && find(number);
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

static void refuse(uint32_t exec, int error, InitStage stage) {
        InitEvent e = { .type = INIT_REFUSED, .exec = exec, .error = -error, .stage = stage };

        tell(&e);
}

static void forget(Exec *e) {
        if (e->report >= 0)
                n_beginning--;
        (void) fd_close(e->report);
        (void) fd_close(e->master);
        *e = (Exec){ 0 };
        n_execs--;
}

/* Learns whether the program is executed. Of a command that failed nothing is known any more after that. */
static void look_whether_begun(Exec *e) {
        InitStage stage;

        if (e->report < 0)
                return;
        int r = command_report(e->report, &stage);
        if (r < 0) {
                uint32_t number = e->number;
                forget(e);
                refuse(number, r, stage);
        } else if (r > 0) {
                InitEvent event = { .type = INIT_STARTED, .exec = e->number, .pid = e->pid };
                n_beginning--;
                e->report = fd_close(e->report);
                if (e->wants_started)
                        tell_with(&event, e->master);
                e->master = fd_close(e->master);
        }
}

/* The payload may stop what begins, again and again: then it does not begin. */
static void look_after_beginning(void) {
        usec_t now = clock_monotonic();

        for (size_t i = 0; i < INIT_EXECS_MAX && n_beginning > 0; i++) {
                Exec *e = &execs[i];
                if (e->number != 0)
                        look_whether_begun(e);
                if (e->number == 0 || e->report < 0)
                        continue;
                /* not while the whole sandbox was frozen */
                e->waited += MIN(now - e->looked, 4 * BEGIN_LOOK_MS * USEC_PER_MSEC);
                e->looked = now;
                if (e->waited > BEGIN_PATIENCE_USEC) {
                        uint32_t number = e->number;
                        (void) sweep_signal(number, SIGKILL);
                        forget(e);
                        refuse(number, -ETIMEDOUT, INIT_STAGE_STOPPED);
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
                        look_whether_begun(e);
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
                        tell(&event);
                        again = true; /* killing the rest may have reaped other commands */
                }
        } while (again && n_execs > 0);
}

/* Asks the kernel, which knows better than we do what is left of commands that ended: all processes of the namespace
 * descend from this one, so that there are none when it has no child. */
static bool is_alone(void) {
        return n_execs == 0 && (childless || (kill(-1, 0) < 0 && errno == ESRCH));
}

/* Starts what @c says, and sets what @e needs of it. Returns its pid or -errno. */
static pid_t start(Command *c, Exec *e, InitStage *ret_stage) {
        _cleanup_fd_ int slave = -EBADF;

        if (request.head.flags & INIT_FLAG_BUILTIN) {
                childless = false;
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
        bool alone = is_alone();
        childless = false;
        pid_t pid = command_start(c, alone, &e->report);
        if (pid < 0)
                e->master = fd_close(e->master);
        else
                e->looked = clock_monotonic();
        return pid;
}

static bool streams_fit(uint32_t flags, size_t n) {
        if (flags & INIT_FLAG_BUILTIN)
                return !(flags & INIT_FLAG_PTY) && (n == 3 || n == COMMAND_STREAMS_MAX);
        return n == (flags & INIT_FLAG_PTY ? 0 : 3);
}

static void run_command(size_t length, const int *streams, size_t n_streams) {
        Exec *e = find(0), new = { .number = request.head.exec, .report = -EBADF, .master = -EBADF };
        InitStage stage = INIT_STAGE_LIMIT;
        Command c = { .number = request.head.exec };

        if (!e || request.head.exec == 0 || find(request.head.exec)) {
                refuse(request.head.exec, -EAGAIN, stage);
                return;
        }
        int r = command_parse(&request.head, request.strings, length, vector, &c);
        if (r == 0 && !streams_fit(request.head.flags, n_streams))
                r = -EBADMSG;
        if (r < 0) {
                refuse(request.head.exec, r, INIT_STAGE_FORK);
                return;
        }
        memcpy(c.streams, streams, n_streams * sizeof *streams);
        c.n_streams = (unsigned) n_streams;
        new.pid = start(&c, &new, &stage);
        if (new.pid < 0) {
                refuse(request.head.exec, new.pid, stage);
                return;
        }
        new.builtin = request.head.flags & INIT_FLAG_BUILTIN;
        new.wants_started = request.head.flags & INIT_FLAG_STARTED;
        *e = new;
        last_number = MAX(last_number, e->number);
        n_execs++;
        if (e->report >= 0) {
                n_beginning++;
                look_whether_begun(e); /* when it was waited for */
        } else if (e->wants_started) {
                InitEvent event = { .type = INIT_STARTED, .exec = e->number, .pid = e->pid };
                tell(&event);
        }
}

static void send_signal(void) {
        Exec *e = request.head.exec != 0 ? find(request.head.exec) : NULL;
        int number = (int) request.head.signal;

        if (!e || number < 1 || number > SIGRTMAX)
                return;
        look_whether_begun(e);
        if (e->number == 0)
                return;
        if (e->builtin || e->report >= 0) /* what has not begun leads no group yet */
                (void) kill(e->pid, number);
        else if (request.head.scope == INIT_SCOPE_GROUP)
                (void) kill(-e->pid, number);
        else if (n_execs == 1)
                (void) kill(-1, number);
        else
                (void) sweep_signal(e->number, number);
        if (request.head.flags & INIT_FLAG_STARTED) {
                InitEvent event = { .type = INIT_SIGNALLED, .exec = e->number };
                tell(&event);
        }
}

/* A new worker is there: it tells which commands it knows, and learns which of them are still there. */
static void resume(size_t length) {
        size_t n = request.head.argc;

        if (n > INIT_RESUME_MAX || length != n * sizeof(uint32_t))
                return;
        for (size_t i = 0; i < INIT_EXECS_MAX; i++) {
                bool known = false;
                if (execs[i].number == 0)
                        continue;
                for (size_t k = 0; k < n && !known; k++) {
                        uint32_t number;
                        memcpy(&number, request.strings + k * sizeof number, sizeof number);
                        known = number == execs[i].number;
                }
                if (!known) /* its end is told as that of any other, and nobody waits for it */
                        (void) sweep_signal(execs[i].number, SIGKILL);
        }
        for (size_t k = 0; k < n; k++) {
                InitEvent gone = { .type = INIT_GONE };
                memcpy(&gone.exec, request.strings + k * sizeof gone.exec, sizeof gone.exec);
                if (gone.exec == 0 || !find(gone.exec))
                        tell(&gone);
        }
        InitEvent resumed = { .type = INIT_RESUMED, .exec = last_number };
        tell_with_data(&resumed);
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
                        _exit(EXIT_SUCCESS);
                else if (request.head.type == INIT_RESUME)
                        resume((size_t) n - sizeof request.head);
        }
        fds_close(fds, n_fds);
        if (n > KEEP_STRINGS)
                (void) madvise((void *) (((uintptr_t) request.strings + PAGE - 1) & ~(uintptr_t) (PAGE - 1)),
                        INIT_STRINGS_MAX - PAGE, MADV_DONTNEED);
}

static void give_back(uintptr_t from, uintptr_t to) {
        from = (from + PAGE - 1) & ~(uintptr_t) (PAGE - 1);
        to &= ~(uintptr_t) (PAGE - 1);
        if (from < to)
                (void) madvise((void *) from, to - from, MADV_DONTNEED); /* it is memory that is saved, no more */
}

/* What made the sandbox has written to pages of the stack that a sandbox which waits does not need: those below this
 * function's frame, and those above @frame, that of init_run(), to which nobody returns; where arguments begin
 * something is to be read. */
_noinline_ static void give_stack_back(const void *frame) {
        uintptr_t here = (uintptr_t) __builtin_frame_address(0);

        give_back(here - STACK_USED, here - STACK_NEEDED);
        give_back((uintptr_t) frame, (uintptr_t) environ);
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

/* What most commands look up in the image first. */
static const char *const usual[] = {
        "/bin/sh",
        "/usr/bin/env",
        "/etc/ld.so.preload",
        "/etc/ld.so.cache",
#if defined(__x86_64__)
        "/lib64/ld-linux-x86-64.so.2",
        "/lib64/libc.so.6",
        "/lib/x86_64-linux-gnu/libc.so.6",
#elif defined(__aarch64__)
        "/lib/ld-linux-aarch64.so.1",
        "/lib64/libc.so.6",
        "/lib/aarch64-linux-gnu/libc.so.6",
#endif
};

static void touch(void *from, size_t size) {
        volatile char *p = from;

        for (size_t at = 0; at < size; at += PAGE) {
                char same = p[at];
                p[at] = same;
        }
        char same = p[size - 1];
        p[size - 1] = same;
}

/* The first command in a sandbox is slower than the next: a blank, of which there are few, takes the memory that makes
 * it as fast. */
static void warm_up(void) {
        for (size_t i = 0; i < ELEMENTSOF(usual); i++)
                if (access(usual[i], F_OK) < 0)
                        continue; /* that it is not there is remembered too */
        touch(execs, sizeof execs);
        touch(vector, PAGE);
        touch(&request, 2 * PAGE);
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
        tell_with_data(&ready);
        if (flags & ZYGOTE_BLANK) {
                warm_up();
                wait_for_limits(flags);
        } else
                give_stack_back(__builtin_frame_address(0));
        for (;;) {
                struct pollfd p[2 + INIT_EXECS_MAX];
                nfds_t n = 2;

                p[0] = (struct pollfd){ .fd = INIT_CONTROL_FD, .events = POLLIN };
                p[1] = (struct pollfd){ .fd = INIT_CHILDREN_FD, .events = POLLIN };
                for (size_t i = 0; i < INIT_EXECS_MAX && n < 2 + n_beginning; i++)
                        if (execs[i].number != 0 && execs[i].report >= 0)
                                p[n++] = (struct pollfd){ .fd = execs[i].report, .events = POLLIN };
                if (poll(p, n, n_beginning > 0 ? BEGIN_LOOK_MS : -1) < 0)
                        continue;
                if (n_beginning > 0)
                        look_after_beginning();
                if (p[1].revents) {
                        reap(false);
                        finish_ended();
                }
                if (p[0].revents)
                        serve();
        }
}
