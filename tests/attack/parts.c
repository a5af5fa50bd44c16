/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"

#define DELETE_USEC (5 * USEC_PER_SEC)

void judge(Verdict *v, int state, const char *format, ...) {
        va_list ap;

        if ((int) v->state > state || (v->state == BROKEN && v->detail[0]))
                return;
        va_start(ap, format);
        (void) vsnprintf(v->detail, sizeof v->detail, format, ap);
        va_end(ap);
        v->state = (unsigned) state;
}

void judge_result(Verdict *v, const Case *c, int r, const Result *result) {
        if (r < 0)
                judge(v, BROKEN, "the worker does not answer: %s", strerror(-r));
        else if (strcmp(result->verdict, "held") == 0 && result->exit_code == 0)
                judge(v, HELD, "%s", result->detail);
        else if (strcmp(result->verdict, "skipped") == 0 && result->exit_code == 77)
                judge(v, SKIPPED, "%s", result->detail);
        else if (strcmp(result->verdict, "BROKEN") == 0)
                judge(v, BROKEN, "%s", result->detail);
        else if ((c->flags & MAY_END) && result->reason[0] && strcmp(result->reason, "exited") != 0)
                judge(v, HELD, "ended: %s", result->reason);
        else if ((c->flags & MAY_END) && (result->status == 410 || result->status == 409))
                judge(v, HELD, "the sandbox ended");
        else
                judge(v, BROKEN, "no verdict (%s, exit code %d): %s", result->reason, result->exit_code,
                        result->detail);
}

/* --- sessions with the program in them --- */

int start_session(Runner *x, const Case *c, Verdict *v, char *ret_id) {
        const char *argv[] = { "/bin/sh", "-c", "cat > \"$0\" && chmod 755 \"$0\"", x->inside, NULL };
        bool small = c->kind == ATTACK_FLOOD || (c->flags & NEEDS_LIMITS);
        Result result;

        int r = session_new(&x->server, small, ret_id);
        if (r < 0) {
                judge(v, BROKEN, "no session: %s", r == -EPROTO ? "refused" : client_error(x->server.client));
                return r;
        }
        Run upload = { .session = ret_id, .argv = argv, .input = x->image, .timeout = TIMEOUT_SEC };
        r = run_command(&x->server, &upload, &result);
        if (r == 0 && result.exit_code != 0)
                r = -EIO;
        if (r < 0)
                judge(v, BROKEN, "the program cannot be put into the sandbox: %s", result.detail);
        return r;
}

void end_session(Runner *x, const Case *c, Verdict *v, char *id) {
        usec_t start = clock_monotonic();

        if (!id[0])
                return;
        int r = session_end(&x->server, id);
        id[0] = '\0';
        if (r < 0 && !(r == -ENOENT && (c->flags & MAY_END)))
                judge(v, BROKEN, "the session cannot be ended: %s", strerror(-r));
        else if (clock_monotonic() - start > DELETE_USEC)
                judge(v, BROKEN, "the session took %llu ms to end",
                        (unsigned long long) ((clock_monotonic() - start) / USEC_PER_MSEC));
}

int run_part(Runner *x, const Case *c, const char *id, char part, Result *ret) {
        const char *argv[] = { x->inside, c->name, (char[]){ part, '\0' }, NULL };
        Run run = { .session = id, .argv = argv, .timeout = TIMEOUT_SEC };

        if (part == 'b' && (c->flags & SHORT))
                run.timeout = 2;
        else if (c->flags & LASTS)
                run.timeout = LASTING_TIMEOUT_SEC;
        return run_command(&x->server, &run, ret);
}

void part(Runner *x, const Case *c, Verdict *v, const char *id, char which) {
        Result result = { 0 };

        int r = run_part(x, c, id, which, &result);
        judge_result(v, c, r, &result);
        if (which == 'b' && (c->flags & SHORT) && result.took > 6 * USEC_PER_SEC)
                judge(v, BROKEN, "the answer took %llu ms", (unsigned long long) (result.took / USEC_PER_MSEC));
}

void check_usable(Runner *x, const Case *c, Verdict *v, const char *id) {
        const char *argv[] = { "/bin/sh", "-c", "echo \"held: $(id -u)\"", NULL };
        Run run = { .session = id, .argv = argv, .cwd = "/", .timeout = 20 };
        Result result;

        if (c->flags & MAY_END)
                return;
        int r = run_command(&x->server, &run, &result);
        if (r < 0 || strcmp(result.detail, "1000") != 0)
                judge(v, BROKEN, "the sandbox does not work any more: %s", r < 0 ? strerror(-r) : result.detail);
}

/* --- a part that runs while others do --- */

int background_start(Runner *x, const Case *c, const char *id, char which, Background *ret) {
        int p[2];

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        (void) fflush(stdout);
        ret->pid = fork();
        if (ret->pid < 0) {
                (void) close(p[0]);
                (void) close(p[1]);
                return -EAGAIN;
        }
        if (ret->pid == 0) {
                struct {
                        int r;
                        Result result;
                } message = { 0 };
                Runner own = *x; /* with a connection of its own */
                message.r = server_connect(&own.server);
                if (message.r >= 0)
                        message.r = run_part(&own, c, id, which, &message.result);
                _exit(write(p[1], &message, sizeof message) == sizeof message ? 0 : 1);
        }
        (void) close(p[1]);
        ret->pipe = p[0];
        return 0;
}

bool background_runs(const Background *b) {
        siginfo_t info = { 0 };

        return waitid(P_PID, (id_t) b->pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == 0;
}

void background_end(const Case *c, Verdict *v, Background *b) {
        struct {
                int r;
                Result result;
        } message = { .r = -EIO };

        if (read(b->pipe, &message, sizeof message) != sizeof message)
                message.r = -EIO;
        (void) close(b->pipe);
        (void) waitpid(b->pid, NULL, 0);
        judge_result(v, c, message.r, &message.result);
}

bool until_done(Runner *x, const char *id, const char *line, usec_t patience, const Background *b) {
        const char *argv[] = { "/bin/sh", "-c", line, NULL };
        Run run = { .session = id, .argv = argv, .cwd = "/", .timeout = 10 };
        Result result;

        for (usec_t end = clock_monotonic() + patience; clock_monotonic() < end && background_runs(b); usleep(20000))
                if (run_command(&x->server, &run, &result) == 0 && result.exit_code == 0 &&
                        strcmp(result.reason, "exited") == 0)
                        return true;
        return false;
}
