/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "bus-fixture.h"
#include "unit.h"

static sd_bus_message *create_message(BusFixture *f) {
        return bus_message(f, WORKER_PATH, WORKER, "CreateSession");
}

static void expect_create_error(
        BusFixture *f, const char *type, const char *option, const char *value, const char *name, const char *part) {
        sd_bus_message *m = create_message(f);

        assert_true(sd_bus_message_append(m, "a{sv}", 1, option, type, value) >= 0);
        bus_expect_error(f, m, name, part);
        assert_int_equal(session_count(f->sessions), 0);
}

static void open_as_root(BusFixture *f) {
        if (!bus_fixture_open(f, true))
                skip();
}

static void open_as_user(BusFixture *f) {
        if (!bus_fixture_open(f, false))
                skip();
}

/* --- creating --- */

static void a_session_is_created_with_what_was_asked_for(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;
        const char *id, *path;
        Session *s;

        (void) state;
        open_as_root(&f);
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 6, "Timeout", "s", "5min", "MemoryLimit", "t",
                            (uint64_t) 32 * MIB, "CPUQuota", "u", 20000, "PidsLimit", "i", 50, "Metadata", "a{ss}", 1,
                            "a", "b", "Key", "s", "k") >= 0);
        m = bus_expect_answer(&f, m);
        assert_true(sd_bus_message_read(m, "so", &id, &path) > 0);
        assert_int_equal(session_find(f.sessions, id, NULL, &s, NULL), 0);
        assert_int_equal(s->timeout, 300 * USEC_PER_SEC);
        assert_int_equal(s->limits.memory, 32 * MIB);
        assert_int_equal(s->limits.cpu_quota, 20000);
        assert_int_equal(s->limits.pids, 50);
        assert_string_equal(s->key, "k");
        assert_string_equal(s->owner, "uid:0");
        assert_string_equal(json_string_value(json_object_get(s->metadata, "a")), "b");
        (void) sd_bus_message_unref(m);
}

static void a_number_of_seconds_is_a_timeout_too(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;

        (void) state;
        open_as_root(&f);
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Timeout", "d", 2.5) >= 0);
        (void) sd_bus_message_unref(bus_expect_answer(&f, m));
        assert_int_equal(session_next(f.sessions, 0, NULL)->timeout, 2500 * USEC_PER_MSEC);
}

static void an_option_that_does_not_exist_is_named(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };

        (void) state;
        open_as_root(&f);
        expect_create_error(&f, "s", "Imgae", "base", "InvalidArgument", "\"Imgae\"");
        expect_create_error(&f, "s", "image", "base", "InvalidArgument", "\"image\"");
}

static void an_option_out_of_range_is_named_as_it_was_given(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };

        (void) state;
        open_as_root(&f);
        expect_create_error(&f, "s", "MemoryLimit", "1k", "InvalidArgument", "\"MemoryLimit\" is out of range");
        expect_create_error(&f, "s", "Timeout", "9999h", "InvalidArgument", "\"Timeout\" is out of range: 1 to ");
        expect_create_error(&f, "s", "Image", "nothing", "InvalidArgument", "nothing");
}

static void numbers_of_any_size_are_refused_and_not_wrapped(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;

        (void) state;
        open_as_root(&f);
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "MemoryLimit", "t", UINT64_MAX) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"MemoryLimit\" is out of range");
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Timeout", "d", (double) __builtin_inff()) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"Timeout\"");
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "PidsLimit", "x", INT64_MIN) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"PidsLimit\"");
        assert_int_equal(session_count(f.sessions), 0);
}

static void types_that_no_option_has_are_refused(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;

        (void) state;
        open_as_root(&f);
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Env", "a{sv}", 1, "A", "s", "b") >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"Env\" cannot be of type \"a{sv}\"");
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Image", "ay", 2, 98, 97) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"Image\" cannot be of type \"ay\"");
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Image", "v", "s", "base") >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"Image\" cannot be of type \"v\"");
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Image", "u", 5) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"Image\" has to be a string");
        assert_int_equal(session_count(f.sessions), 0);
}

static void an_option_given_twice_is_refused(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;

        (void) state;
        open_as_root(&f);
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 2, "Image", "s", "base", "Image", "s", "base") >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "twice");
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Env", "a{ss}", 2, "A", "1", "A", "2") >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "twice");
        assert_int_equal(session_count(f.sessions), 0);
}

static void a_dictionary_that_is_too_large_is_refused(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;
        char name[16];

        (void) state;
        open_as_root(&f);
        m = create_message(&f);
        assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        assert_true(sd_bus_message_open_container(m, 'e', "sv") >= 0);
        assert_true(sd_bus_message_append(m, "s", "Env") >= 0);
        assert_true(sd_bus_message_open_container(m, 'v', "a{ss}") >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "{ss}") >= 0);
        for (unsigned i = 0; i < 100000; i++) {
                (void) snprintf(name, sizeof name, "V%u", i);
                assert_true(sd_bus_message_append(m, "{ss}", name, "x") >= 0);
        }
        for (int i = 0; i < 4; i++)
                assert_true(sd_bus_message_close_container(m) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"Env\" has more than 512 entries");
        assert_int_equal(session_count(f.sessions), 0);
}

static void arguments_of_another_signature_are_refused(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;

        (void) state;
        open_as_root(&f);
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "s", "base") >= 0);
        bus_expect_error(&f, m, "InvalidArgs", "a{sv}");
        m = bus_message(&f, WORKER_PATH, WORKER, "GetSession");
        bus_expect_error(&f, m, "InvalidArgs", "'s'");
}

/* --- whose sessions --- */

static unsigned count_listed(BusFixture *f) {
        sd_bus_message *m = bus_expect_answer(f, bus_message(f, WORKER_PATH, WORKER, "ListSessions"));
        unsigned n = 0;

        assert_true(sd_bus_message_enter_container(m, 'a', "(sosst)") > 0);
        while (sd_bus_message_skip(m, "(sosst)") > 0)
                n++;
        (void) sd_bus_message_unref(m);
        return n;
}

static sd_bus_message *session_message(BusFixture *f, const char *member, const char *id) {
        sd_bus_message *m = bus_message(f, WORKER_PATH, WORKER, member);

        assert_true(sd_bus_message_append(m, "s", id) >= 0);
        return m;
}

static void root_sees_all_sessions(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        Session *s;

        (void) state;
        open_as_root(&f);
        s = bus_create_for(&f, "uid:5");
        (void) bus_create_for(&f, NULL);
        assert_int_equal(count_listed(&f), 2);
        (void) sd_bus_message_unref(bus_expect_answer(&f, session_message(&f, "GetSession", s->id)));
        (void) sd_bus_message_unref(bus_expect_answer(&f, session_message(&f, "DestroySession", s->id)));
        assert_int_equal(f.n_asked, 0);
}

static void others_see_their_own_sessions(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = NULL;
        char id[UUID_TEXT_MAX];
        Session *s;

        (void) state;
        open_as_user(&f);
        s = bus_create_for(&f, "uid:5");
        path = bus_create(&f, id);
        assert_int_equal(count_listed(&f), 1);
        (void) sd_bus_message_unref(bus_expect_answer(&f, session_message(&f, "GetSession", id)));
        bus_expect_error(&f, session_message(&f, "GetSession", s->id), "NoSuchSession", "no session");
}

static void polkit_is_told_whose_session_it_is(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = NULL;
        char id[UUID_TEXT_MAX];
        Session *s;

        (void) state;
        open_as_user(&f);
        s = bus_create_for(&f, "uid:5");
        path = bus_create(&f, id);
        assert_string_equal(f.action, "org.sandboxd.create-session");
        (void) sd_bus_message_unref(bus_expect_answer(&f, session_message(&f, "DestroySession", id)));
        assert_string_equal(f.action, "org.sandboxd.manage-sessions");
        assert_string_equal(f.own, "yes");
        assert_string_equal(f.session, id);
        (void) sd_bus_message_unref(bus_expect_answer(&f, session_message(&f, "DestroySession", s->id)));
        assert_string_equal(f.own, "no");
        assert_string_equal(f.owner, "uid:5");
        assert_int_equal(f.n_asked, 3);
}

static void what_polkit_does_not_allow_is_not_done(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;
        Session *s;

        (void) state;
        open_as_user(&f);
        s = bus_create_for(&f, "uid:1234");
        f.polkit = POLKIT_NO;
        bus_expect_error(&f, session_message(&f, "DestroySession", s->id), "AccessDenied", "polkit");
        bus_expect_error(&f, bus_message(&f, WORKER_PATH, WORKER, "Drain"), "AccessDenied", "polkit");
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        bus_expect_error(&f, m, "AccessDenied", "polkit");
        f.polkit = POLKIT_BROKEN;
        bus_expect_error(&f, session_message(&f, "DestroySession", s->id), "AccessDenied", "cannot be asked");
        f.polkit = POLKIT_CHALLENGE;
        bus_expect_error(&f, session_message(&f, "DestroySession", s->id), "InteractiveAuthorizationRequired", "");
        assert_false(f.interactive);
        assert_false(s->ended);
        assert_int_equal(session_count(f.sessions), 1);
        assert_false(session_manager_is_draining(f.sessions));
}

static void a_password_may_be_asked_for_when_the_caller_says_so(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;

        (void) state;
        open_as_user(&f);
        m = bus_message(&f, WORKER_PATH, WORKER, "Drain");
        assert_true(sd_bus_message_set_allow_interactive_authorization(m, true) >= 0);
        (void) sd_bus_message_unref(bus_expect_answer(&f, m));
        assert_true(f.interactive);
        assert_string_equal(f.action, "org.sandboxd.manage-workers");
        assert_true(session_manager_is_draining(f.sessions));
}

static void without_polkit_only_what_is_ones_own_is_allowed(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = NULL;
        char id[UUID_TEXT_MAX];
        Session *s;

        (void) state;
        open_as_user(&f);
        f.polkit = POLKIT_ABSENT;
        s = bus_create_for(&f, "uid:5");
        path = bus_create(&f, id);
        bus_expect_error(&f, session_message(&f, "DestroySession", s->id), "AccessDenied", "only root");
        bus_expect_error(&f, bus_message(&f, WORKER_PATH, WORKER, "Drain"), "AccessDenied", "only root");
        (void) sd_bus_message_unref(bus_expect_answer(&f, session_message(&f, "DestroySession", id)));
}

static void calls_that_wait_are_limited(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *answers[1024] = { 0 };

        (void) state;
        open_as_user(&f);
        f.polkit = POLKIT_SILENT;
        for (size_t i = 0; i < ELEMENTSOF(answers); i++)
                bus_send_only(&f, bus_message(&f, WORKER_PATH, WORKER, "Drain"), &answers[i]);
        bus_expect_error(&f, bus_message(&f, WORKER_PATH, WORKER, "Drain"), "QuotaExceeded", "1024 calls");
        assert_int_equal(f.n_asked, 1024);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++)
                assert_null(answers[i]);
}

/* --- the worker --- */

static void draining_takes_no_new_sessions(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = NULL;
        char id[UUID_TEXT_MAX];
        sd_bus_message *m;

        (void) state;
        open_as_root(&f);
        (void) sd_bus_message_unref(bus_expect_answer(&f, bus_message(&f, WORKER_PATH, WORKER, "Drain")));
        m = create_message(&f);
        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        bus_expect_error(&f, m, "Draining", "no new sessions");
        (void) sd_bus_message_unref(bus_expect_answer(&f, bus_message(&f, WORKER_PATH, WORKER, "Undrain")));
        path = bus_create(&f, id);
        assert_non_null(strstr(f.signals, "PropertiesChanged " WORKER_PATH));
}

static void the_pool_has_another_size_within_its_bounds(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        sd_bus_message *m;

        (void) state;
        open_as_root(&f);
        m = bus_message(&f, WORKER_PATH, WORKER, "SetPoolSize");
        assert_true(sd_bus_message_append(m, "u", 5) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "1 to 4");
        m = bus_message(&f, WORKER_PATH, WORKER, "SetPoolSize");
        assert_true(sd_bus_message_append(m, "u", 4) >= 0);
        (void) sd_bus_message_unref(bus_expect_answer(&f, m));
        RUN_UNTIL(f.event, pool_n_ready(f.pool) == 4);
}

static void a_session_that_has_ended_says_so(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = NULL;
        char id[UUID_TEXT_MAX];

        (void) state;
        open_as_root(&f);
        path = bus_create(&f, id);
        (void) sd_bus_message_unref(bus_expect_answer(&f, session_message(&f, "DestroySession", id)));
        assert_int_equal(f.fake->n_killed, 1);
        bus_expect_error(&f, session_message(&f, "DestroySession", id), "NoSuchSession", "has ended: deleted");
        bus_expect_error(&f, session_message(&f, "GetSession", "no-such"), "NoSuchSession", "no session");
        bus_expect_error(&f, session_message(&f, "GetSession", "../.."), "NoSuchSession", "not the id");
        RUN_UNTIL(f.event, strstr(f.signals, "SessionRemoved " WORKER_PATH));
        assert_non_null(strstr(f.signals, "SessionNew " WORKER_PATH));
}

static void the_worker_goes_on_without_the_bus(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        Session *s;

        (void) state;
        open_as_root(&f);
        sd_bus_close(f.client);
        f.client = sd_bus_unref(f.client);
        s = bus_create_for(&f, NULL);
        RUN_UNTIL(f.event, pool_n_ready(f.pool) == 2);
        session_end(s, SESSION_DELETED);
        run_ready(f.event);
        bus_changed(f.bus);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_session_is_created_with_what_was_asked_for),
                cmocka_unit_test(a_number_of_seconds_is_a_timeout_too),
                cmocka_unit_test(an_option_that_does_not_exist_is_named),
                cmocka_unit_test(an_option_out_of_range_is_named_as_it_was_given),
                cmocka_unit_test(numbers_of_any_size_are_refused_and_not_wrapped),
                cmocka_unit_test(types_that_no_option_has_are_refused),
                cmocka_unit_test(an_option_given_twice_is_refused),
                cmocka_unit_test(a_dictionary_that_is_too_large_is_refused),
                cmocka_unit_test(arguments_of_another_signature_are_refused),
                cmocka_unit_test(root_sees_all_sessions),
                cmocka_unit_test(others_see_their_own_sessions),
                cmocka_unit_test(polkit_is_told_whose_session_it_is),
                cmocka_unit_test(what_polkit_does_not_allow_is_not_done),
                cmocka_unit_test(a_password_may_be_asked_for_when_the_caller_says_so),
                cmocka_unit_test(without_polkit_only_what_is_ones_own_is_allowed),
                cmocka_unit_test(calls_that_wait_are_limited),
                cmocka_unit_test(draining_takes_no_new_sessions),
                cmocka_unit_test(the_pool_has_another_size_within_its_bounds),
                cmocka_unit_test(a_session_that_has_ended_says_so),
                cmocka_unit_test(the_worker_goes_on_without_the_bus),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
