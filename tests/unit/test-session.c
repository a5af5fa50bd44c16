/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-fixture.h"

static void test_deadline(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        make(f, &(Request){ .timeout = 20 * USEC_PER_MSEC }, &o);
        RUN_UNTIL(f->event, session_count(f->manager) == 0);
        assert_ended(f, o.session->id, NULL, "expired");
        run_ready(f->event);
        assert_int_equal(f->backend->n_alive, 0);
        RUN_UNTIL(f->event, f->events[SESSION_EVENT_REMOVED] == 1);
        assert_int_equal(f->last_reason, SESSION_EXPIRED);
}

static void test_deadline_can_be_moved(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome later, sooner;

        make(f, &(Request){ .timeout = 20 * USEC_PER_MSEC }, &later);
        assert_int_equal(session_set_timeout(later.session, 3600 * USEC_PER_SEC), 0);
        make(f, &plain, &sooner);
        assert_int_equal(session_set_timeout(sooner.session, 40 * USEC_PER_MSEC), 0);
        RUN_UNTIL(f->event, session_count(f->manager) == 1);
        assert_false(later.session->ended);
        assert_true(sooner.session->ended);
}

static void test_pause_without_asking_stops_no_clock(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        f->backend->backend.can_freeze = true;
        make(f, &(Request){ .timeout = 30 * USEC_PER_MSEC }, &o);
        assert_int_equal(session_pause(o.session, false, NULL), 0);
        assert_string_equal(session_state_text(o.session), "paused");
        RUN_UNTIL(f->event, session_count(f->manager) == 0);
        assert_ended(f, o.session->id, NULL, "expired");
}

static void test_pause_can_stop_the_clock(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o, other;

        f->backend->backend.can_freeze = true;
        make(f, &(Request){ .timeout = 30 * USEC_PER_MSEC }, &o);
        make(f, &(Request){ .timeout = 90 * USEC_PER_MSEC }, &other);
        assert_int_equal(session_pause(o.session, true, NULL), 0);
        assert_int_equal(session_pause(o.session, true, NULL), -EBUSY);
        RUN_UNTIL(f->event, other.session->ended); /* its own time is over long since */
        assert_false(o.session->ended);
        assert_true(session_expires(o.session) > clock_realtime());
        assert_int_equal(session_resume(o.session), 0);
        assert_string_equal(session_state_text(o.session), "running");
        RUN_UNTIL(f->event, o.session->ended);
        assert_ended(f, o.session->id, NULL, "expired");
}

static void test_time_given_to_a_stopped_clock_begins_later(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o, other;

        f->backend->backend.can_freeze = true;
        make(f, &plain, &o);
        make(f, &(Request){ .timeout = 60 * USEC_PER_MSEC }, &other);
        assert_int_equal(session_pause(o.session, true, NULL), 0);
        assert_int_equal(session_set_timeout(o.session, 20 * USEC_PER_MSEC), 0);
        RUN_UNTIL(f->event, other.session->ended);
        assert_false(o.session->ended);
        assert_int_equal(session_resume(o.session), 0);
        RUN_UNTIL(f->event, o.session->ended);
}

static void test_pause_needs_control_groups(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        make(f, &plain, &o);
        assert_int_equal(session_pause(o.session, false, NULL), -EBUSY);
        assert_int_equal(session_resume(o.session), 0);
}

static void test_default_time_is_within_the_longest(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        f->settings.timeout_max = 60 * USEC_PER_SEC;
        session_manager_configure(f->manager, &f->settings);
        make(f, &plain, &o);
        assert_int_equal(o.session->timeout, 60 * USEC_PER_SEC);
}

static void test_ended_is_known_and_says_why(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b;

        make(f, &(Request){ .owner = "a" }, &a);
        make(f, &(Request){ .owner = "a" }, &b);
        session_end(a.session, SESSION_DELETED);
        session_end(a.session, SESSION_STOPPED); /* only the first counts */
        assert_ended(f, a.session->id, "a", "deleted");
        assert_ended(f, a.session->id, NULL, "deleted");
        assert_unknown(f, a.session->id, "b");
        session_end_all(f->manager, SESSION_STOPPED);
        assert_ended(f, b.session->id, "a", "stopped");
}

typedef struct Waiter {
        SessionEndWaiter waiter;
        unsigned n_told;
} Waiter;

static void on_told(SessionEndWaiter *w) {
        CONTAINER_OF(w, Waiter, waiter)->n_told++;
}

/* A program that waits for a broken device outlives SIGKILL: its place stays taken, but nobody has to wait for it. */
static void test_an_end_that_takes_for_ever_is_not_waited_for(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        Waiter first = { .waiter.ended = on_told }, second = { .waiter.ended = on_told };

        f->backend->automatic_end = false;
        make(f, &plain, &o);
        FakeSandbox *stuck = fake_sandbox_of(f->backend, o.session->sandbox);
        session_end(o.session, SESSION_DELETED);
        assert_true(session_wait_end(o.session, &first.waiter));
        assert_true(session_wait_end(o.session, &second.waiter));
        run_ready(f->event);
        assert_int_equal(first.n_told, 0);
        assert_true(sd_event_source_set_time_accuracy(o.session->deadline_source, 1) >= 0);
        assert_true(sd_event_source_set_time_relative(o.session->deadline_source, 0) >= 0);
        RUN_UNTIL(f->event, first.n_told > 0);
        assert_int_equal(second.n_told, 1);
        assert_int_equal(f->manager->n_ending, 1);
        fake_end(f->backend, stuck, 0);
        run_ready(f->event);
        assert_int_equal(f->manager->n_ending, 0);
        assert_int_equal(first.n_told + second.n_told, 2);
        assert_null(o.session->deadline_source);
        assert_false(session_wait_end(o.session, &first.waiter));
}

static void test_so_many_ends_are_remembered(void **state) {
        Fixture *f = *state;
        char first[UUID_TEXT_MAX], second[UUID_TEXT_MAX];

        use_pool(f, 8);
        for (unsigned i = 0; i <= ENDED_REMEMBERED; i++) {
                _cleanup_outcome_ Outcome o;
                make(f, &plain, &o);
                if (i < 2)
                        (void) strcpy(i == 0 ? first : second, o.session->id);
                session_end(o.session, SESSION_DELETED);
                run_ready(f->event);
        }
        assert_unknown(f, first, NULL);
        assert_ended(f, second, NULL, "deleted");
}

static void test_ids_that_are_none(void **state) {
        static const char *const ids[] = { "", "x", "..", "A", "a b", "a/b", "\xff" };
        Fixture *f = *state;
        char text[ID_MAX + 2];

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                assert_unknown(f, ids[i], NULL);
        memset(text, 'a', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        assert_unknown(f, text, NULL);
}

static void test_owners_see_their_own(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, none, c;
        Session *s;

        make(f, &(Request){ .owner = "a" }, &a);
        make(f, &(Request){ .owner = "b" }, &b);
        make(f, &plain, &none);
        make(f, &(Request){ .owner = "a" }, &c);
        assert_int_equal(session_find(f->manager, a.session->id, "a", &s, NULL), 0);
        assert_int_equal(session_find(f->manager, a.session->id, NULL, &s, NULL), 0);
        assert_unknown(f, a.session->id, "b");
        assert_unknown(f, a.session->id, "");
        assert_unknown(f, none.session->id, "a");

        s = session_next(f->manager, 0, "a");
        assert_ptr_equal(s, a.session);
        assert_ptr_equal(session_after(s, "a"), c.session);
        assert_null(session_after(c.session, "a"));
        assert_ptr_equal(session_next(f->manager, a.session->sequence, "a"), c.session);
        assert_null(session_next(f->manager, c.session->sequence, NULL));
        assert_null(session_next(f->manager, 0, "nobody"));

        s = session_next(f->manager, 0, NULL); /* all, in order of creation */
        assert_ptr_equal(s, a.session);
        assert_ptr_equal(s = session_after(s, NULL), b.session);
        assert_ptr_equal(s = session_after(s, NULL), none.session);
        assert_ptr_equal(session_after(s, NULL), c.session);
}

typedef struct EndTest {
        SessionEndWaiter waiter;
        unsigned n;
} EndTest;

static void on_ended(SessionEndWaiter *w) {
        CONTAINER_OF(w, EndTest, waiter)->n++;
}

static void test_the_end_is_told_when_nothing_runs(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        EndTest first = { .waiter.ended = on_ended }, second = { .waiter.ended = on_ended }, gone = first;

        f->backend->automatic_end = false;
        make(f, &plain, &o);
        session_end(o.session, SESSION_DELETED);
        assert_true(session_wait_end(o.session, &first.waiter));
        assert_true(session_wait_end(o.session, &second.waiter));
        assert_true(session_wait_end(o.session, &gone.waiter));
        session_end_waiter_cancel(&gone.waiter);
        run_ready(f->event);
        assert_int_equal(first.n, 0);
        fake_end(f->backend, fake_sandbox(f->backend, 0), 0);
        assert_int_equal(first.n, 1);
        assert_int_equal(second.n, 1);
        assert_int_equal(gone.n, 0);
        assert_false(session_wait_end(o.session, &first.waiter)); /* that is so already */
}

/* Process 1 has said so and is not gone yet: its place is not free. */
static void test_the_end_is_told_before_its_place_is_free(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        EndTest test = { .waiter.ended = on_ended };

        f->backend->automatic_end = false;
        make(f, &plain, &o);
        session_end(o.session, SESSION_DELETED);
        assert_true(session_wait_end(o.session, &test.waiter));
        sandbox_set_state(o.session->sandbox, SANDBOX_EMPTY);
        assert_int_equal(test.n, 1);
        assert_null(o.session->deadline_source);
        assert_false(session_wait_end(o.session, &test.waiter));
        assert_int_equal(f->manager->n_ending, 1);
        assert_int_equal(f->manager->n_empty, 1);
        fake_end(f->backend, fake_sandbox(f->backend, 0), 0);
        assert_int_equal(test.n, 1);
        assert_int_equal(f->manager->n_ending, 0);
        assert_int_equal(f->manager->n_empty, 0);
}

static void test_description(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        make(f, &(Request){ .key = "k", .timeout = 60 * USEC_PER_SEC }, &o);
        _cleanup_json_ json_t *j = session_describe(o.session, "worker1", false);
        assert_string_equal(json_string_value(json_object_get(j, "session_id")), o.session->id);
        assert_string_equal(json_string_value(json_object_get(j, "worker_id")), "worker1");
        assert_string_equal(json_string_value(json_object_get(j, "state")), "running");
        assert_string_equal(json_string_value(json_object_get(j, "key")), "k");
        assert_string_equal(json_string_value(json_object_get(j, "user")), SANDBOX_USER);
        assert_int_equal(json_number_value(json_object_get(j, "timeout")), 60);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "limits"), "memory_limit")), 512 * MIB);
        assert_true(json_is_object(json_object_get(j, "metadata")));
        assert_null(json_object_get(j, "env")); /* may hold secrets */
}

/* Written by hand, and byte by byte what the library writes. */
static void test_description_as_text(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        make(f, &(Request){ .key = "k", .timeout = 1500 * USEC_PER_MSEC }, &o);
        free(o.session->owner);
        o.session->owner = strdup("a \"quoted\" \x01 own\xc3\xa9r\\");
        assert_non_null(o.session->owner);
        _cleanup_json_ json_t *metadata = json_pack("{ss s[if]}", "a", "\"\n/", "b", 1, 0.1);
        session_set_metadata(o.session, metadata);
        _cleanup_free_ char *text = session_describe_text(o.session, "worker1", true);
        _cleanup_json_ json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(j);
        _cleanup_free_ char *again = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(15));
        assert_string_equal(again, text);
        assert_string_equal(json_string_value(json_object_get(j, "owner")), o.session->owner);
        assert_true(json_is_true(json_object_get(j, "attached")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_deadline),
                TEST(test_deadline_can_be_moved),
                TEST(test_pause_without_asking_stops_no_clock),
                TEST(test_pause_can_stop_the_clock),
                TEST(test_time_given_to_a_stopped_clock_begins_later),
                TEST(test_pause_needs_control_groups),
                TEST(test_default_time_is_within_the_longest),
                TEST(test_ended_is_known_and_says_why),
                TEST(test_an_end_that_takes_for_ever_is_not_waited_for),
                TEST(test_so_many_ends_are_remembered),
                TEST(test_ids_that_are_none),
                TEST(test_owners_see_their_own),
                TEST(test_the_end_is_told_when_nothing_runs),
                TEST(test_the_end_is_told_before_its_place_is_free),
                TEST(test_description),
                TEST(test_description_as_text),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
