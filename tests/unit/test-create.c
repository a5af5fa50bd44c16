/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "spec/create.h"

#define TIMEOUT_MAX (3600 * USEC_PER_SEC)

static int create(CreateSpec *c, const char *text, Error *error) {
        return create_spec_read(c, text, strlen(text), TIMEOUT_MAX, error);
}

static void assert_refused(const char *text, ErrorKind kind, const char *field) {
        _cleanup_create_spec_ CreateSpec c = { 0 };
        _cleanup_error_ Error error = { 0 };

        int r = create(&c, text, &error);
        if (r >= 0 || error.kind != kind || strcmp(error.field, field) != 0)
                fail_msg("%.200s: %d, kind %d, field \"%s\"", text, r, (int) error.kind, error.field);
        assert_int_equal(r, -error_errno(kind));
        assert_non_null(error.detail);
}

static void test_empty_body_keeps_the_defaults(void **state) {
        static const char *const texts[] = { "", " ", "{}" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_create_spec_ CreateSpec c = { .limits = { 1, 2, 3, 4 } };
                assert_int_equal(create(&c, texts[i], NULL), 0);
                assert_null(c.key);
                assert_null(c.image);
                assert_null(c.env);
                assert_null(c.metadata);
                assert_int_equal(c.timeout, 0);
                assert_int_equal(c.wait, 0);
                assert_int_equal(c.limits.memory, 1);
                assert_int_equal(c.limits.disk, 2);
                assert_int_equal(c.limits.cpu_quota, 3);
                assert_int_equal(c.limits.pids, 4);
        }
}

static void test_all_members(void **state) {
        _cleanup_create_spec_ CreateSpec c = { .limits = { 1, 2, 3, 4 } };

        (void) state;
        assert_int_equal(create(&c,
                                 "{\"key\":\"k\",\"image\":\"base\",\"timeout\":90,\"env\":{\"A\":\"1\"},"
                                 "\"metadata\":{\"a/b\":\"x\"},\"memory_limit\":\"64m\",\"cpu_quota\":50000,"
                                 "\"pids_limit\":10,\"disk_limit\":\"2m\",\"network\":\"none\",\"wait\":\"2s\"}",
                                 NULL),
                0);
        assert_string_equal(c.key, "k");
        assert_string_equal(c.image, "base");
        assert_int_equal(c.timeout, 90 * USEC_PER_SEC);
        assert_int_equal(c.wait, 2 * USEC_PER_SEC);
        assert_string_equal(json_string_value(json_object_get(c.env, "A")), "1");
        assert_string_equal(json_string_value(json_object_get(c.metadata, "a/b")), "x");
        assert_int_equal(c.limits.memory, 64 * MIB);
        assert_int_equal(c.limits.disk, 2 * MIB);
        assert_int_equal(c.limits.cpu_quota, 50000);
        assert_int_equal(c.limits.pids, 10);
}

static void test_unknown_member(void **state) {
        (void) state;
        assert_refused("{\"tiemout\":5}", ERROR_MALFORMED, "tiemout");
        assert_refused("{\"session_id\":\"x\"}", ERROR_MALFORMED, "session_id");
}

static void test_timeout_is_bounded(void **state) {
        static const char *const good[] = { "1", "3600", "\"1h\"", "1.5" };
        static const char *const bad[] = { "0", "0.999", "3600.001", "-1", "\"2h\"", "\"0s\"", "1e9" };
        char text[64];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_create_spec_ CreateSpec c = { 0 };
                (void) snprintf(text, sizeof text, "{\"timeout\":%s}", good[i]);
                assert_int_equal(create(&c, text, NULL), 0);
                assert_true(c.timeout >= USEC_PER_SEC && c.timeout <= TIMEOUT_MAX);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_create_spec_ CreateSpec c = { 0 };
                _cleanup_error_ Error error = { 0 };
                (void) snprintf(text, sizeof text, "{\"timeout\":%s}", bad[i]);
                assert_refused(text, ERROR_INVALID_VALUE, "timeout");
                /* whatever is wrong with it, a limit that holds is told */
                assert_true(create(&c, text, &error) < 0);
                assert_string_equal(error.limit, bad[i][0] == '-' ? "0" : "1 to 3600 seconds");
                assert_string_equal(error.detail, bad[i][0] == '-' ? "\"timeout\" cannot be negative."
                                                                   : "\"timeout\" is out of range: 1 to 3600 seconds.");
        }
}

static void test_wait_is_bounded(void **state) {
        _cleanup_create_spec_ CreateSpec c = { 0 };

        (void) state;
        assert_int_equal(create(&c, "{\"wait\":300}", NULL), 0);
        assert_refused("{\"wait\":300.1}", ERROR_INVALID_VALUE, "wait");
        assert_refused("{\"wait\":-1}", ERROR_INVALID_VALUE, "wait");
}

static void test_image_names(void **state) {
        char text[300];

        (void) state;
        assert_refused("{\"image\":\"\"}", ERROR_INVALID_VALUE, "image");
        assert_refused("{\"image\":5}", ERROR_MALFORMED, "image");
        (void) snprintf(text, sizeof text, "{\"image\":\"%0*d\"}", (int) IMAGE_REF_MAX + 1, 0);
        assert_refused(text, ERROR_INVALID_VALUE, "image");
}

static void test_network(void **state) {
        (void) state;
        assert_refused("{\"network\":\"host\"}", ERROR_INVALID_VALUE, "network");
        assert_refused("{\"network\":{\"allow\":[]}}", ERROR_INVALID_VALUE, "network");
        assert_refused("{\"network\":null}", ERROR_INVALID_VALUE, "network");
}

/* --- objects of strings --- */

static int parse(JsonParse *parser, const char *name, json_t *object, Error *error) {
        _cleanup_json_ json_t *result = NULL;

        int r = parser(name, object, &result, error);
        assert_true(r < 0 ? result == NULL : result == object);
        json_decref(object);
        return r;
}

static void assert_object_refused(
        JsonParse *parser, const char *name, json_t *object, ErrorKind kind, const char *field) {
        _cleanup_error_ Error error = { 0 };

        assert_int_equal(parse(parser, name, object, &error), -error_errno(kind));
        assert_string_equal(error.field, field);
}

/* {"a0": @value, "a1": ...} */
static json_t *many(unsigned n, const char *value) {
        json_t *object = json_object();
        char name[16];

        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(name, sizeof name, "a%u", i);
                assert_int_equal(json_object_set_new(object, name, json_string(value)), 0);
        }
        return object;
}

static json_t *one(const char *name, size_t value_length) {
        _cleanup_free_ char *value = malloc(value_length + 1);

        assert_non_null(value);
        memset(value, 'v', value_length);
        value[value_length] = '\0';
        return json_pack("{ss}", name, value);
}

static void test_env_bounds(void **state) {
        char name[ENV_NAME_MAX + 2], field[64];

        (void) state;
        memset(name, 'N', sizeof name);
        name[ENV_NAME_MAX] = '\0';
        assert_int_equal(parse(env_parse, "env", one(name, 1), NULL), 0);
        name[ENV_NAME_MAX] = 'N';
        name[ENV_NAME_MAX + 1] = '\0';
        (void) snprintf(field, sizeof field, "env.%.50s", name);
        assert_object_refused(env_parse, "env", one(name, 1), ERROR_INVALID_VALUE, field);

        assert_int_equal(parse(env_parse, "env", one("A", ENV_VALUE_MAX), NULL), 0);
        assert_object_refused(env_parse, "env", one("A", ENV_VALUE_MAX + 1), ERROR_INVALID_VALUE, "env.A");

        assert_int_equal(parse(env_parse, "env", many(ENV_COUNT_MAX, ""), NULL), 0);
        assert_object_refused(env_parse, "env", many(ENV_COUNT_MAX + 1, ""), ERROR_INVALID_VALUE, "env");
}

static void test_env_bytes_in_all(void **state) {
        json_t *object = one("A", ENV_VALUE_MAX);
        /* each variable counts with its name, "=" and NUL */
        size_t rest = ENV_BYTES_MAX - (1 + 2 + ENV_VALUE_MAX) - (1 + 2);

        (void) state;
        assert_true(rest <= ENV_VALUE_MAX);
        assert_int_equal(json_object_update_new(object, one("B", rest)), 0);
        assert_int_equal(parse(env_parse, "env", json_incref(object), NULL), 0);
        assert_int_equal(json_object_update_new(object, one("B", rest + 1)), 0);
        assert_object_refused(env_parse, "env", object, ERROR_INVALID_VALUE, "env");
}

static void test_env_names(void **state) {
        static const char *const bad[] = { "", "1A", "A B", "A=B", "A-B", "\xc3\xa9", "A\n", "A." };
        static const char *const good[] = { "A", "_", "_1", "a_B9" };
        char field[64];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                (void) snprintf(field, sizeof field, "env.%s", bad[i]);
                assert_object_refused(env_parse, "env", json_pack("{ss}", bad[i], "x"), ERROR_INVALID_VALUE, field);
        }
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_int_equal(parse(env_parse, "env", json_pack("{ss}", good[i], "x"), NULL), 0);
}

static void test_env_types(void **state) {
        (void) state;
        assert_object_refused(env_parse, "env", json_array(), ERROR_MALFORMED, "env");
        assert_object_refused(env_parse, "env", json_string("A=1"), ERROR_MALFORMED, "env");
        assert_object_refused(env_parse, "env", json_null(), ERROR_MALFORMED, "env");
        assert_object_refused(env_parse, "env", json_pack("{si}", "A", 1), ERROR_MALFORMED, "env.A");
        assert_object_refused(env_parse, "env", json_pack("{sn}", "A"), ERROR_MALFORMED, "env.A");
        assert_object_refused(env_parse, "env", json_pack("{s{}}", "A"), ERROR_MALFORMED, "env.A");
}

static void test_metadata_bounds(void **state) {
        char name[METADATA_NAME_MAX + 2], field[64];

        (void) state;
        memset(name, 'n', sizeof name);
        name[METADATA_NAME_MAX] = '\0';
        assert_int_equal(parse(metadata_parse, "metadata", one(name, METADATA_VALUE_MAX), NULL), 0);
        name[METADATA_NAME_MAX] = 'n';
        name[METADATA_NAME_MAX + 1] = '\0';
        (void) snprintf(field, sizeof field, "metadata.%.50s", name);
        assert_object_refused(metadata_parse, "metadata", one(name, 1), ERROR_INVALID_VALUE, field);
        assert_object_refused(
                metadata_parse, "metadata", one("a", METADATA_VALUE_MAX + 1), ERROR_INVALID_VALUE, "metadata.a");
        assert_int_equal(parse(metadata_parse, "metadata", many(METADATA_COUNT_MAX, ""), NULL), 0);
        assert_object_refused(
                metadata_parse, "metadata", many(METADATA_COUNT_MAX + 1, ""), ERROR_INVALID_VALUE, "metadata");
        assert_object_refused(
                metadata_parse, "metadata", json_pack("{ss}", "a b", "x"), ERROR_INVALID_VALUE, "metadata.a b");
        assert_object_refused(metadata_parse, "metadata", json_pack("{si}", "a", 1), ERROR_MALFORMED, "metadata.a");
        assert_object_refused(metadata_parse, "metadata", json_array(), ERROR_MALFORMED, "metadata");
}

/* --- patch --- */

static int patch(PatchSpec *p, const char *text, Error *error) {
        return patch_spec_read(p, text, strlen(text), TIMEOUT_MAX, error);
}

static void test_patch(void **state) {
        _cleanup_patch_spec_ PatchSpec p = { 0 }, nothing = { 0 };

        (void) state;
        assert_int_equal(patch(&p, "{\"timeout\":60,\"metadata\":{\"a\":\"b\"},\"network\":\"none\"}", NULL), 0);
        assert_int_equal(p.timeout, 60 * USEC_PER_SEC);
        assert_int_equal(json_object_size(p.metadata), 1);
        assert_int_equal(patch(&nothing, "", NULL), 0);
        assert_int_equal(nothing.timeout, 0);
        assert_null(nothing.metadata);
}

static void test_patch_refuses(void **state) {
        static const struct {
                const char *text;
                ErrorKind kind;
                const char *field;
        } rows[] = {
                { "{\"timeout\":0}", ERROR_INVALID_VALUE, "timeout" },
                { "{\"timeout\":3601}", ERROR_INVALID_VALUE, "timeout" },
                { "{\"timeout\":null}", ERROR_MALFORMED, "timeout" },
                { "{\"metadata\":[]}", ERROR_MALFORMED, "metadata" },
                { "{\"key\":\"x\"}", ERROR_MALFORMED, "key" },
                { "{\"env\":{}}", ERROR_MALFORMED, "env" },
                { "{\"memory_limit\":\"64m\"}", ERROR_MALFORMED, "memory_limit" },
                { "[]", ERROR_MALFORMED, "body" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_patch_spec_ PatchSpec p = { 0 };
                _cleanup_error_ Error error = { 0 };
                assert_int_equal(patch(&p, rows[i].text, &error), -error_errno(rows[i].kind));
                assert_string_equal(error.field, rows[i].field);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty_body_keeps_the_defaults),
                cmocka_unit_test(test_all_members),
                cmocka_unit_test(test_unknown_member),
                cmocka_unit_test(test_timeout_is_bounded),
                cmocka_unit_test(test_wait_is_bounded),
                cmocka_unit_test(test_image_names),
                cmocka_unit_test(test_network),
                cmocka_unit_test(test_env_bounds),
                cmocka_unit_test(test_env_bytes_in_all),
                cmocka_unit_test(test_env_names),
                cmocka_unit_test(test_env_types),
                cmocka_unit_test(test_metadata_bounds),
                cmocka_unit_test(test_patch),
                cmocka_unit_test(test_patch_refuses),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
