/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner.h"

#define SAMPLES 100
#define VICTIM_FACTOR 3
#define VICTIM_SLACK_USEC (50 * USEC_PER_MSEC)
#define VICTIM_TIMEOUT_USEC (20 * USEC_PER_SEC)
#define REPEATS 200
#define FLOODS 3
#define DIFFERENT 6
#define HEIRS_MAX 24

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

/* How long short commands take in another sandbox: the 99th of 100, or one that did not end in time. */
static usec_t sample(Runner *x, const char *id, const Background *during, Verdict *v) {
        const char *argv[] = { "/bin/true", NULL };
        Run run = { .session = id, .argv = argv, .timeout = VICTIM_TIMEOUT_USEC / USEC_PER_SEC };
        usec_t took[SAMPLES];
        size_t n = 0;

        for (; n < SAMPLES && (!during || background_runs(during)); n++) {
                Result result;
                int r = run_command(&x->server, &run, &result);
                if (r >= 0 && strcmp(result.reason, "timeout") == 0)
                        return result.took; /* so slow a machine may keep process 1 from its work too */
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
        if (*ret_quiet >= VICTIM_TIMEOUT_USEC || *ret_loud >= VICTIM_TIMEOUT_USEC)
                return false;
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
