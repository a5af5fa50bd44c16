/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "init/command.h"

static char *vector[INIT_ARGC_MAX + INIT_ENVC_MAX + 2];

/* @text is a literal with embedded NULs; the one at its end is that of the last string. */
#define PARSE(argc_, envc_, text) parse((argc_), (envc_), (text), sizeof(text), sizeof(text))

static Command command;

static int parse(uint32_t argc, uint32_t envc, const char *text, size_t length, uint32_t told) {
        InitRequest q = { .type = INIT_EXEC, .exec = 1, .argc = argc, .envc = envc, .length = told };
        char *strings = malloc(length ? length : 1); /* of exactly this size: a sanitizer sees a read beyond it */

        assert_non_null(strings);
        memcpy(strings, text, length);
        command = (Command){ 0 };
        int r = command_parse(&q, strings, length, vector, &command);
        if (r == 0) { /* looks at all of it while it is there */
                size_t n = strlen(command.cwd) + 1;
                for (uint32_t i = 0; i < argc; i++)
                        n += strlen(command.argv[i]) + 1;
                for (uint32_t i = 0; i < envc; i++)
                        n += strlen(command.envp[i]) + 1;
                assert_int_equal(n, length);
                assert_null(command.argv[argc]);
                assert_null(command.envp[envc]);
        }
        free(strings);
        return r;
}

static void test_strings_are_taken_apart(void **state) {
        char strings[] = "/tmp\0a\0bc\0A=1\0B=2";
        InitRequest q = { .argc = 2, .envc = 2, .length = sizeof strings };
        Command c = { 0 };

        (void) state;
        assert_int_equal(command_parse(&q, strings, sizeof strings, vector, &c), 0);
        assert_string_equal(c.cwd, "/tmp");
        assert_string_equal(c.argv[0], "a");
        assert_string_equal(c.argv[1], "bc");
        assert_null(c.argv[2]);
        assert_string_equal(c.envp[0], "A=1");
        assert_string_equal(c.envp[1], "B=2");
        assert_null(c.envp[2]);
}

static void test_empty_strings_count(void **state) {
        (void) state;
        assert_int_equal(PARSE(1, 0, "\0a"), 0);
        assert_int_equal(PARSE(2, 0, "/\0\0"), 0);
        assert_int_equal(PARSE(1, 1, "\0\0"), 0);
        assert_int_equal(PARSE(3, 2, "/\0\0\0\0\0"), 0);
}

static void test_too_few_strings(void **state) {
        (void) state;
        assert_int_equal(PARSE(1, 0, "/"), -EBADMSG);
        assert_int_equal(PARSE(2, 0, "/\0a"), -EBADMSG);
        assert_int_equal(PARSE(1, 1, "/\0a"), -EBADMSG);
        assert_int_equal(PARSE(INIT_ARGC_MAX, INIT_ENVC_MAX, "/\0a"), -EBADMSG);
}

static void test_too_many_strings(void **state) {
        (void) state;
        assert_int_equal(PARSE(1, 0, "/\0a\0b"), -EBADMSG);
        assert_int_equal(PARSE(1, 0, "/\0a\0"), -EBADMSG);
        assert_int_equal(PARSE(1, 1, "/\0a\0A=1\0B=2"), -EBADMSG);
}

static void test_last_string_has_to_end(void **state) {
        (void) state;
        assert_int_equal(parse(1, 0, "/\0a", 3, 3), -EBADMSG);
        assert_int_equal(parse(1, 0, "/", 1, 1), -EBADMSG);
}

static void test_length_has_to_be_as_told(void **state) {
        (void) state;
        assert_int_equal(parse(1, 0, "/\0a", 4, 3), -EBADMSG);
        assert_int_equal(parse(1, 0, "/\0a", 4, 5), -EBADMSG);
        assert_int_equal(parse(1, 0, "/\0a", 4, UINT32_MAX), -EBADMSG);
        assert_int_equal(parse(1, 0, "", 0, 0), -EBADMSG);
        assert_int_equal(parse(1, 0, "/\0a", 4, 4), 0);
}

static void test_counts_are_bounded(void **state) {
        (void) state;
        assert_int_equal(PARSE(0, 0, "/"), -EBADMSG);
        assert_int_equal(PARSE(0, 1, "/\0A=1"), -EBADMSG);
        assert_int_equal(PARSE(INIT_ARGC_MAX + 1, 0, "/\0a"), -EBADMSG);
        assert_int_equal(PARSE(1, INIT_ENVC_MAX + 1, "/\0a"), -EBADMSG);
        assert_int_equal(PARSE(UINT32_MAX, 1, "/\0a"), -EBADMSG);
        assert_int_equal(PARSE(1, UINT32_MAX, "/\0a"), -EBADMSG);
        assert_int_equal(PARSE(UINT32_MAX, UINT32_MAX, "/\0a"), -EBADMSG);
}

static void test_as_much_as_a_message_holds(void **state) {
        static char text[INIT_STRINGS_MAX + 1];

        (void) state;
        memset(text, 'x', sizeof text);
        text[0] = text[INIT_STRINGS_MAX - 1] = '\0';
        assert_int_equal(parse(1, 0, text, INIT_STRINGS_MAX, INIT_STRINGS_MAX), 0);
        text[INIT_STRINGS_MAX - 1] = 'x';
        text[INIT_STRINGS_MAX] = '\0';
        assert_int_equal(parse(1, 0, text, INIT_STRINGS_MAX + 1, INIT_STRINGS_MAX + 1), -EBADMSG);
}

static void test_most_strings(void **state) {
        static char text[1 + INIT_ARGC_MAX + INIT_ENVC_MAX];

        (void) state;
        assert_int_equal(parse(INIT_ARGC_MAX, INIT_ENVC_MAX, text, sizeof text, sizeof text), 0);
        assert_int_equal(parse(INIT_ARGC_MAX, INIT_ENVC_MAX, text, sizeof text - 1, sizeof text - 1), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_strings_are_taken_apart),
                cmocka_unit_test(test_empty_strings_count),
                cmocka_unit_test(test_too_few_strings),
                cmocka_unit_test(test_too_many_strings),
                cmocka_unit_test(test_last_string_has_to_end),
                cmocka_unit_test(test_length_has_to_be_as_told),
                cmocka_unit_test(test_counts_are_bounded),
                cmocka_unit_test(test_as_much_as_a_message_holds),
                cmocka_unit_test(test_most_strings),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
