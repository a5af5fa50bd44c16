/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/command.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/sweep.h"

/* Written when it fails; the end of the pipe closes by itself when the program is executed. */
typedef struct Report {
        int error; /* -errno */
        InitStage stage;
} Report;

int command_parse(const InitRequest *request, char *strings, size_t length, char **vector, Command *ret) {
        size_t wanted = 1 + (size_t) request->argc + request->envc, found = 0;
        char *p = strings, *end = strings + length;

        if (request->argc == 0 || request->argc > INIT_ARGC_MAX || request->envc > INIT_ENVC_MAX)
                return -EBADMSG;
        if (length == 0 || length > INIT_STRINGS_MAX || length != request->length || end[-1] != '\0')
                return -EBADMSG;

        ret->cwd = p;
        ret->argv = vector;
        ret->envp = vector + request->argc + 1;
        for (p += strlen(p) + 1; p < end && found + 1 < wanted; p += strlen(p) + 1, found++) {
                if (found < request->argc)
                        ret->argv[found] = p;
                else
                        ret->envp[found - request->argc] = p;
        }
        if (p != end || found + 1 != wanted)
                return -EBADMSG;
        ret->argv[request->argc] = NULL;
        ret->envp[request->envc] = NULL;
        return 0;
}

static const char *search_path(char **envp) {
        for (; *envp; envp++)
                if (strncmp(*envp, "PATH=", 5) == 0)
                        return *envp + 5;
        return "/usr/local/bin:/usr/bin:/bin";
}

/* execve(2) with a search along PATH for names without a slash. Returns -errno. */
static int execute(const Command *c) {
        char path[PATH_MAX];
        int result = -ENOENT;

        if (strchr(c->argv[0], '/')) {
                (void) execve(c->argv[0], c->argv, c->envp);
                return -errno;
        }

        size_t name = strlen(c->argv[0]);
        for (const char *p = search_path(c->envp); name > 0; p++) {
                size_t n = strcspn(p, ":");
                if (n > 0 && n + 1 + name < sizeof path) {
                        memcpy(path, p, n);
                        path[n] = '/';
                        memcpy(path + n + 1, c->argv[0], name + 1);
                        (void) execve(path, c->argv, c->envp);
                        if (errno == EACCES)
                                result = -EACCES;
                        else if (errno != ENOENT && errno != ENOTDIR)
                                return -errno;
                }
                p += n;
                if (*p == '\0')
                        break;
        }
        return result;
}

/* After vfork() it runs in memory shared with process 1: it calls the kernel and little else. Returns -errno with the
 * step that failed. */
static int child(const Command *c, InitStage *ret_stage) {
        sigset_t none;

        *ret_stage = INIT_STAGE_FORK;
        if (setsid() < 0)
                return -errno;
        /* as process 1 does, so that what it starts is marked even when process 1 does not come to it before */
        int r = sweep_mark(0, c->number);
        if (r < 0)
                return r;
        if (c->terminal && ioctl(c->streams[0], TIOCSCTTY, 0) < 0)
                return -errno;
        for (int i = 0; i < 3; i++)
                if (dup2(c->streams[i], i) < 0)
                        return -errno;
        if (syscall(SYS_close_range, 3, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) < 0)
                return -errno;
        *ret_stage = INIT_STAGE_CWD;
        if (chdir(c->cwd) < 0)
                return -errno;
        *ret_stage = INIT_STAGE_EXECVE;
        (void) signal(SIGPIPE, SIG_DFL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        return execute(c);
}

_noreturn_ static void run(const Command *c, int out) {
        Report report = { 0 };

        report.error = child(c, &report.stage);
        _exit(write(out, &report, sizeof report) == sizeof report ? 127 : 126);
}

pid_t command_start(const Command *c, bool alone, int *ret_report) {
        int p[2];

        if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        pid_t pid = alone ? vfork() : fork();
        if (pid == 0)
                run(c, p[1]);
        int error = errno;
        (void) close(p[1]);
        if (pid < 0) {
                (void) close(p[0]);
                return -error;
        }
        (void) sweep_mark(pid, c->number);
        *ret_report = p[0];
        return pid;
}

int command_report(int report, InitStage *ret_stage) {
        Report r;

        ssize_t n = read(report, &r, sizeof r);
        if (n < 0)
                return errno == EAGAIN ? 0 : 1;
        if (n < (ssize_t) sizeof r)
                return 1;
        *ret_stage = r.stage;
        return r.error;
}
