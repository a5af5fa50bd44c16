/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "ctl/exec.h"
#include "ctl/health.h"
#include "ctl/interrupt.h"
#include "ctl/proc.h"
#include "ctl/reader.h"
#include "ctl/session.h"
#include "ctl/terminal.h"

#define TEST_TIMEOUT_SEC 20
#define SMALL_MEMORY (48 * MIB)
#define SMALL_PIDS 24

typedef enum Outcome {
        PASSED,
        FAILED,
        SKIPPED,
} Outcome;

typedef struct SelfTest {
        Ctl *ctl;
        char id[ID_MAX + 1]; /* of the session, "" for none */
        const char *user;    /* borrowed from the session's document */
        uint64_t disk;       /* its limit in bytes, 0 when not told */
        bool enforced;       /* does the server hold limits of memory and processes? */
        char *reason;        /* owned; why the running test failed or was left out */
} SelfTest;

_printf_(2, 3) static void say(const SelfTest *t, const char *format, ...) {
        va_list ap;

        if (t->ctl->options.json)
                return;
        va_start(ap, format);
        vprintf(format, ap);
        va_end(ap);
        putchar('\n');
        (void) fflush(stdout); /* an error of it is seen at the end of the program */
}

_printf_(3, 4) static Outcome end(SelfTest *t, Outcome outcome, const char *format, ...) {
        va_list ap;
        char *reason;

        va_start(ap, format);
        int n = vasprintf(&reason, format, ap);
        va_end(ap);
        if (n < 0)
                out_of_memory();
        free(t->reason);
        t->reason = reason;
        return outcome;
}

static json_t *exec_body(const char *command) {
        json_t *body =
                json_pack("{s:s, s:s, s:i}", "command", command, "encoding", "base64", "timeout", TEST_TIMEOUT_SEC);

        if (!body)
                out_of_memory();
        return body;
}

static int run_in(SelfTest *t, const char *id, const char *command, ExecResult *ret) {
        _cleanup_json_ json_t *body = exec_body(command), *answer = NULL;
        int r;

        r = exec_call(t->ctl, id, body, TEST_TIMEOUT_SEC * USEC_PER_SEC, &answer);
        if (r < 0)
                return r;
        r = exec_result_read(answer, true, ret);
        if (r < 0)
                return r;
        ret->reason = NULL; /* belongs to the document */
        if (ret->out_length > 0 && ret->out[ret->out_length - 1] == '\n')
                ret->out[--ret->out_length] = '\0';
        return 0;
}

/* One command that must succeed: its output is shown behind @label, its status, and both are checked. @expected:
 * NULL for any output. */
static Outcome expect(SelfTest *t, const char *command, const char *label, const char *expected) {
        _cleanup_exec_result_ ExecResult result = { 0 };
        _cleanup_free_ char *out = NULL, *err = NULL;

        if (run_in(t, t->id, command, &result) < 0)
                return end(t, FAILED, "The command could not be run");
        out = terminal_escape(result.out, result.out_length, NULL);
        err = terminal_escape(result.err, MIN(result.err_length, (size_t) 200), NULL);
        if (result.status == 127)
                return end(t, SKIPPED, "the image has no %.*s", (int) strcspn(command, " "), command);

        say(t, "%s: %s", label, out);
        say(t, "Exit code: %d", result.status);
        if (result.status != 0)
                return end(t, FAILED, "Exit code %d instead of 0%s%s", result.status, *err ? ": " : "", err);
        if (expected && strcmp(result.out, expected) != 0)
                return end(t, FAILED, "The output should be \"%s\"", expected);
        return PASSED;
}

static Outcome test_whoami(SelfTest *t) {
        return expect(t, "whoami", "User", t->user);
}

static Outcome test_python(SelfTest *t) {
        return expect(t, "python3 -c 'print(sum(range(10)))'", "Python", "45");
}

static Outcome test_file(SelfTest *t) {
        _cleanup_exec_result_ ExecResult result = { 0 };

        if (run_in(t, t->id, "printf %s kept > \"$HOME/self-test\"", &result) < 0 || result.status != 0)
                return end(t, FAILED, "The home folder cannot be written");
        return expect(t, "cat \"$HOME/self-test\" && rm \"$HOME/self-test\"", "File", "kept");
}

static Outcome test_network(SelfTest *t) {
        _cleanup_exec_result_ ExecResult dev = { 0 }, route = { 0 };
        _cleanup_free_ char *names = NULL, *safe = NULL;

        if (run_in(t, t->id, "cat /proc/net/dev", &dev) < 0 || run_in(t, t->id, "cat /proc/net/route", &route) < 0)
                return end(t, FAILED, "The command could not be run");
        if (dev.status != 0)
                return end(t, SKIPPED, "the sandbox does not show /proc/net/dev");
        names = proc_interfaces(dev.out);
        safe = terminal_escape_string(names);
        say(t, "Interfaces: %s", *safe ? safe : "none");
        say(t, "Routes: %s", proc_has_routes(route.out) ? "some" : "none");
        if (*names && strcmp(names, "lo") != 0)
                return end(t, FAILED, "There is an interface besides lo");
        if (proc_has_routes(route.out))
                return end(t, FAILED, "There is a route out");
        return PASSED;
}

/* Limits that the sandbox tells about itself. */
static Outcome check_told_limits(SelfTest *t) {
        _cleanup_exec_result_ ExecResult limits = { 0 }, mounts = { 0 };
        _cleanup_free_ char *unlimited = NULL;
        uint64_t files, size;
        char buf[SPAN_MAX];

        if (run_in(t, t->id, "cat /proc/self/limits", &limits) < 0 ||
                run_in(t, t->id, "cat /proc/self/mounts", &mounts) < 0)
                return end(t, FAILED, "The command could not be run");
        if (proc_limit(limits.out, "Max open files", &files) < 0)
                return end(t, FAILED, "The number of open files has no limit");
        say(t, "Open files: %" PRIu64, files);

        unlimited = proc_unlimited_tmpfs(mounts.out, &size);
        if (unlimited) {
                _cleanup_free_ char *safe = terminal_escape_string(unlimited);
                return end(t, FAILED, "The files in %s have no limit", safe);
        }
        if (size == 0)
                return PASSED;
        say(t, "Files: %s", format_size(size, buf));
        if (t->disk > 0 && size > t->disk)
                return end(t, FAILED, "That is more than the session's disk limit, %s", format_size(t->disk, buf));
        return PASSED;
}

/* Runs into limits, in a session of its own that has small ones. */
static Outcome check_small_limits(SelfTest *t, const char *id) {
        _cleanup_exec_result_ ExecResult pids = { 0 }, memory = { 0 };

        if (run_in(t, id, "n=0; while [ $n -lt 100 ]; do sleep 5 >/dev/null 2>&1 & n=$((n+1)); done; echo all", &pids) <
                        0 ||
                run_in(t, id, "head -c 200000000 /dev/zero | tail | wc -c", &memory) < 0)
                return end(t, FAILED, "The command could not be run");
        say(t, "Processes: %s", strcmp(pids.out, "all") == 0 ? "not held" : "held");
        say(t, "Memory: %s", strcmp(memory.out, "200000000") == 0 ? "not held" : "held");
        if (strcmp(pids.out, "all") == 0)
                return end(t, FAILED, "100 processes ran within a limit of %d", SMALL_PIDS);
        if (strcmp(memory.out, "200000000") == 0)
                return end(
                        t, FAILED, "A process took 200 MB within a limit of %u MiB", (unsigned) (SMALL_MEMORY / MIB));
        return PASSED;
}

static Outcome test_limits(SelfTest *t) {
        _cleanup_json_ json_t *body = NULL, *session = NULL;
        Outcome outcome = check_told_limits(t);
        SessionView v;

        if (outcome != PASSED)
                return outcome;
        if (!t->enforced) {
                say(t, "Memory and processes: not limited by this server (see sandboxctl health)");
                return PASSED;
        }
        body = json_pack(
                "{s:I, s:i, s:i}", "memory_limit", (json_int_t) SMALL_MEMORY, "pids_limit", SMALL_PIDS, "timeout", 300);
        if (ctl_call(t->ctl, &(Call){ .method = "POST", .path = "/v1/sessions", .body = body, .shielded = true },
                    &session) < 0 ||
                session_view(session, &v) < 0)
                return end(t, FAILED, "A session with small limits could not be made");
        outcome = check_small_limits(t, v.id);
        (void) session_delete(t->ctl, v.id); /* clean-up is another test's matter */
        return outcome;
}

static Outcome test_cleanup(SelfTest *t) {
        _cleanup_free_ char *path = xasprintf("/v1/sessions/%s", t->id);
        _cleanup_answer_ Answer deleted = { 0 }, gone = { 0 };

        if (ctl_try(t->ctl, &(Call){ .method = "DELETE", .path = path, .shielded = true }, &deleted) < 0)
                return end(t, FAILED, "The session could not be deleted");
        if (deleted.status < 200 || deleted.status > 299)
                return end(t, FAILED, "Deleting the session gave HTTP status %u", deleted.status);
        say(t, "Session deleted: %s", t->id);
        t->id[0] = '\0';
        if (ctl_try(t->ctl, &(Call){ .method = "GET", .path = path }, &gone) < 0)
                return end(t, FAILED, "The session could not be asked for");
        if (gone.status != 404 && gone.status != 410)
                return end(t, FAILED, "Asking for the deleted session gave HTTP status %u instead of 404 or 410",
                        gone.status);
        return PASSED;
}

static const struct {
        const char *name;
        Outcome (*run)(SelfTest *t);
} tests[] = {
        { "whoami", test_whoami },
        { "python", test_python },
        { "file write", test_file },
        { "network isolation", test_network },
        { "limits", test_limits },
        { "clean-up", test_cleanup },
};

/* Runs all; @counts: by outcome; @rows: one object a test. */
static void run_all(SelfTest *t, unsigned counts[static 3], json_t *rows) {
        static const char *const words[] = { "passed", "failed", "skipped" };

        for (size_t i = 0; i < ELEMENTSOF(tests) && interrupt_count() == 0; i++) {
                Outcome outcome;
                json_t *row;

                say(t, "Test %zu: %s", i + 1, tests[i].name);
                free(t->reason);
                t->reason = NULL;
                outcome = tests[i].run(t);
                counts[outcome]++;
                if (outcome == FAILED)
                        say(t, "%sFailed%s: %s", terminal_colour(stdout, COLOUR_BAD),
                                terminal_colour_end(stdout, COLOUR_BAD), t->reason);
                else if (outcome == SKIPPED)
                        say(t, "Skipped: %s", t->reason);
                row = json_pack("{s:s, s:s, s:s*}", "name", tests[i].name, "outcome", words[outcome], "reason",
                        outcome == PASSED ? NULL : t->reason);
                if (json_array_append_new(rows, row) < 0)
                        out_of_memory();
        }
}

static int prepare(SelfTest *t, json_t **ret_session) {
        _cleanup_answer_ Answer health = { 0 };
        HealthView h;
        SessionView v;
        int r;

        r = interrupt_catch();
        if (r < 0)
                return r;
        r = ctl_try(t->ctl, &(Call){ .method = "GET", .path = "/health" }, &health);
        if (r < 0)
                return r;
        if (health_is(&health) && health_view(health.json, &h) == 0)
                t->enforced = h.limits && strcmp(h.limits, "enforced") == 0;

        r = session_create(t->ctl, ret_session);
        if (r < 0)
                return r;
        r = session_view(*ret_session, &v);
        if (r < 0)
                return r;
        (void) snprintf(t->id, sizeof t->id, "%s", v.id); /* valid ids fit */
        t->user = v.user ?: "sandboxuser";
        if (v.limits) {
                Reader reader = reader_open(v.limits);
                (void) reader_unsigned(&reader, "disk_limit", OPTIONAL, &t->disk); /* 0 when it is not told */
        }
        return 0;
}

int command_test(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *session = NULL, *rows = json_array();
        SelfTest t = { .ctl = ctl };
        unsigned counts[3] = { 0 };

        (void) argc, (void) argv; /* takes none */
        if (!rows)
                out_of_memory();
        if (prepare(&t, &session) < 0)
                return STATUS_FAILED;
        say(&t, "Session created: %s", t.id);
        run_all(&t, counts, rows);
        if (t.id[0])
                (void) session_delete(ctl, t.id); /* has told why not */
        free(t.reason);
        if (interrupt_count() > 0)
                return STATUS_FAILED;

        if (ctl->options.json) {
                _cleanup_json_ json_t *document = json_pack("{s:i, s:i, s:i, s:O}", "passed", (int) counts[PASSED],
                        "failed", (int) counts[FAILED], "skipped", (int) counts[SKIPPED], "tests", rows);
                print_json(document);
        } else if (counts[FAILED] > 0) {
                say(&t, "%u of %zu tests failed", counts[FAILED], ELEMENTSOF(tests));
        } else if (counts[SKIPPED] > 0) {
                say(&t, "All %u tests passed, %u skipped", counts[PASSED], counts[SKIPPED]);
        } else {
                say(&t, "All %u tests passed", counts[PASSED]);
        }
        return counts[FAILED] > 0 ? STATUS_FAILED : 0;
}
