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

static int on_late_end(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        siginfo_t info;

        (void) revents;
        (void) userdata;
        (void) waitid(P_PIDFD, (id_t) fd, &info, WEXITED | WNOHANG);
        (void) sd_event_source_set_floating(source, false); /* nobody else has it: it goes, and closes @fd */
        return 0;
}

/* What was killed while it writes to a disk ends when that is done, and until then this process has better things to
 * do than wait for it. Takes the descriptor. */
static int reap_later(Filter *f, sd_event *event) {
        sd_event_source *source = NULL;

        int r = sd_event_add_io(event, &source, f->pidfd, EPOLLIN, on_late_end, NULL);
        if (r >= 0)
                r = sd_event_source_set_io_fd_own(source, true);
        if (r >= 0) {
                f->pidfd = -EBADF;
                r = sd_event_source_set_floating(source, true);
        }
        (void) sd_event_source_unref(source);
        return r;
}

void filter_clear(Filter *f) {
        sd_event *event = f->source ? sd_event_source_get_event(f->source) : NULL; /* outlives all sources */
        siginfo_t info;

        filter_kill(f);
        if (!filter_is_over(f)) {
                f->source = sd_event_source_disable_unref(f->source);
                if (!event || reap_later(f, event) < 0)
                        (void) waitid(P_PIDFD, (id_t) f->pidfd, &info, WEXITED);
        }
        f->pidfd = fd_close(f->pidfd);
        f->text = fd_close(f->text);
}
