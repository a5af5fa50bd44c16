/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>
#include <sys/stat.h>

#include "session/file.h"
#include "spec/json.h"

/* A node as the sandbox tells it, with its strings behind it. */
static const FileRecord *node(
        FileRecord head, const char *name, size_t name_length, const char *target, size_t target_length) {
        static _Alignas(FileRecord) char bytes[FILE_RECORD_SIZE_MAX];

        head.name_length = (uint32_t) name_length;
        head.target_length = (uint32_t) target_length;
        memcpy(bytes, &head, sizeof head);
        memcpy(bytes + sizeof head, name, name_length);
        memcpy(bytes + sizeof head + name_length, target, target_length);
        return (const FileRecord *) bytes;
}

static void a_file(void **state) {
        const FileRecord head = { .mode = S_IFREG | 04755,
                .size = UINT64_MAX,
                .inode = UINT64_MAX,
                .uid = 1000,
                .gid = 7,
                .mtime = INT64_C(1709164800001999999) };
        _cleanup_free_ char *text = file_describe(node(head, "a \"b\"", 5, "", 0), "/tmp/");

        (void) state;
        assert_string_equal(text, "{\"path\":\"/tmp/a \\\"b\\\"\",\"name\":\"a "
                                  "\\\"b\\\"\",\"type\":\"file\",\"size\":18446744073709551615,"
                                  "\"mode\":\"4755\",\"uid\":1000,\"gid\":7,\"inode\":9223372036854775807,"
                                  "\"modified_at\":\"2024-02-29T00:00:00.001Z\"}");
}

static void what_is_no_text(void **state) {
        const FileRecord head = { .mode = S_IFLNK | 0777, .mtime = -1, .flags = FILE_UNREADABLE };
        _cleanup_free_ char *text = file_describe(node(head, "\xff\n", 2, "t\xfe", 2), "");
        _cleanup_json_ json_t *j = json_loads(text, 0, NULL);

        (void) state;
        assert_string_equal(json_string_value(json_object_get(j, "path")), SANDBOX_HOME "/\xef\xbf\xbd\n");
        assert_string_equal(json_string_value(json_object_get(j, "name")), "\xef\xbf\xbd\n");
        assert_string_equal(json_string_value(json_object_get(j, "name_base64")), "/wo=");
        assert_string_equal(json_string_value(json_object_get(j, "target")), "t\xef\xbf\xbd");
        assert_string_equal(json_string_value(json_object_get(j, "target_base64")), "dP4=");
        assert_string_equal(json_string_value(json_object_get(j, "modified_at")), "1970-01-01T00:00:00.000Z");
        assert_true(json_is_true(json_object_get(j, "unreadable")));
        assert_non_null(json_object_get(j, "path_base64"));
}

/* What takes most room: control characters, and bytes that are none of UTF-8. */
static void the_longest_names(void **state) {
        static const char fills[] = { 1, (char) 0xff, 'x', '"' };
        static char name[FILE_PATH_MAX];

        (void) state;
        for (size_t i = 0; i < sizeof fills; i++)
                for (int tail = 0; tail < 2; tail++) {
                        const FileRecord head = { .mode = S_IFLNK };
                        memset(name, fills[i], sizeof name);
                        if (tail)
                                name[sizeof name - 1] = (char) 0xff;
                        _cleanup_free_ char *text =
                                file_describe(node(head, name, sizeof name, name, sizeof name), "/");
                        _cleanup_json_ json_t *j = json_loads(text, 0, NULL);
                        assert_int_equal(json_object_get(j, "name_base64") != NULL, tail || i == 1);
                        assert_true(json_string_length(json_object_get(j, "target")) >= sizeof name);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_file),
                cmocka_unit_test(what_is_no_text),
                cmocka_unit_test(the_longest_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
