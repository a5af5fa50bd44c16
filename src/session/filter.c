/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/filter.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

static void read_reason(Filter *f) {
        ssize_t n = f->text >= 0 ? read(f->text, f->reason, sizeof f->reason - 1) : 0;

        f->reason[n > 0 ? n : 0] = '\0';
        f->text = fd_close(f->text);
}

bool filter_is_over(Filter *f) {
        siginfo_t info = { 0 };

        if (f->pidfd < 0)
                return true;
        if (waitid(P_PIDFD, (id_t) f->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
                return false;
        f->status = info.si_code == CLD_EXITED ? info.si_status : -1;
        read_reason(f);
        f->source = sd_event_source_disable_unref(f->source);
        f->pidfd = fd_close(f->pidfd);
        return true;
}

static int on_pidfd(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Filter *f = userdata;

        (void) source;
        (void) fd;
        (void) revents;
        if (filter_is_over(f))
                f->ended(f, f->userdata);
        return 0;
}

static int spawn(const char *const *argv, int in, int out, int text, pid_t *ret) {
        char *environment[] = { NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, defaults;

        (void) sigemptyset(&none);
        (void) sigemptyset(&defaults);
        (void) sigaddset(&defaults, SIGPIPE);
        if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0)
                return -ENOMEM;
        int r = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, text, STDERR_FILENO);
        if (r == 0)
                r = posix_spawnattr_setsigmask(&attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(&attributes, &defaults);
        if (r == 0)
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        if (r == 0)
                r = posix_spawn(ret, argv[0], &actions, &attributes, (char *const *) argv, environment);
        (void) posix_spawn_file_actions_destroy(&actions);
        (void) posix_spawnattr_destroy(&attributes);
        return -r;
}

int filter_start(
        Filter *f, sd_event *event, const char *const *argv, int in, int out, FilterEnded *ended, void *userdata) {
        int p[2];
        pid_t pid;

        if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        f->text = p[0];
        f->ended = ended;
        f->userdata = userdata;
        int r = spawn(argv, in, out, p[1], &pid);
        (void) fd_close(p[1]);
        if (r < 0)
                return r;
        f->pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        if (f->pidfd < 0) {
                r = -errno;
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r;
        }
        (void) fcntl(f->pidfd, F_SETFD, FD_CLOEXEC);
        return sd_event_add_io(event, &f->source, f->pidfd, EPOLLIN, on_pidfd, f);
}

void filter_kill(Filter *f) {
        if (f->pidfd >= 0)
                (void) syscall(SYS_pidfd_send_signal, f->pidfd, SIGKILL, NULL, 0);
}

void filter_clear(Filter *f) {
        siginfo_t info;

        f->source = sd_event_source_disable_unref(f->source);
        if (f->pidfd >= 0) {
                filter_kill(f);
                (void) waitid(
                        P_PIDFD, (id_t) f->pidfd, &info, WEXITED); /* at once: it holds nothing that could block */
        }
        f->pidfd = fd_close(f->pidfd);
        f->text = fd_close(f->text);
}
