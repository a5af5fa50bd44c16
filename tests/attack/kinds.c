/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"

#define TIMEOUT_SEC 90
#define SAMPLES 100
#define VICTIM_FACTOR 3
#define VICTIM_SLACK_USEC (50 * USEC_PER_MSEC)
#define DELETE_USEC (5 * USEC_PER_SEC)
#define REPEATS 200
#define FLOODS 3
#define DIFFERENT 6
#define HEIRS_MAX 24
#define SWAP_CALLS 100000U
#define SWAP_USEC (15 * USEC_PER_SEC)
#define SWAP_THOROUGH_USEC (80 * USEC_PER_SEC)

void judge(Verdict *v, int state, const char *format, ...) {
        va_list ap;

        if ((int) v->state > state || (v->state == BROKEN && v->detail[0]))
                return;
        va_start(ap, format);
        (void) vsnprintf(v->detail, sizeof v->detail, format, ap);
        va_end(ap);
        v->state = (unsigned) state;
}

/* Takes over what a command said. @c: MAY_END makes an ended sandbox an answer too. */
static void judge_result(Verdict *v, const Case *c, int r, const Result *result) {
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

static int start_session(Runner *x, const Case *c, Verdict *v, char *ret_id) {
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

static void end_session(Runner *x, const Case *c, Verdict *v, char *id) {
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

static int run_part(Runner *x, const Case *c, const char *id, char part, Result *ret) {
        const char *argv[] = { x->inside, c->name, (char[]){ part, '\0' }, NULL };
        bool hurry = part == 'b' && (c->flags & SHORT);
        Run run = { .session = id, .argv = argv, .timeout = hurry ? 2 : TIMEOUT_SEC };

        return run_command(&x->server, &run, ret);
}

static void part(Runner *x, const Case *c, Verdict *v, const char *id, char which) {
        Result result = { 0 };

        int r = run_part(x, c, id, which, &result);
        judge_result(v, c, r, &result);
        if (which == 'b' && (c->flags & SHORT) && result.took > 6 * USEC_PER_SEC)
                judge(v, BROKEN, "the answer took %llu ms", (unsigned long long) (result.took / USEC_PER_MSEC));
}

/* After an attack on it the sandbox still has to do what it is for. */
static void check_usable(Runner *x, const Case *c, Verdict *v, const char *id) {
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

typedef struct Background {
        pid_t pid;
        int pipe; /* its result comes here */
} Background;

static int background_start(Runner *x, const Case *c, const char *id, char which, Background *ret) {
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

static bool background_runs(const Background *b) {
        siginfo_t info = { 0 };

        return waitid(P_PID, (id_t) b->pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == 0;
}

static void background_end(const Case *c, Verdict *v, Background *b) {
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

/* Runs a shell line until it succeeds. */
static bool until_done(Runner *x, const char *id, const char *line, usec_t patience, const Background *b) {
        const char *argv[] = { "/bin/sh", "-c", line, NULL };
        Run run = { .session = id, .argv = argv, .cwd = "/", .timeout = 10 };
        Result result;

        for (usec_t end = clock_monotonic() + patience; clock_monotonic() < end && background_runs(b); usleep(20000))
                if (run_command(&x->server, &run, &result) == 0 && result.exit_code == 0 &&
                        strcmp(result.reason, "exited") == 0)
                        return true;
        return false;
}

/* --- the kinds --- */

static void run_single(Runner *x, const Case *c, Verdict *v) {
        char id[SESSION_ID_MAX + 1];

        if (start_session(x, c, v, id) == 0) {
                part(x, c, v, id, 'a');
                check_usable(x, c, v, id);
        }
        end_session(x, c, v, id);
}

static int by_number(const void *a, const void *b) {
        usec_t left = *(const usec_t *) a, right = *(const usec_t *) b;

        return left < right ? -1 : left > right;
}

/* How long short commands take in another sandbox: the 99th of 100. */
static usec_t sample(Runner *x, const char *id, const Background *during, Verdict *v) {
        const char *argv[] = { "/bin/true", NULL };
        Run run = { .session = id, .argv = argv, .timeout = 20 };
        usec_t took[SAMPLES];
        size_t n = 0;

        for (; n < SAMPLES && (!during || background_runs(during)); n++) {
                Result result;
                int r = run_command(&x->server, &run, &result);
                if (r < 0 || result.exit_code != 0)
                        judge(v, BROKEN, "the neighbour's command fails: %s", r < 0 ? strerror(-r) : result.detail);
                took[n] = result.took;
        }
        if (n == 0)
                return 0;
        qsort(took, n, sizeof took[0], by_number);
        return took[n - 1 - n / 100];
}

/* Returns whether the neighbour was left in peace; only where CPU is limited can it be. */
static bool flood_once(Runner *x, const Case *c, Verdict *v, usec_t *ret_quiet, usec_t *ret_loud) {
        char id[SESSION_ID_MAX + 1] = "", victim[SESSION_ID_MAX + 1] = "";
        Background flood;

        *ret_quiet = *ret_loud = 0;
        if (start_session(x, c, v, id) == 0 && start_session(x, c, v, victim) == 0) {
                *ret_quiet = sample(x, victim, NULL, v);
                if (background_start(x, c, id, 'a', &flood) == 0) {
                        *ret_loud = sample(x, victim, &flood, v);
                        background_end(c, v, &flood);
                }
                check_usable(x, c, v, id);
        }
        end_session(x, c, v, id);
        end_session(x, c, v, victim);
        return !x->before.limits || *ret_loud <= MAX(*ret_quiet * VICTIM_FACTOR, *ret_quiet + VICTIM_SLACK_USEC);
}

/* Others may load the machine too: it has to be left in peace once in three times. */
static void run_flood(Runner *x, const Case *c, Verdict *v) {
        usec_t quiet = 0, loud = 0;

        for (int i = 0; i < FLOODS && v->state != BROKEN; i++)
                if (flood_once(x, c, v, &quiet, &loud))
                        return;
        judge(v, BROKEN, "a neighbour's commands take %llu us, %llu before", (unsigned long long) loud,
                (unsigned long long) quiet);
}

static void run_pair(Runner *x, const Case *c, Verdict *v) {
        char a[SESSION_ID_MAX + 1] = "", b[SESSION_ID_MAX + 1] = "";
        Background first;

        if (start_session(x, c, v, a) == 0 && (c->kind == ATTACK_TOGETHER || start_session(x, c, v, b) == 0) &&
                background_start(x, c, a, 'a', &first) == 0) {
                if (until_done(x, a, "test -e /tmp/attack-ready", 20 * USEC_PER_SEC, &first))
                        for (unsigned i = 0; i < ((c->flags & REPEAT) ? REPEATS : 1); i++)
                                part(x, c, v, c->kind == ATTACK_TOGETHER ? a : b, 'b');
                else if (background_runs(&first))
                        judge(v, BROKEN, "the first part is not ready in time");
                (void) until_done(x, a, ": > /tmp/attack-stop", 20 * USEC_PER_SEC, &first);
                background_end(c, v, &first);
                check_usable(x, c, v, a);
        }
        end_session(x, c, v, a);
        end_session(x, c, v, b);
}

/* Places are used again, but behind a pool: all its members are looked at. */
static void run_heir(Runner *x, const Case *c, Verdict *v) {
        char first[SESSION_ID_MAX + 1], heirs[HEIRS_MAX][SESSION_ID_MAX + 1] = { 0 };
        size_t n = MIN(x->before.pool_size + 3, (uint64_t) HEIRS_MAX);

        if (start_session(x, c, v, first) == 0)
                part(x, c, v, first, 'a');
        end_session(x, c, v, first);
        usleep(50000);
        for (size_t i = 0; i < n && v->state == HELD; i++) {
                if (start_session(x, c, v, heirs[i]) == 0)
                        part(x, c, v, heirs[i], 'b');
                if (c->flags & NEEDS_LIMITS) /* one at a time has the place of the one before */
                        end_session(x, c, v, heirs[i]);
        }
        for (size_t i = 0; i < n; i++)
                end_session(x, c, v, heirs[i]);
}

static void run_differ(Runner *x, const Case *c, Verdict *v) {
        char id[SESSION_ID_MAX + 1], said[DIFFERENT][512];

        for (size_t i = 0; i < DIFFERENT; i++) {
                Result result = { 0 };
                if (start_session(x, c, v, id) == 0) {
                        int r = run_part(x, c, id, 'a', &result);
                        judge_result(v, c, r, &result);
                }
                end_session(x, c, v, id);
                (void) snprintf(said[i], sizeof said[i], "%s", result.detail);
                for (size_t j = 0; j < i; j++) {
                        char words[512], *rest = words, *word;
                        (void) snprintf(words, sizeof words, "%.511s", said[i]);
                        while ((word = strsep(&rest, " ")))
                                if (*word && strstr(said[j], word))
                                        judge(v, BROKEN, "two sandboxes have the same %s", word);
                }
        }
        if (v->state == HELD)
                judge(v, HELD, "%d sandboxes differ in all of it", DIFFERENT);
}

typedef struct Bytes {
        char text[256];
        size_t used;
} Bytes;

static int take_bytes(const char *data, size_t size, void *userdata) {
        Bytes *b = userdata;
        size_t n = MIN(size, sizeof b->text - 1 - b->used);

        memcpy(b->text + b->used, data, n);
        b->used += n;
        b->text[b->used] = '\0';
        return 0;
}

static ssize_t give_bytes(char *buf, size_t size, void *userdata) {
        static const char written[] = "written";
        Bytes *b = userdata;
        size_t n = MIN(size, sizeof written - 1 - b->used);

        memcpy(buf, written + b->used, n);
        b->used += n;
        return (ssize_t) n;
}

/* Reads and writes what the payload swaps, and tells how often. @secret: a file of this machine, for everybody to read
 * and write. */
static void use_swapped(
        Runner *x, Verdict *v, const char *id, const char *secret, const char *word, char ret_text[static 96]) {
        static const char *const names[] = { "x", "d/secret" };
        unsigned n = 0, n_read = 0, n_written = 0;

        for (usec_t end = clock_monotonic() + (x->thorough ? SWAP_THOROUGH_USEC : SWAP_USEC);
                n < SWAP_CALLS && clock_monotonic() < end; n++) {
                char path[256];
                Bytes bytes = { 0 };
                bool write = n & 1;
                Call call = { .method = write ? "PUT" : "GET",
                        .path = path,
                        .timeout = 20 * USEC_PER_SEC,
                        .take = write ? NULL : take_bytes,
                        .give = write ? give_bytes : NULL,
                        .length = 7,
                        .userdata = &bytes };
                _cleanup_answer_ Answer answer = { 0 };
                (void) snprintf(path, sizeof path, "/v1/sessions/%s/files?path=swap/%s", id, names[(n >> 1) & 1]);
                if (client_call(x->server.client, &call, &answer) < 0 && answer.status == 0)
                        judge(v, BROKEN, "no answer: %s", client_error(x->server.client));
                if (!write && strstr(bytes.text, word))
                        judge(v, BROKEN, "a file of the host was read");
                n_read += !write && strcmp(bytes.text, "mine") == 0;
                n_written += write && answer.status >= 200 && answer.status < 300;
        }
        char text[64] = "";
        int fd = open(secret, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
        if (fd >= 0)
                (void) close(fd);
        if (length < 0 || strcmp(text, word) != 0)
                judge(v, BROKEN, "a file of the host was written");
        if (n_read == 0 || n_written == 0)
                judge(v, BROKEN, "of %u reads and writes none worked", n);
        (void) snprintf(ret_text, 96, "%u reads and writes, %u and %u in time, none of the host", n, n_read, n_written);
}

static void run_swap(Runner *x, const Case *c, Verdict *v) {
        char id[SESSION_ID_MAX + 1], folder[] = "/var/tmp/attack-XXXXXX", secret[sizeof folder + 8], word[32];
        const char *tell[] = { "/bin/sh", "-c", "printf %s \"$0\" >/tmp/attack-target", secret, NULL };
        char text[96] = "";
        Background swapper;
        Result result;

        if (!mkdtemp(folder) || chmod(folder, 0777) < 0) {
                judge(v, SKIPPED, "no folder here");
                return;
        }
        (void) snprintf(secret, sizeof secret, "%s/secret", folder);
        (void) snprintf(word, sizeof word, "host-%016llx", (unsigned long long) clock_realtime());
        int fd = open(secret, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
        if (fd < 0 || write(fd, word, strlen(word)) < 0 || fchmod(fd, 0666) < 0)
                judge(v, SKIPPED, "no file here");
        if (fd >= 0)
                (void) close(fd);
        if (start_session(x, c, v, id) == 0 &&
                run_command(&x->server, &(Run){ .session = id, .argv = tell, .timeout = 20 }, &result) == 0 &&
                background_start(x, c, id, 'a', &swapper) == 0) {
                if (until_done(x, id, "test -e /tmp/attack-ready", 20 * USEC_PER_SEC, &swapper))
                        use_swapped(x, v, id, secret, word, text);
                (void) until_done(x, id, ": > /tmp/attack-stop", 20 * USEC_PER_SEC, &swapper);
                background_end(c, v, &swapper);
                check_usable(x, c, v, id);
                judge(v, HELD, "%s", text);
        }
        end_session(x, c, v, id);
        (void) unlink(secret);
        (void) rmdir(folder);
}

/* Cases that only the outside can judge. */
static void run_outside(Runner *x, const Case *c, Verdict *v) {
        char id[SESSION_ID_MAX + 1];
        const char *argv[] = { x->inside, c->name, "a", NULL };
        Run run = { .session = id, .argv = argv, .timeout = TIMEOUT_SEC };
        Result result = { 0 };

        if (strcmp(c->name, "file_swap") == 0) {
                run_swap(x, c, v);
                return;
        }
        if (start_session(x, c, v, id) == 0) {
                if (strcmp(c->name, "self_stop") == 0)
                        run.timeout = 1;
                else if (strcmp(c->name, "output_flood") == 0)
                        run.max_output = 65536;
                int r = run_command(&x->server, &run, &result);
                if (strcmp(c->name, "self_stop") == 0) {
                        if (r < 0 || strcmp(result.reason, "timeout") != 0 || result.took > 5 * USEC_PER_SEC)
                                judge(v, BROKEN, "a stopped command ends as \"%s\" after %llu ms", result.reason,
                                        (unsigned long long) (result.took / USEC_PER_MSEC));
                        part(x, c, v, id, 'b');
                } else if (strcmp(c->name, "output_flood") == 0) {
                        if (r < 0 || !result.truncated || result.length > 3 * 65536)
                                judge(v, BROKEN, "%zu bytes of output are kept", result.length);
                        judge(v, HELD, "%zu bytes are kept", result.length);
                } else {
                        judge_result(v, c, r, &result);
                        if (strcmp(c->name, "daemon_hold") == 0) {
                                if (result.took > 3 * USEC_PER_SEC)
                                        judge(v, BROKEN, "the answer was held for %llu ms",
                                                (unsigned long long) (result.took / USEC_PER_MSEC));
                                part(x, c, v, id, 'b');
                        }
                }
                check_usable(x, c, v, id);
        }
        end_session(x, c, v, id);
}

void run_kind(Runner *x, const Case *c, Verdict *v) {
        static void (*const kinds[])(Runner *, const Case *, Verdict *) = {
                [ATTACK_SINGLE] = run_single,
                [ATTACK_FLOOD] = run_flood,
                [ATTACK_PAIR] = run_pair,
                [ATTACK_TOGETHER] = run_pair,
                [ATTACK_HEIR] = run_heir,
                [ATTACK_DIFFER] = run_differ,
                [ATTACK_OUTSIDE] = run_outside,
        };

        kinds[c->kind](x, c, v);
}
