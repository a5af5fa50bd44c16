/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http-fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "log/log.h"

static struct {
        unsigned n_audit, n_refused;
        char fields[2048]; /* "NAME=VALUE\n" of the last */
} told;

static void sink(int priority, const LogMessage *message, const LogField *fields, const char *text) {
        size_t used = 0;

        (void) priority;
        told.n_audit += message == &MESSAGE_AUDIT;
        told.n_refused += message == &MESSAGE_REQUEST_REFUSED;
        for (; fields && fields->name; fields++)
                if (fields->value)
                        used += (size_t) snprintf(
                                told.fields + used, sizeof told.fields - used, "%s=%s\n", fields->name, fields->value);
        (void) snprintf(told.fields + used, sizeof told.fields - used, "MESSAGE=%s\n", text);
}

static int begin(void **state) {
        memset(&told, 0, sizeof told);
        log_set_sink(sink);
        return setup(state);
}

static int end(void **state) {
        log_set_sink(NULL);
        return teardown(state);
}

static void assert_told(const char *line) {
        if (!strstr(told.fields, line))
                fail_msg("no \"%s\" in: %s", line, told.fields);
}

static void test_who_read_what(void **state) {
        Fixture *f = *state;
        char caller[64];

        assert_status(
                get(f, "/v1/sessions/abc/files?path=a%20b", "Authorization: Bearer sesame\r\nX-Request-Id: q1\r\n"),
                200);
        run_ready(f->event);
        assert_int_equal(told.n_audit, 1);
        assert_told("SANDBOXD_ACTION=read\n");
        assert_told("SANDBOXD_OWNER=ali\n");
        assert_told("SESSION_ID=abc\n");
        assert_told("SANDBOXD_PATH=a b\n");
        assert_told("REQUEST_ID=q1\n");
        assert_told("SANDBOXD_STATUS=200\n");
        (void) snprintf(caller, sizeof caller, "SANDBOXD_CALLER=unix:uid=%u,pid=%d\n", (unsigned) getuid(), getpid());
        assert_told(caller);
        assert_null(strstr(told.fields, "sesame"));
        assert_null(strstr(told.fields, "EXEC_ID"));
}

static void test_what_changes_nothing_is_not_told(void **state) {
        Fixture *f = *state;

        (void) get(f, "/open", "");
        (void) get(f, "/owner", "X-API-Key: sesame\r\n");
        (void) get(f, "/nothing", "");
        /* a refusal did nothing either */
        assert_status(get(f, "/v1/sessions/abc/execs/e1", "X-API-Key: sesame\r\n"), 429);
        run_ready(f->event);
        assert_int_equal(told.n_audit, 0);
        assert_int_equal(told.n_refused, 1);
        assert_told("SANDBOXD_STATUS=429\n");
}

static void test_who_left_is_told_as_well(void **state) {
        Fixture *f = *state;

        send_text(&f->clients[0], "GET /v1/sessions/abc/later HTTP/1.1\r\nHost: a\r\nX-API-Key: sesame\r\n\r\n");
        RUN_UNTIL(f->event, f->routes.waiting);
        f->clients[0].fd = fd_close(f->clients[0].fd);
        RUN_UNTIL(f->event, told.n_audit == 1);
        assert_told("SANDBOXD_ACTION=watch\n");
        assert_told("REASON=the client left\n");
}

static void test_refused_keys_are_told_but_not_without_end(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < 200; i++)
                assert_status(get(f, "/owner", "X-API-Key: wrong-key\r\n"), 401);
        run_ready(f->event);
        assert_in_range(told.n_refused, 50, 199);
        assert_null(strstr(told.fields, "wrong-key"));
        /* later they are told again, and how many were not */
        unsigned before = told.n_refused;
        clock_shift_for_test(20 * USEC_PER_SEC);
        assert_status(get(f, "/owner", "X-API-Key: wrong-key\r\n"), 401);
        run_ready(f->event);
        assert_int_equal(told.n_refused, before + 1);
        assert_told("SANDBOXD_HIDDEN=");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_who_read_what, begin, end),
                cmocka_unit_test_setup_teardown(test_what_changes_nothing_is_not_told, begin, end),
                cmocka_unit_test_setup_teardown(test_who_left_is_told_as_well, begin, end),
                cmocka_unit_test_setup_teardown(test_refused_keys_are_told_but_not_without_end, begin, end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
