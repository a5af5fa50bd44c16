/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "session/capture.h"

static void capture_done(Capture *c) {
        c->max = 0;
        capture_clear(c);
}
#define _cleanup_capture_ _cleanup_(capture_done)

static void add(Capture *c, const char *text) {
        assert_int_equal(capture_add(c, text, strlen(text)), 0);
}

static void assert_kept(const Capture *c, const char *wanted, uint64_t total) {
        size_t length;
        _cleanup_free_ char *text = capture_join(c, &length);

        assert_non_null(text);
        assert_int_equal(length, strlen(wanted));
        assert_int_equal(text[length], '\0');
        assert_string_equal(text, wanted);
        assert_int_equal(c->total, total);
        assert_int_equal(capture_is_truncated(c), total > c->max);
}

static void test_nothing(void **state) {
        _cleanup_capture_ Capture c = { .max = 10 };

        (void) state;
        assert_kept(&c, "", 0);
        add(&c, "");
        assert_kept(&c, "", 0);
}

static void test_what_fits_is_kept(void **state) {
        _cleanup_capture_ Capture c = { .max = 10 };

        (void) state;
        add(&c, "abc");
        assert_kept(&c, "abc", 3);
        add(&c, "defghij");
        assert_kept(&c, "abcdefghij", 10);
}

static void test_head_and_tail_are_kept(void **state) {
        _cleanup_capture_ Capture c = { .max = 6 };

        (void) state;
        add(&c, "abcdef");
        assert_kept(&c, "abcdef", 6);
        add(&c, "g");
        assert_kept(&c, "abcefg", 7);
        add(&c, "hi");
        assert_kept(&c, "abcghi", 9);
        add(&c, "jkl");
        assert_kept(&c, "abcjkl", 12);
}

static void test_head_has_the_odd_byte(void **state) {
        _cleanup_capture_ Capture c = { .max = 5 };

        (void) state;
        add(&c, "abcdefgh");
        assert_kept(&c, "abcgh", 8);
}

static void test_tiny_limits(void **state) {
        _cleanup_capture_ Capture none = { .max = 0 }, one = { .max = 1 }, two = { .max = 2 };

        (void) state;
        add(&none, "abc");
        assert_kept(&none, "", 3);
        add(&one, "abc");
        add(&one, "def");
        assert_kept(&one, "a", 6);
        add(&two, "abc");
        assert_kept(&two, "ac", 3);
}

static void test_one_piece_longer_than_everything(void **state) {
        _cleanup_capture_ Capture c = { .max = 4 };

        (void) state;
        add(&c, "0123456789");
        assert_kept(&c, "0189", 10);
        add(&c, "abcdefghij");
        assert_kept(&c, "01ij", 20);
}

static void test_nul_bytes_are_kept(void **state) {
        _cleanup_capture_ Capture c = { .max = 8 };
        size_t length;

        (void) state;
        assert_int_equal(capture_add(&c, "a\0b\0", 4), 0);
        _cleanup_free_ char *text = capture_join(&c, &length);
        assert_int_equal(length, 4);
        assert_memory_equal(text, "a\0b\0", 5);
}

/* Against a simple model: all limits up to 20, pieces of all lengths up to 7, 60 bytes in all. */
static void test_all_boundaries(void **state) {
        static const char source[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

        (void) state;
        for (size_t max = 0; max <= 20; max++)
                for (size_t step = 1; step <= 7; step++) {
                        _cleanup_capture_ Capture c = { .max = max };
                        for (size_t total = 0; total + step <= 60;) {
                                char wanted[sizeof source];
                                assert_int_equal(capture_add(&c, source + total, step), 0);
                                total += step;
                                size_t head = MIN(total, max - max / 2), tail = MIN(total - head, max / 2);
                                memcpy(wanted, source, head);
                                memcpy(wanted + head, source + total - tail, tail);
                                wanted[head + tail] = '\0';
                                assert_kept(&c, wanted, total);
                        }
                }
}

static void test_memory_grows_with_what_is_kept(void **state) {
        _cleanup_capture_ Capture c = { .max = 64 * MIB };
        char piece[1024];

        (void) state;
        memset(piece, 'x', sizeof piece);
        assert_int_equal(capture_add(&c, piece, sizeof piece), 0);
        assert_true(c.head_size <= 64 * KIB);
        assert_null(c.tail);
        for (unsigned i = 1; i < 1024; i++)
                assert_int_equal(capture_add(&c, piece, sizeof piece), 0);
        assert_int_equal(c.head_used, MIB);
        assert_true(c.head_size <= 2 * MIB);
        assert_false(capture_is_truncated(&c));
}

static void test_large_pieces(void **state) {
        _cleanup_capture_ Capture c = { .max = 100000 };
        _cleanup_free_ char *piece = malloc(65536), *text = NULL;
        size_t length;

        (void) state;
        for (unsigned i = 0; i < 10; i++) {
                memset(piece, 'a' + (int) i, 65536);
                assert_int_equal(capture_add(&c, piece, 65536), 0);
        }
        text = capture_join(&c, &length);
        assert_int_equal(length, 100000);
        for (size_t i = 0; i < 50000; i++)
                assert_int_equal(text[i], 'a');
        for (size_t i = 50000; i < 100000; i++)
                assert_int_equal(text[i], 'j');
        assert_int_equal(c.total, 655360);
}

static void test_clear_keeps_the_limit(void **state) {
        _cleanup_capture_ Capture c = { .max = 4 };

        (void) state;
        add(&c, "abcdef");
        capture_clear(&c);
        assert_kept(&c, "", 0);
        add(&c, "xyz");
        assert_kept(&c, "xyz", 3);
        assert_int_equal(c.max, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_what_fits_is_kept),
                cmocka_unit_test(test_head_and_tail_are_kept),
                cmocka_unit_test(test_head_has_the_odd_byte),
                cmocka_unit_test(test_tiny_limits),
                cmocka_unit_test(test_one_piece_longer_than_everything),
                cmocka_unit_test(test_nul_bytes_are_kept),
                cmocka_unit_test(test_all_boundaries),
                cmocka_unit_test(test_memory_grows_with_what_is_kept),
                cmocka_unit_test(test_large_pieces),
                cmocka_unit_test(test_clear_keeps_the_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
