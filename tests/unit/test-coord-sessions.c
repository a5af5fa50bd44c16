/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>

#include "coord/sessions.h"

#define FAR (UINT64_MAX / 2)

static int setup(void **state) {
        return sessions_new(1000000, (Sessions **) state);
}

static int teardown(void **state) {
        *state = sessions_free(*state);
        return 0;
}

static KnownSession *put(Sessions *s, unsigned n, const char *key, usec_t created) {
        KnownSession *k = NULL;
        char id[32];

        (void) snprintf(id, sizeof id, "session-%u", n);
        assert_int_equal(sessions_put(s, id, NULL, "owner", key, created, FAR, &k), 0);
        return k;
}

static void test_newest_of_key(void **state) {
        Sessions *s = *state;
        KnownSession *old = put(s, 1, "key", 100), *new = put(s, 2, "key", 200), *between = put(s, 3, "key", 150);

        assert_ptr_equal(sessions_find_key(s, "owner", "key"), new);
        assert_null(sessions_find_key(s, "other", "key"));
        assert_null(sessions_find_key(s, "owner", "other"));
        sessions_set_lost(new);
        assert_ptr_equal(sessions_find_key(s, "owner", "key"), between);
        sessions_drop(between);
        assert_ptr_equal(sessions_find_key(s, "owner", "key"), old);
        sessions_set_lost(old); /* of those that were given up the newest, too */
        assert_ptr_equal(sessions_find_key(s, "owner", "key"), new);
        sessions_drop(new);
        sessions_drop(old);
        assert_null(sessions_find_key(s, "owner", "key"));
}

/* Nor that others' are forgotten for its own. */
static void test_many_of_worker(void **state) {
        Worker liar = { 0 }, other = { 0 };
        Sessions *s;
        char id[32];

        (void) state;
        TAILQ_INIT(&liar.sessions);
        TAILQ_INIT(&other.sessions);
        assert_int_equal(sessions_new(100, &s), 0);
        for (unsigned i = 0; i < 30; i++) {
                (void) snprintf(id, sizeof id, "other-%u", i);
                assert_int_equal(sessions_put(s, id, &other, NULL, NULL, 1, FAR, NULL), 0);
        }
        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(id, sizeof id, "liar-%u", i);
                assert_int_equal(sessions_put(s, id, &liar, NULL, NULL, 1, FAR, NULL), 0);
        }
        assert_int_equal(sessions_total(s), 100);
        assert_int_equal(other.n_sessions, 30);
        assert_null(sessions_find(s, "liar-929"));
        assert_non_null(sessions_find(s, "liar-930"));
        for (unsigned i = 30; i < 100; i++) { /* of those that are too many the oldest makes room */
                (void) snprintf(id, sizeof id, "other-%u", i);
                assert_int_equal(sessions_put(s, id, &other, NULL, NULL, 1, FAR, NULL), 0);
        }
        assert_int_equal(sessions_total(s), 100);
        assert_non_null(sessions_find(s, "other-99"));
        s = sessions_free(s);
}

/* A worker may say that any number of sessions has one key: no request pays for that, and all end as others do. */
static void test_many_of_key(void **state) {
        Sessions *s = *state;
        usec_t started;

        put(s, 1, "key", 500);
        for (unsigned i = 0; i < 100000; i++)
                put(s, 10 + i, "key", 1 + i % 400);
        KnownSession *lost = put(s, 2, "key", 600);
        sessions_set_lost(lost);
        started = clock_monotonic();
        for (unsigned i = 0; i < 100000; i++)
                assert_string_equal(sessions_find_key(s, "owner", "key")->id, "session-1");
        assert_true(clock_monotonic() - started < 10 * USEC_PER_SEC); /* by a list of all it took minutes */
        assert_int_equal(sessions_total(s), 100002);
        sessions_drop(sessions_find(s, "session-1"));
        while (sessions_find_key(s, "owner", "key"))
                sessions_drop(sessions_find_key(s, "owner", "key"));
        sessions_expire(s, FAR + 1);
        assert_int_equal(sessions_total(s), 0);
        assert_int_equal(sessions_count(s, "owner"), 0);
}

static void test_many_keys(void **state) {
        Sessions *s = *state;
        char key[32];

        for (unsigned i = 0; i < 100000; i++) {
                (void) snprintf(key, sizeof key, "key-%u", i);
                put(s, i, key, 1);
        }
        for (unsigned i = 0; i < 100000; i += 7) {
                (void) snprintf(key, sizeof key, "key-%u", i);
                KnownSession *k = sessions_find_key(s, "owner", key);
                assert_non_null(k);
                sessions_drop(k);
                assert_null(sessions_find_key(s, "owner", key));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_newest_of_key, setup, teardown),
                cmocka_unit_test(test_many_of_worker),
                cmocka_unit_test_setup_teardown(test_many_of_key, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_keys, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
