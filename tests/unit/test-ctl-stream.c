/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "ctl/escape.h"
#include "ctl/events.h"
#include "ctl/terminal.h"

/* --- events --- */

typedef struct Seen {
        Events *events;
        char text[512];
        int stop; /* what the handler returns */
} Seen;

static int on_event(const char *name, const char *data, size_t length, void *userdata) {
        Seen *s = userdata;
        size_t used = strlen(s->text);

        assert_int_equal(strlen(data), length);
        (void) snprintf(
                s->text + used, sizeof s->text - used, "%s[%llu]=%s|", name, (unsigned long long) s->events->id, data);
        return s->stop;
}

static void feed(const char *text, size_t piece, const char *expected) {
        _cleanup_events_ Events e = { .handle = on_event };
        Seen s = { .events = &e };

        e.userdata = &s;
        for (size_t at = 0; at < strlen(text); at += piece)
                assert_int_equal(events_feed(&e, text + at, MIN(piece, strlen(text) - at)), 0);
        assert_string_equal(s.text, expected);
}

static void reads_events_however_they_are_cut(void **state) {
        static const char text[] =
                "event: start\ndata: {}\n\n: a comment\n\nevent: stdout\r\nid: 12\r\ndata: a\r\ndata:b\r\n\r\n"
                "data: without a name\n\nevent: no data\n\n\n";

        (void) state;
        for (size_t piece = 1; piece < sizeof text; piece++)
                feed(text, piece, "start[0]={}|stdout[12]=a\nb|message[0]=without a name|");
}

static void an_event_that_is_not_complete_is_not_told(void **state) {
        (void) state;
        feed("event: a\ndata: b\n", 5, "");
}

static void what_the_handler_returns_ends_it(void **state) {
        _cleanup_events_ Events e = { .handle = on_event };
        Seen s = { .events = &e, .stop = -EPIPE };

        (void) state;
        e.userdata = &s;
        assert_int_equal(events_feed(&e, "data: a\n\ndata: b\n\n", 18), -EPIPE);
        assert_string_equal(s.text, "message[0]=a|");
}

static void an_event_without_end_is_refused(void **state) {
        _cleanup_events_ Events e = { .handle = on_event };
        static char text[64 * 1024];
        int r = 0;

        (void) state;
        memset(text, 'x', sizeof text);
        for (size_t n = 0; r == 0 && n <= EVENT_MAX; n += sizeof text)
                r = events_feed(&e, text, sizeof text);
        assert_int_equal(r, -EFBIG);
}

/* --- keys --- */

static void type(Escape *e, const char *typed, const char *expected, bool leaves) {
        char out[128];
        bool left = false;
        size_t n = escape_filter(e, typed, strlen(typed), out, &left);

        assert_int_equal(n, strlen(expected));
        assert_memory_equal(out, expected, n);
        assert_int_equal(left, leaves);
}

static void what_is_typed_goes_through(void **state) {
        Escape e = ESCAPE_INIT;

        (void) state;
        type(&e, "ls ~/.x\r", "ls ~/.x\r", false);
        type(&e, "a~.b", "a~.b", false);
}

static void a_tilde_and_a_dot_leave_at_the_beginning_of_a_line(void **state) {
        Escape first = ESCAPE_INIT, later = ESCAPE_INIT, apart = ESCAPE_INIT;

        (void) state;
        type(&first, "~.rest", "", true);
        type(&later, "ls\r~.", "ls\r", true);
        type(&apart, "\r~", "\r", false);
        type(&apart, ".", "", true);
}

static void other_tildes_are_passed_on(void **state) {
        Escape e = ESCAPE_INIT, twice = ESCAPE_INIT;

        (void) state;
        type(&e, "~/bin/x\r", "~/bin/x\r", false);
        type(&twice, "~~.", "~.", false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_events_however_they_are_cut),
                cmocka_unit_test(an_event_that_is_not_complete_is_not_told),
                cmocka_unit_test(what_the_handler_returns_ends_it),
                cmocka_unit_test(an_event_without_end_is_refused),
                cmocka_unit_test(what_is_typed_goes_through),
                cmocka_unit_test(a_tilde_and_a_dot_leave_at_the_beginning_of_a_line),
                cmocka_unit_test(other_tildes_are_passed_on),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
