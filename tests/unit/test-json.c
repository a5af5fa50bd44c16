/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "spec/json-put.h"

static int read_text(const char *text, Error *error) {
        _cleanup_json_ json_t *j = NULL;

        return json_read_object(text, strlen(text), &j, error);
}

static void assert_malformed(const char *text, size_t length) {
        _cleanup_error_ Error error = { 0 };
        json_t *j = (json_t *) 1;

        assert_int_equal(json_read_object(text, length, &j, &error), -EBADMSG);
        assert_ptr_equal(j, (json_t *) 1); /* untouched */
        assert_int_equal(error.kind, ERROR_MALFORMED);
        assert_string_equal(error.field, "body");
        assert_non_null(error.detail);
}

static void test_object_is_read(void **state) {
        _cleanup_json_ json_t *j = NULL;
        const char *text = " \r\n\t{\"a\":{\"b\":[1,2.5,\"\xc3\xa9\",null,true]}} \n";

        (void) state;
        assert_int_equal(json_read_object(text, strlen(text), &j, NULL), 0);
        assert_int_equal(json_array_size(json_object_get(json_object_get(j, "a"), "b")), 5);
}

static void test_nothing_is_an_empty_object(void **state) {
        static const char *const texts[] = { "", " ", "\r\n\t  " };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_json_ json_t *j = NULL;
                assert_int_equal(json_read_object(texts[i], strlen(texts[i]), &j, NULL), 0);
                assert_int_equal(json_object_size(j), 0);
        }
}

static void test_what_is_no_object_is_refused(void **state) {
        static const char *const texts[] = {
                "[]",
                "\"x\"",
                "5",
                "null",
                "true",
                "{",
                "}",
                "{\"a\"}",
                "{\"a\":}",
                "{\"a\":1,}",
                "{}{}",
                "{} x",
                "{'a':1}",
                "{\"a\":01}",
                "{\"a\":+1}",
                "{\"a\":0x1}",
                "{\"a\":NaN}",
                "{\"a\":\"\n\"}",
                "{a:1}",
                "{\"a\":1",
                "{\"a\":9223372036854775808}",
                "{\"a\":1e999}",
                "{\"a\":\"\\ud800\"}",
                "{\"a\":\"\\x41\"}",
                "{\"a\":\"\xff\"}",
                "{\"a\":\"\xc0\x80\"}",
                "{\"a\":\"\xed\xa0\x80\"}",
                "\xef\xbb\xbf{}",
                "/* */{}",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_malformed(texts[i], strlen(texts[i]));
}

static void test_nul_is_refused(void **state) {
        _cleanup_error_ Error error = { 0 };

        (void) state;
        assert_int_equal(read_text("{\"a\":\"\\u0000\"}", &error), -EBADMSG);
        assert_string_equal(error.detail, "The body is not a JSON document that is accepted here: line 1, column 13: "
                                          "no text may have a NUL (\\u0000).");
        assert_malformed("{\"a\":\"\\u0000\"}", strlen("{\"a\":\"\\u0000\"}"));
        assert_malformed("{\"\\u0000\":1}", strlen("{\"\\u0000\":1}"));
        assert_malformed("{}\0", 3);
        assert_malformed("\0{}", 3);
        assert_malformed("{\"a\":\"b\0c\"}", 11);
}

static void test_a_member_twice_is_refused(void **state) {
        _cleanup_error_ Error error = { 0 };

        (void) state;
        assert_int_equal(read_text("{\"a\":1,\"a\":1}", &error), -EBADMSG);
        error_clear(&error);
        assert_int_equal(read_text("{\"a\":1,\"\\u0061\":2}", &error), -EBADMSG);
        error_clear(&error);
        assert_int_equal(read_text("{\"b\":{\"a\":1,\"a\":1}}", &error), -EBADMSG);
}

/* An object that holds arrays in arrays, @depth levels in all. */
static char *nested(unsigned depth) {
        char *text = malloc(2 * (size_t) depth + 16), *p = text;

        assert_non_null(text);
        p = stpcpy(p, "{\"a\":");
        memset(p, '[', depth - 1);
        p += depth - 1;
        memset(p, ']', depth - 1);
        p += depth - 1;
        (void) strcpy(p, depth > 1 ? "}" : "1}");
        return text;
}

static void test_32_levels_are_enough(void **state) {
        _cleanup_error_ Error error = { 0 };
        _cleanup_free_ char *most = nested(32), *more = nested(33), *far = nested(200000);

        (void) state;
        assert_int_equal(read_text(most, NULL), 0);
        assert_int_equal(read_text(more, &error), -EBADMSG);
        assert_string_equal(error.limit, "32 levels");
        error_clear(&error);
        assert_int_equal(read_text(far, &error), -EBADMSG);
        assert_string_equal(error.limit, "32 levels");
}

static void test_brackets_in_a_string_are_no_levels(void **state) {
        char text[256] = "{\"a\":\"\\\"\\\\", *p = text + strlen(text);

        (void) state;
        memset(p, '[', 100);
        (void) strcpy(p + 100, "\"}");
        assert_int_equal(read_text(text, NULL), 0);
}

/* --- tables --- */

typedef struct Target {
        char *text, *id;
        bool boolean;
        usec_t duration;
        uint64_t size;
        Limits limits;
} Target;

static const JsonField fields[] = {
        { "text", json_parse_text, offsetof(Target, text) },
        { "id", json_parse_id, offsetof(Target, id) },
        { "boolean", json_parse_boolean, offsetof(Target, boolean) },
        { "duration", json_parse_duration, offsetof(Target, duration) },
        { "size", json_parse_size, offsetof(Target, size) },
        { "memory", json_parse_limit_memory, offsetof(Target, limits) },
        { "cpu", json_parse_limit_cpu, offsetof(Target, limits) },
        { "pids", json_parse_limit_pids, offsetof(Target, limits) },
        { "disk", json_parse_limit_disk, offsetof(Target, limits) },
        { 0 },
};

static void target_clear(Target *t) {
        free(t->text);
        free(t->id);
}

/* Applies {"@name": @value}. */
static int apply(Target *t, const char *name, json_t *value, Error *error) {
        _cleanup_json_ json_t *object = json_object();

        assert_int_equal(json_object_set_new_nocheck(object, name, value), 0);
        return json_apply(object, fields, t, error);
}

static void assert_refused(const char *name, json_t *value, ErrorKind kind) {
        _cleanup_(target_clear) Target t = { .duration = 77, .size = 78, .boolean = true, .limits.memory = 79 };
        _cleanup_error_ Error error = { 0 };

        assert_int_equal(apply(&t, name, value, &error), -error_errno(kind));
        assert_int_equal(error.kind, kind);
        assert_string_equal(error.field, name);
        assert_null(t.text);
        assert_null(t.id);
        assert_true(t.boolean);
        assert_int_equal(t.duration, 77);
        assert_int_equal(t.size, 78);
        assert_int_equal(t.limits.memory, 79);
        assert_int_equal(t.limits.disk, 0);
        assert_int_equal(t.limits.cpu_quota, 0);
        assert_int_equal(t.limits.pids, 0);
}

static void test_unknown_member_is_named(void **state) {
        (void) state;
        assert_refused("tiemout", json_integer(1), ERROR_MALFORMED);
        assert_refused("Text", json_string("x"), ERROR_MALFORMED);
        assert_refused("text ", json_string("x"), ERROR_MALFORMED);
}

static void test_every_parser_refuses_other_types(void **state) {
        (void) state;
        for (const JsonField *f = fields; f->name; f++) {
                assert_refused(f->name, json_null(), ERROR_MALFORMED);
                assert_refused(f->name, json_array(), ERROR_MALFORMED);
                assert_refused(f->name, json_object(), ERROR_MALFORMED);
                if (f->parse != json_parse_boolean) {
                        assert_refused(f->name, json_true(), ERROR_MALFORMED);
                        assert_refused(f->name, json_false(), ERROR_MALFORMED);
                }
        }
        assert_refused("text", json_integer(1), ERROR_MALFORMED);
        assert_refused("id", json_integer(1), ERROR_MALFORMED);
        assert_refused("boolean", json_integer(1), ERROR_MALFORMED);
        assert_refused("boolean", json_string("yes"), ERROR_MALFORMED);
        assert_refused("size", json_real(1.0), ERROR_MALFORMED);
        assert_refused("memory", json_real(1e9), ERROR_MALFORMED);
        assert_refused("cpu", json_string("50%"), ERROR_MALFORMED);
        assert_refused("cpu", json_real(50000.0), ERROR_MALFORMED);
        assert_refused("pids", json_string("10"), ERROR_MALFORMED);
        assert_refused("pids", json_real(10.0), ERROR_MALFORMED);
}

static void test_text(void **state) {
        _cleanup_(target_clear) Target t = { 0 };
        _cleanup_free_ char *longest = malloc(64 * KIB + 2);

        (void) state;
        assert_int_equal(apply(&t, "text", json_string("a"), NULL), 0);
        assert_int_equal(apply(&t, "text", json_string("b\xc3\xa9"), NULL), 0); /* the former value is freed */
        assert_string_equal(t.text, "b\xc3\xa9");
        memset(longest, 'x', 64 * KIB + 1);
        longest[64 * KIB] = '\0';
        assert_int_equal(apply(&t, "text", json_string(longest), NULL), 0);
        longest[64 * KIB] = 'x';
        longest[64 * KIB + 1] = '\0';
        assert_refused("text", json_string(longest), ERROR_TOO_LARGE);
}

static void test_id(void **state) {
        static const char *const good[] = { "a", "Z", "0", ".", "-", "_", "..", "a.b-C_9" };
        static const char *const bad[] = { "", " ", "a b", "a/b", "\xc3\xa9", "a\n", "a\\", "a:b", "%41" };
        _cleanup_(target_clear) Target t = { 0 };
        char text[ID_MAX + 2];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(apply(&t, "id", json_string(good[i]), NULL), 0);
                assert_string_equal(t.id, good[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_refused("id", json_string(bad[i]), ERROR_INVALID_VALUE);
        memset(text, 'a', sizeof text);
        text[ID_MAX] = '\0';
        assert_int_equal(apply(&t, "id", json_string(text), NULL), 0);
        text[ID_MAX] = 'a';
        text[ID_MAX + 1] = '\0';
        assert_refused("id", json_string(text), ERROR_INVALID_VALUE);
}

static void test_boolean(void **state) {
        _cleanup_(target_clear) Target t = { 0 };

        (void) state;
        assert_int_equal(apply(&t, "boolean", json_true(), NULL), 0);
        assert_true(t.boolean);
        assert_int_equal(apply(&t, "boolean", json_false(), NULL), 0);
        assert_false(t.boolean);
}

static void test_duration(void **state) {
        _cleanup_(target_clear) Target t = { 0 };

        (void) state;
        assert_int_equal(apply(&t, "duration", json_integer(0), NULL), 0);
        assert_int_equal(t.duration, 0);
        assert_int_equal(apply(&t, "duration", json_integer(90), NULL), 0);
        assert_int_equal(t.duration, 90 * USEC_PER_SEC);
        assert_int_equal(apply(&t, "duration", json_real(0.25), NULL), 0);
        assert_int_equal(t.duration, 250 * USEC_PER_MSEC);
        assert_int_equal(apply(&t, "duration", json_string("15min"), NULL), 0);
        assert_int_equal(t.duration, 900 * USEC_PER_SEC);
        assert_int_equal(apply(&t, "duration", json_integer(1000000000), NULL), 0);
        /* for whoever has a limit to say which */
        assert_int_equal(apply(&t, "duration", json_integer(INT64_MAX), NULL), 0);
        assert_int_equal(t.duration, UINT64_C(1000000000) * USEC_PER_SEC);
        assert_int_equal(apply(&t, "duration", json_real(1e308), NULL), 0);
        assert_int_equal(t.duration, UINT64_C(1000000000) * USEC_PER_SEC);

        assert_refused("duration", json_integer(-1), ERROR_INVALID_VALUE);
        assert_refused("duration", json_real(-0.001), ERROR_INVALID_VALUE);
        assert_refused("duration", json_integer(INT64_MIN), ERROR_INVALID_VALUE);
        assert_refused("duration", json_string(""), ERROR_INVALID_VALUE);
        assert_refused("duration", json_string("soon"), ERROR_INVALID_VALUE);
        assert_refused("duration", json_string("-1s"), ERROR_INVALID_VALUE);
        assert_refused("duration", json_string("99999999999999999999s"), ERROR_INVALID_VALUE);
}

static void test_size(void **state) {
        _cleanup_(target_clear) Target t = { 0 };

        (void) state;
        assert_int_equal(apply(&t, "size", json_integer(0), NULL), 0);
        assert_int_equal(t.size, 0);
        assert_int_equal(apply(&t, "size", json_integer(INT64_MAX), NULL), 0);
        assert_int_equal(t.size, INT64_MAX);
        assert_int_equal(apply(&t, "size", json_string("512m"), NULL), 0);
        assert_int_equal(t.size, 512 * MIB);

        assert_refused("size", json_integer(-1), ERROR_INVALID_VALUE);
        assert_refused("size", json_string("-1"), ERROR_INVALID_VALUE);
        assert_refused("size", json_string("1x"), ERROR_INVALID_VALUE);
        assert_refused("size", json_string("99999999999999999999"), ERROR_INVALID_VALUE);
        assert_refused("size", json_string("16e"), ERROR_INVALID_VALUE);
}

static void test_limits_have_bounds(void **state) {
        static const struct {
                const char *name;
                int64_t min, max;
        } rows[] = {
                { "memory", LIMIT_MEMORY_MIN, LIMIT_MEMORY_MAX },
                { "disk", LIMIT_DISK_MIN, LIMIT_DISK_MAX },
                { "cpu", LIMIT_CPU_QUOTA_MIN, LIMIT_CPU_QUOTA_MAX },
                { "pids", LIMIT_PIDS_MIN, LIMIT_PIDS_MAX },
        };
        _cleanup_(target_clear) Target t = { 0 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                assert_int_equal(apply(&t, rows[i].name, json_integer(rows[i].min), NULL), 0);
                assert_int_equal(apply(&t, rows[i].name, json_integer(rows[i].max), NULL), 0);
                assert_refused(rows[i].name, json_integer(rows[i].min - 1), ERROR_INVALID_VALUE);
                assert_refused(rows[i].name, json_integer(rows[i].max + 1), ERROR_INVALID_VALUE);
                assert_refused(rows[i].name, json_integer(0), ERROR_INVALID_VALUE);
                assert_refused(rows[i].name, json_integer(-1), ERROR_INVALID_VALUE);
                assert_refused(rows[i].name, json_integer(INT64_MIN), ERROR_INVALID_VALUE);
                assert_refused(rows[i].name, json_integer(INT64_MAX), ERROR_INVALID_VALUE);
                /* what a cut to 32 bits would let through */
                assert_refused(rows[i].name, json_integer((INT64_C(1) << 46) + (INT64_C(1) << 32) + rows[i].min),
                        ERROR_INVALID_VALUE);
        }
        assert_int_equal(t.limits.memory, LIMIT_MEMORY_MAX);
        assert_int_equal(t.limits.disk, LIMIT_DISK_MAX);
        assert_int_equal(t.limits.cpu_quota, LIMIT_CPU_QUOTA_MAX);
        assert_int_equal(t.limits.pids, LIMIT_PIDS_MAX);
        assert_refused("cpu", json_integer((INT64_C(1) << 32) + 50000), ERROR_INVALID_VALUE);
        assert_refused("pids", json_integer((INT64_C(1) << 32) + 100), ERROR_INVALID_VALUE);
        assert_int_equal(apply(&t, "memory", json_string("64m"), NULL), 0);
        assert_int_equal(t.limits.memory, 64 * MIB);
}

/* As the library writes it. */
static void check_escaped(const char *bytes, size_t length) {
        _cleanup_json_ json_t *j = json_stringn(bytes, length);
        _cleanup_free_ char *wanted = json_dumps(j, JSON_ENCODE_ANY), *got = malloc(JSON_ESCAPED_MAX(length) + 1);

        assert_non_null(wanted);
        char *end = json_escape(bytes, length, got);
        assert_int_equal((size_t) (end - got), strlen(wanted) - 2);
        assert_memory_equal(got, wanted + 1, strlen(wanted) - 2);
}

static void test_escaped_text_is_what_the_library_writes(void **state) {
        static const char characters[] = "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
        char text[64];

        (void) state;
        check_escaped("", 0);
        check_escaped(characters, sizeof characters - 1);
        for (unsigned c = 1; c < 0x80; c++)
                for (size_t length = 1; length < 20; length++)
                        for (size_t at = 0; at < length; at++) {
                                memset(text, 'x', length);
                                text[at] = (char) c;
                                check_escaped(text, length);
                        }
        memset(text, '"', sizeof text);
        check_escaped(text, sizeof text);
        memset(text, 0x1f, sizeof text);
        memcpy(text + 10, characters, sizeof characters - 1);
        check_escaped(text, sizeof text);
        check_escaped("a\0b", 3);
}

static void test_members_written_by_hand_are_read_again(void **state) {
        static const struct {
                uint64_t value;
                unsigned digits;
                const char *wanted;
        } fractions[] = {
                { 0, 3, "0.0" },
                { 1, 3, "0.001" },
                { 10, 3, "0.01" },
                { 100, 3, "0.1" },
                { 1000, 3, "1.0" },
                { 1500, 3, "1.5" },
                { 1234567, 3, "1234.567" },
                { 250000, 6, "0.25" },
                { 7, 1, "0.7" },
                { UINT64_MAX, 3, "18446744073709551.615" },
        };
        static const char text[] = "a\0\"\x1f\xc3\xa4";
        char buf[256], wanted[64], *p;

        (void) state;
        p = json_put(buf, "raw", "[1]");
        p = json_put_text(p, "text", text, sizeof text - 1);
        p = json_put_number(p, "number", UINT64_MAX);
        p = json_put_boolean(p, "yes", true);
        p = json_put_boolean(p, "no", false);
        assert_int_equal(*p, '\0');
        assert_string_equal(buf,
                ",\"raw\":[1],\"text\":\"a\\u0000\\\"\\u001F\xc3\xa4\",\"number\":18446744073709551615,"
                "\"yes\":true,\"no\":false");
        for (size_t i = 0; i < ELEMENTSOF(fractions); i++) {
                p = json_put_fraction(buf, "f", fractions[i].value, fractions[i].digits);
                (void) snprintf(wanted, sizeof wanted, ",\"f\":%s", fractions[i].wanted);
                assert_string_equal(buf, wanted);
                assert_ptr_equal(p, buf + strlen(buf));
                assert_true(strlen(buf) <= 32 + 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escaped_text_is_what_the_library_writes),
                cmocka_unit_test(test_members_written_by_hand_are_read_again),
                cmocka_unit_test(test_object_is_read),
                cmocka_unit_test(test_nothing_is_an_empty_object),
                cmocka_unit_test(test_what_is_no_object_is_refused),
                cmocka_unit_test(test_nul_is_refused),
                cmocka_unit_test(test_a_member_twice_is_refused),
                cmocka_unit_test(test_32_levels_are_enough),
                cmocka_unit_test(test_brackets_in_a_string_are_no_levels),
                cmocka_unit_test(test_unknown_member_is_named),
                cmocka_unit_test(test_every_parser_refuses_other_types),
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_id),
                cmocka_unit_test(test_boolean),
                cmocka_unit_test(test_duration),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_limits_have_bounds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
