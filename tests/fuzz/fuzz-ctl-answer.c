/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "ctl/events.h"
#include "ctl/exec.h"
#include "ctl/health.h"
#include "ctl/problem.h"
#include "ctl/proc.h"
#include "ctl/session.h"
#include "ctl/table.h"

/* Any answer of a server is taken or refused, and nothing of it reaches a terminal unescaped. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_safe(const char *text) {
        for (const char *p = text; *p; p++)
                if ((unsigned char) *p < ' ' && *p != '\n')
                        abort();
}

static void read_text(const char *text, size_t size) {
        _cleanup_free_ char *safe = terminal_escape(text, size, NULL), *copy = strndup(text, size), *names = NULL,
                            *point = NULL;
        _cleanup_(table_freep) Table *t = table_new((const char *const[]){ "HEAD" }, 1);
        uint64_t n;

        if (!copy)
                abort();
        check_safe(safe);
        table_add(t, COLOUR_NONE, copy);
        names = proc_interfaces(copy);
        point = proc_unlimited_tmpfs(copy, &n);
        (void) proc_has_routes(copy);
        (void) proc_limit(copy, "Max", &n);
}

static int on_event(const char *name, const char *data, size_t length, void *userdata) {
        (void) userdata;
        if (strlen(name) == 0 || strlen(data) > length)
                abort();
        return 0;
}

static void read_events(const char *text, size_t size) {
        _cleanup_events_ Events e = { .handle = on_event };

        /* in two pieces */
        if (events_feed(&e, text, size / 2) == 0)
                (void) events_feed(&e, text + size / 2, size - size / 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static bool quiet;
        _cleanup_json_ json_t *json = NULL;
        _cleanup_exec_result_ ExecResult as_text = { 0 }, as_base64 = { 0 };
        SessionView session;
        HealthView health;

        if (!quiet && !freopen("/dev/null", "w", stderr))
                abort();
        quiet = true;
        read_events((const char *) data, size);
        read_text((const char *) data, size);

        json = json_loadb((const char *) data, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        _cleanup_free_ char *problem = problem_text(&(Answer){ .status = 500, .json = json });
        check_safe(problem);
        (void) session_view(json, &session);
        (void) health_view(json, &health);
        (void) exec_result_read(json, false, &as_text);
        (void) exec_result_read(json, true, &as_base64);
        if (as_base64.message)
                check_safe(as_base64.message);
        return 0;
}
