/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "base/text.h"

static void unsigned_takes_digits_only(void **state) {
        static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "one" };
        uint64_t n = 7;

        (void) state;
        assert_int_equal(parse_unsigned("0", &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(parse_unsigned("18446744073709551615", &n), 0);
        assert_true(n == UINT64_MAX);
        n = 7;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(parse_unsigned(bad[i], &n), -EINVAL);
        assert_int_equal(n, 7);
}

static void unsigned_tells_too_large_from_malformed(void **state) {
        uint64_t n;

        (void) state;
        assert_int_equal(parse_unsigned("18446744073709551616", &n), -ERANGE);
        assert_int_equal(parse_unsigned("99999999999999999999999x", &n), -EINVAL);
}

static void boolean_knows_eight_words(void **state) {
        bool b = false;

        (void) state;
        assert_int_equal(parse_boolean("yes", &b), 0);
        assert_true(b);
        assert_int_equal(parse_boolean("off", &b), 0);
        assert_false(b);
        assert_int_equal(parse_boolean("1", &b), 0);
        assert_true(b);
        assert_int_equal(parse_boolean("YES", &b), -EINVAL);
        assert_int_equal(parse_boolean("", &b), -EINVAL);
        assert_int_equal(parse_boolean("2", &b), -EINVAL);
}

static void size_steps_are_1024(void **state) {
        static const struct {
                const char *text;
                uint64_t bytes;
        } good[] = {
                { "0", 0 },
                { "1048576", MIB },
                { "512k", 512 * KIB },
                { "512M", 512 * MIB },
                { "1g", GIB },
                { "2GiB", 2 * GIB },
                { "2gib", 2 * GIB },
                { "3KB", 3 * KIB },
                { "7B", 7 },
                { "1T", UINT64_C(1) << 40 },
                { "15E", UINT64_C(15) << 60 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                uint64_t n = 1;
                assert_int_equal(parse_size(good[i].text, &n), 0);
                assert_true(n == good[i].bytes);
        }
}

static void size_refuses_other_forms(void **state) {
        static const char *const bad[] = { "", "k", "1.5g", "1 g", "512mm", "512i", "1iB", "-1", "1kibb", "1z" };
        uint64_t n = 0;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(parse_size(bad[i], &n), -EINVAL);
        assert_int_equal(parse_size("16E", &n), -ERANGE);
        assert_int_equal(parse_size("18446744073709551616", &n), -ERANGE);
        assert_int_equal(parse_size("18446744073709551616x", &n), -EINVAL);
}

static void duration_adds_its_parts(void **state) {
        static const struct {
                const char *text;
                usec_t usec;
        } good[] = {
                { "0", 0 },
                { "90", 90 * USEC_PER_SEC },
                { "1.5", 1500 * USEC_PER_MSEC },
                { "1.5s", 1500 * USEC_PER_MSEC },
                { "90s", 90 * USEC_PER_SEC },
                { "15min", 900 * USEC_PER_SEC },
                { "1h", 3600 * USEC_PER_SEC },
                { "1h 30min", 5400 * USEC_PER_SEC },
                { "1h30min", 5400 * USEC_PER_SEC },
                { "0.5h", 1800 * USEC_PER_SEC },
                { "500ms", 500 * USEC_PER_MSEC },
                { "250us", 250 },
                { "0.1us", 0 },
                { "1d", 86400 * USEC_PER_SEC },
                { "2w", 14 * 86400 * USEC_PER_SEC },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                usec_t n = 1;
                assert_int_equal(parse_duration(good[i].text, &n), 0);
                assert_true(n == good[i].usec);
        }
}

static void duration_refuses_other_forms(void **state) {
        static const char *const bad[] = { "", " 1s", "1s ", "s", "1 s", "1h 30", "30 1h", "1.s", ".5s", "1..5s",
                "1.5.5s", "1x", "1m", "1S", "-1s", "infinity", "1.0000000001s" };
        usec_t n = 0;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(parse_duration(bad[i], &n), -EINVAL);
}

static void duration_that_overflows_is_out_of_range(void **state) {
        usec_t n = 0;

        (void) state;
        assert_int_equal(parse_duration("18446744073709551615us", &n), -ERANGE); /* that would be infinity */
        assert_int_equal(parse_duration("30500568905w", &n), -ERANGE);
        assert_int_equal(parse_duration("18446744073709551614us 2us", &n), -ERANGE);
        assert_int_equal(parse_duration("99999999999999999999s", &n), -ERANGE);
        assert_int_equal(parse_duration("99999999999999999999s x", &n), -EINVAL);
}

static void cpu_quota_is_a_share_or_microseconds(void **state) {
        uint32_t n = 0;

        (void) state;
        assert_int_equal(parse_cpu_quota("50%", &n), 0);
        assert_int_equal(n, 50000);
        assert_int_equal(parse_cpu_quota("200%", &n), 0);
        assert_int_equal(n, 200000);
        assert_int_equal(parse_cpu_quota("50000", &n), 0);
        assert_int_equal(n, 50000);
        assert_int_equal(parse_cpu_quota("50 %", &n), -EINVAL);
        assert_int_equal(parse_cpu_quota("%", &n), -EINVAL);
        assert_int_equal(parse_cpu_quota("", &n), -EINVAL);
        assert_int_equal(parse_cpu_quota("50%%", &n), -EINVAL);
        assert_int_equal(parse_cpu_quota("4294967296", &n), -ERANGE);
        assert_int_equal(parse_cpu_quota("18446744073709551615%", &n), -ERANGE);
}

static void timestamp_is_rfc_3339(void **state) {
        char buf[TIMESTAMP_MAX];

        (void) state;
        assert_string_equal(format_timestamp(0, buf), "1970-01-01T00:00:00.000Z");
        assert_string_equal(format_timestamp(UINT64_C(1709164799999999), buf), "2024-02-28T23:59:59.999Z");
        assert_string_equal(format_timestamp(UINT64_C(1709164800001000), buf), "2024-02-29T00:00:00.001Z");
        assert_string_equal(format_timestamp(USEC_INFINITY, buf), "9999-12-31T23:59:59.999Z");
}

static void digits_have_a_least_width(void **state) {
        static const struct {
                uint64_t value;
                unsigned width;
                const char *text;
        } cases[] = {
                { 0, 0, "0" },
                { 0, 1, "0" },
                { 7, 3, "007" },
                { 999, 3, "999" },
                { 1000, 3, "1000" },
                { UINT64_MAX, 1, "18446744073709551615" },
        };
        char buf[32];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *end = put_digits(buf, cases[i].value, cases[i].width);
                assert_string_equal(buf, cases[i].text);
                assert_ptr_equal(end, buf + strlen(buf));
        }
}

static void id_is_short_and_of_few_characters(void **state) {
        char text[ID_MAX + 2];

        (void) state;
        memset(text, 'a', sizeof text);
        text[ID_MAX] = '\0';
        assert_true(id_is_valid(text));
        assert_true(id_is_valid("worker-1"));
        text[ID_MAX] = 'a';
        text[ID_MAX + 1] = '\0';
        assert_false(id_is_valid(text));
        assert_false(id_is_valid(""));
        assert_false(id_is_valid("Worker"));
        assert_false(id_is_valid("a/b"));
        assert_false(id_is_valid("a.b"));
        assert_false(id_is_valid("\xC3\xA4"));
}

static void uuid_is_an_id_and_differs(void **state) {
        char a[UUID_TEXT_MAX], b[UUID_TEXT_MAX];

        (void) state;
        uuid_make(a);
        uuid_make(b);
        assert_int_equal(strlen(a), 36);
        assert_true(id_is_valid(a));
        assert_string_not_equal(a, b);
        assert_int_equal(a[14], '4'); /* random, not made of time and card address */
}

#define TEXT(s) (s), sizeof(s) - 1

static void utf8_takes_characters_of_every_length(void **state) {
        (void) state;
        assert_true(utf8_is_valid(TEXT("")));
        assert_true(utf8_is_valid(TEXT("plain text, longer than a word")));
        assert_true(utf8_is_valid(TEXT("a\0b")));
        assert_true(utf8_is_valid(TEXT("\xC2\x80 \xDF\xBF")));
        assert_true(utf8_is_valid(TEXT("\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF")));
        assert_true(utf8_is_valid(TEXT("\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF")));
}

static void utf8_refuses_what_is_no_character(void **state) {
        (void) state;
        assert_false(utf8_is_valid(TEXT("\x80")));
        assert_false(utf8_is_valid(TEXT("\xC0\x80")));         /* NUL, too long */
        assert_false(utf8_is_valid(TEXT("\xE0\x9F\xBF")));     /* too long */
        assert_false(utf8_is_valid(TEXT("\xED\xA0\x80")));     /* surrogate */
        assert_false(utf8_is_valid(TEXT("\xF0\x8F\xBF\xBF"))); /* too long */
        assert_false(utf8_is_valid(TEXT("\xF4\x90\x80\x80"))); /* above U+10FFFF */
        assert_false(utf8_is_valid(TEXT("\xF5\x80\x80\x80")));
        assert_false(utf8_is_valid(TEXT("\xFF")));
        assert_false(utf8_is_valid(TEXT("12345678\xE2\x82"))); /* cut off */
}

static void replaced(const char *bytes, size_t length, const char *expected) {
        size_t n;
        _cleanup_free_ char *text = utf8_replace(bytes, length, &n);

        assert_non_null(text);
        assert_int_equal(n, strlen(expected));
        assert_string_equal(text, expected);
}

#define R "\xEF\xBF\xBD"

static void replacement_is_one_for_each_maximal_part(void **state) {
        (void) state;
        replaced(TEXT("good \xE2\x82\xAC"), "good \xE2\x82\xAC");
        replaced(TEXT("a\xFFz"), "a" R "z");
        replaced(TEXT("\xE2\x82"), R);
        replaced(TEXT("\xE2\x82z"), R "z");
        replaced(TEXT("\xF0\x9F\x98"), R);
        replaced(TEXT("\xC0\x80"), R R);
        replaced(TEXT("\xED\xA0\x80"), R R R);
        replaced(TEXT("\xF4\x90\x80\x80"), R R R R);
        replaced(TEXT("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), R R R R "A");
}

static void replacement_keeps_nul(void **state) {
        size_t n;
        _cleanup_free_ char *text = utf8_replace("a\0b", 3, &n);

        (void) state;
        assert_int_equal(n, 3);
        assert_memory_equal(text, "a\0b", 4);
}

static void base64_is_that_of_rfc_4648(void **state) {
        static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
                { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xFB\xFF", "+/8=" } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                _cleanup_free_ char *text = base64_encode(pairs[i][0], strlen(pairs[i][0]));
                _cleanup_free_ void *bytes = NULL;
                size_t n;

                assert_string_equal(text, pairs[i][1]);
                assert_int_equal(base64_decode(text, strlen(text), &bytes, &n), 0);
                assert_int_equal(n, strlen(pairs[i][0]));
                assert_memory_equal(bytes, pairs[i][0], n);
        }
}

static void base64_has_one_form_for_each_value(void **state) {
        static const char *const bad[] = { "Z", "Zg",
                "Zg=", "Zg===", "=Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm 8=", "Zm8=\n", "Zg==Zg==", "Zm-_",
                "Zm9v\n" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                void *bytes = NULL;
                size_t n;

                assert_int_equal(base64_decode(bad[i], strlen(bad[i]), &bytes, &n), -EINVAL);
                assert_null(bytes);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(unsigned_takes_digits_only),
                cmocka_unit_test(unsigned_tells_too_large_from_malformed),
                cmocka_unit_test(boolean_knows_eight_words),
                cmocka_unit_test(size_steps_are_1024),
                cmocka_unit_test(size_refuses_other_forms),
                cmocka_unit_test(duration_adds_its_parts),
                cmocka_unit_test(duration_refuses_other_forms),
                cmocka_unit_test(duration_that_overflows_is_out_of_range),
                cmocka_unit_test(cpu_quota_is_a_share_or_microseconds),
                cmocka_unit_test(digits_have_a_least_width),
                cmocka_unit_test(timestamp_is_rfc_3339),
                cmocka_unit_test(id_is_short_and_of_few_characters),
                cmocka_unit_test(uuid_is_an_id_and_differs),
                cmocka_unit_test(utf8_takes_characters_of_every_length),
                cmocka_unit_test(utf8_refuses_what_is_no_character),
                cmocka_unit_test(replacement_is_one_for_each_maximal_part),
                cmocka_unit_test(replacement_keeps_nul),
                cmocka_unit_test(base64_is_that_of_rfc_4648),
                cmocka_unit_test(base64_has_one_form_for_each_value),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
