/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t count, first, resized, stopped;
static int pipe_fds[2] = { -EBADF, -EBADF };

static void on_signal(int sig) {
        int saved = errno;

        if (!first)
                first = sig;
        count = count + 1;
        (void) !write(pipe_fds[1], "", 1); /* a full pipe is readable already */
        errno = saved;
}

static void on_terminal_signal(int sig) {
        int saved = errno;

        if (sig == SIGTSTP)
                stopped = 1;
        else
                resized = 1;
        (void) !write(pipe_fds[1], "", 1); /* as above */
        errno = saved;
}

void interrupt_catch_terminal(void) {
        static const int signals[] = { SIGWINCH, SIGCONT, SIGTSTP };
        struct sigaction action = { .sa_handler = on_terminal_signal };

        (void) sigemptyset(&action.sa_mask);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaction(signals[i], &action, NULL);
}

bool interrupt_resized(void) {
        bool was = resized;

        resized = 0;
        return was;
}

bool interrupt_stopped(void) {
        bool was = stopped;

        stopped = 0;
        return was;
}

int interrupt_catch(void) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        struct sigaction action = { .sa_handler = on_signal }, old;

        if (pipe_fds[0] >= 0)
                return 0;
        if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        (void) sigemptyset(&action.sa_mask);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                /* what the caller had ignored (nohup) stays ignored */
                if (sigaction(signals[i], NULL, &old) < 0 || old.sa_handler == SIG_IGN)
                        continue;
                (void) sigaction(signals[i], &action, NULL);
        }
        return 0;
}

unsigned interrupt_count(void) {
        return (unsigned) count;
}

int interrupt_signal(void) {
        return first;
}

int interrupt_fd(void) {
        return pipe_fds[0];
}

void interrupt_drain(void) {
        char buf[64];

        while (read(pipe_fds[0], buf, sizeof buf) > 0)
                ;
}

void interrupt_die(void) {
        if (!first)
                return;
        (void) signal(first, SIG_DFL);
        (void) raise(first);
}
