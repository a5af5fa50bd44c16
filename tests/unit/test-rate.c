/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "http/rate.h"

static const Rate ten = { 10, USEC_PER_SEC }, three = { 3, 60 * USEC_PER_SEC };

static usec_t shifted;

static void pass(usec_t usec) {
        shifted += usec;
        clock_shift_for_test(shifted);
}

static int setup(void **state) {
        return rate_limiter_new((RateLimiter **) state);
}

static int teardown(void **state) {
        (void) rate_limiter_free(*state);
        return 0;
}

static int take(RateLimiter *l, const Rate *rate, const char *name, unsigned *ret_retry) {
        _cleanup_error_ Error e = { 0 };
        int r = rate_limiter_take_key(l, rate, name, &e);

        if (ret_retry)
                *ret_retry = e.retry_after;
        assert_true(r == 0 || (r == -EDQUOT && e.kind == ERROR_QUOTA && e.retry_after > 0));
        return r;
}

static unsigned take_all(RateLimiter *l, const Rate *rate, const char *name) {
        unsigned n = 0;

        while (n < 1000 && take(l, rate, name, NULL) == 0)
                n++;
        return n;
}

static void as_many_as_allowed_come_at_once(void **state) {
        unsigned n = take_all(*state, &three, "a");

        assert_int_equal(n, 3);
        assert_int_equal(take_all(*state, &three, "b"), 3); /* another key */
}

static void tokens_come_back_evenly(void **state) {
        unsigned retry;

        assert_int_equal(take_all(*state, &three, "a"), 3);
        assert_int_equal(take(*state, &three, "a", &retry), -EDQUOT);
        assert_in_range(retry, 19, 20);
        pass(10 * USEC_PER_SEC);
        assert_int_equal(take(*state, &three, "a", &retry), -EDQUOT);
        assert_in_range(retry, 9, 10);
        pass(retry * USEC_PER_SEC); /* who comes when he was told to is let in */
        assert_int_equal(take(*state, &three, "a", NULL), 0);
        assert_int_equal(take(*state, &three, "a", NULL), -EDQUOT);
        pass(3600 * USEC_PER_SEC);
        assert_int_equal(take_all(*state, &three, "a"), 3); /* no more than the bucket holds */
}

static void those_refused_do_not_count(void **state) {
        (void) take_all(*state, &ten, "a");
        for (unsigned i = 0; i < 1000; i++)
                (void) take(*state, &ten, "a", NULL);
        pass(USEC_PER_SEC + 1000);
        assert_true(take_all(*state, &ten, "a") >= 10);
}

static void nobody_and_no_limit_are_let_through(void **state) {
        static const Rate none = { 0 };
        _cleanup_error_ Error e = { 0 };

        assert_int_equal(take_all(*state, &none, "a"), 1000);
        assert_int_equal(take_all(*state, &ten, ""), 1000);
        assert_int_equal(rate_limiter_take_key(*state, &ten, NULL, &e), 0);
        assert_int_equal(rate_limiter_take_address(*state, &ten, "", &e), 0);
        assert_int_equal(rate_limiter_n(*state), 0);
}

static unsigned take_addresses(RateLimiter *l, const char *address) {
        unsigned n = 0;

        for (; n < 1000; n++) {
                _cleanup_error_ Error e = { 0 };
                if (rate_limiter_take_address(l, &three, address, &e) < 0)
                        break;
        }
        return n;
}

static void addresses_have_buckets_of_their_own(void **state) {
        assert_int_equal(take_addresses(*state, "192.0.2.1"), 3);
        assert_int_equal(take_addresses(*state, "192.0.2.2"), 3);
        assert_int_equal(take_all(*state, &three, "192.0.2.1"), 3); /* a key of that name */
}

static void addresses_of_one_network_share(void **state) {
        assert_int_equal(take_addresses(*state, "2001:db8::1"), 3);
        assert_int_equal(take_addresses(*state, "2001:db8::ffff:1"), 0);
        assert_int_equal(take_addresses(*state, "2001:db8:0:1::1"), 3);
}

static void buckets_are_bounded(void **state) {
        char name[32];

        assert_int_equal(take_all(*state, &three, "last used"), 3);
        for (unsigned i = 0; i < RATE_BUCKETS_MAX + 1000; i++) {
                (void) snprintf(name, sizeof name, "k%u", i);
                (void) take(*state, &three, name, NULL);
                if (i % 1000 == 0) /* is used, so it stays */
                        assert_int_equal(take(*state, &three, "last used", NULL), -EDQUOT);
        }
        assert_int_equal(rate_limiter_n(*state), RATE_BUCKETS_MAX);
        pass(3600 * USEC_PER_SEC);
        for (unsigned i = 0; i < RATE_BUCKETS_MAX; i++)
                (void) take(*state, &three, i % 2 ? "x" : "y", NULL);
        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(name, sizeof name, "n%u", i);
                (void) take(*state, &three, name, NULL);
        }
        assert_true(rate_limiter_n(*state) < RATE_BUCKETS_MAX); /* full ones are forgotten */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(as_many_as_allowed_come_at_once),
                TEST(tokens_come_back_evenly),
                TEST(those_refused_do_not_count),
                TEST(nobody_and_no_limit_are_let_through),
                TEST(addresses_have_buckets_of_their_own),
                TEST(addresses_of_one_network_share),
                TEST(buckets_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
