/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "spec/create.h"
#include "spec/exec.h"

static char strings[INIT_STRINGS_MAX];

static int read_text(ExecSpec *e, const char *text, Error *error) {
        return exec_spec_read(e, text, strlen(text), error);
}

static void assert_refused(const char *text, ErrorKind kind, const char *field) {
        _cleanup_exec_spec_ ExecSpec e = { .output_max = 1 };
        _cleanup_error_ Error error = { 0 };

        int r = read_text(&e, text, &error);
        if (r != -error_errno(kind) || strcmp(error.field, field) != 0)
                fail_msg("%.200s: %d, kind %d, field \"%s\"", text, r, (int) error.kind, error.field);
}

static void test_command(void **state) {
        _cleanup_exec_spec_ ExecSpec e = { .output_max = 5 };

        (void) state;
        assert_int_equal(read_text(&e, "{\"command\":\"echo \\\"a\\nb\\\"\"}", NULL), 0);
        assert_int_equal(e.argc, 3);
        assert_string_equal(e.argv[0], "/bin/sh");
        assert_string_equal(e.argv[1], "-c");
        assert_string_equal(e.argv[2], "echo \"a\nb\"");
        assert_null(e.argv[3]);
        assert_true(e.is_command);
        assert_int_equal(e.timeout, EXEC_TIMEOUT_DEFAULT);
        assert_int_equal(e.output_max, 5);
        assert_null(e.stdin_data);
        assert_null(e.cwd);
        assert_false(e.base64);
}

static void test_argv(void **state) {
        _cleanup_exec_spec_ ExecSpec e = { 0 };

        (void) state;
        assert_int_equal(read_text(&e, "{\"argv\":[\"a\",\"\",\" b \"]}", NULL), 0);
        assert_int_equal(e.argc, 3);
        assert_string_equal(e.argv[1], "");
        assert_string_equal(e.argv[2], " b ");
        assert_null(e.argv[3]);
}

static void test_all_members(void **state) {
        _cleanup_exec_spec_ ExecSpec e = { 0 };

        (void) state;
        assert_int_equal(read_text(&e,
                                 "{\"command\":\"x\",\"cwd\":\"/tmp\",\"env\":{\"A\":\"1\"},\"stdin\":\"aGk=\","
                                 "\"stdin_encoding\":\"base64\",\"timeout\":0.5,\"encoding\":\"base64\","
                                 "\"max_output\":\"1k\",\"background\":true,\"stdin_open\":true,"
                                 "\"pty\":{\"rows\":24,\"cols\":80}}",
                                 NULL),
                0);
        assert_string_equal(e.cwd, "/tmp");
        assert_int_equal(e.stdin_length, 2);
        assert_memory_equal(e.stdin_data, "hi", 2);
        assert_int_equal(e.timeout, 500 * USEC_PER_MSEC);
        assert_true(e.base64 && e.background && e.stdin_open && e.pty);
        assert_int_equal(e.output_max, 1024);
        assert_int_equal(e.rows, 24);
        assert_int_equal(e.columns, 80);
}

static void test_standard_input(void **state) {
        _cleanup_exec_spec_ ExecSpec text = { 0 }, empty = { 0 }, none = { 0 };

        (void) state;
        assert_int_equal(read_text(&text, "{\"command\":\"x\",\"stdin\":\"a\\nb\"}", NULL), 0);
        assert_int_equal(text.stdin_length, 3);
        assert_memory_equal(text.stdin_data, "a\nb", 3);
        assert_int_equal(read_text(&empty, "{\"command\":\"x\",\"stdin\":\"\"}", NULL), 0);
        assert_non_null(empty.stdin_data); /* open, and at its end */
        assert_int_equal(empty.stdin_length, 0);
        assert_int_equal(read_text(&none, "{\"command\":\"x\",\"stdin\":null}", NULL), 0);
        assert_null(none.stdin_data);
}

static void test_members_that_are_wrong(void **state) {
        static const struct {
                const char *text;
                ErrorKind kind;
                const char *field;
        } rows[] = {
                { "{}", ERROR_MALFORMED, "command" },
                { "{\"command\":\"x\",\"argv\":[\"x\"]}", ERROR_MALFORMED, "command" },
                { "{\"command\":5}", ERROR_MALFORMED, "command" },
                { "{\"command\":null}", ERROR_MALFORMED, "command" },
                { "{\"command\":\"\"}", ERROR_INVALID_VALUE, "command" },
                { "{\"argv\":\"x\"}", ERROR_MALFORMED, "argv" },
                { "{\"argv\":{}}", ERROR_MALFORMED, "argv" },
                { "{\"argv\":[]}", ERROR_INVALID_VALUE, "argv" },
                { "{\"argv\":[\"\"]}", ERROR_INVALID_VALUE, "argv[0]" },
                { "{\"argv\":[\"a\",5]}", ERROR_MALFORMED, "argv[1]" },
                { "{\"argv\":[\"a\",null]}", ERROR_MALFORMED, "argv[1]" },
                { "{\"command\":\"x\",\"cwd\":\"\"}", ERROR_INVALID_VALUE, "cwd" },
                { "{\"command\":\"x\",\"cwd\":\"tmp\"}", ERROR_INVALID_VALUE, "cwd" },
                { "{\"command\":\"x\",\"cwd\":5}", ERROR_MALFORMED, "cwd" },
                { "{\"command\":\"x\",\"env\":[]}", ERROR_MALFORMED, "env" },
                { "{\"command\":\"x\",\"env\":{\"A\":5}}", ERROR_MALFORMED, "env.A" },
                { "{\"command\":\"x\",\"stdin\":5}", ERROR_MALFORMED, "stdin" },
                { "{\"command\":\"x\",\"stdin\":\"?\",\"stdin_encoding\":\"base64\"}", ERROR_INVALID_VALUE, "stdin" },
                { "{\"command\":\"x\",\"stdin_encoding\":\"utf-16\"}", ERROR_INVALID_VALUE, "stdin_encoding" },
                { "{\"command\":\"x\",\"encoding\":\"\"}", ERROR_INVALID_VALUE, "encoding" },
                { "{\"command\":\"x\",\"encoding\":true}", ERROR_MALFORMED, "encoding" },
                { "{\"command\":\"x\",\"timeout\":0}", ERROR_INVALID_VALUE, "timeout" },
                { "{\"command\":\"x\",\"timeout\":0.0009}", ERROR_INVALID_VALUE, "timeout" },
                { "{\"command\":\"x\",\"timeout\":86401}", ERROR_INVALID_VALUE, "timeout" },
                { "{\"command\":\"x\",\"timeout\":null}", ERROR_MALFORMED, "timeout" },
                { "{\"command\":\"x\",\"max_output\":-1}", ERROR_INVALID_VALUE, "max_output" },
                { "{\"command\":\"x\",\"max_output\":16777217}", ERROR_INVALID_VALUE, "max_output" },
                { "{\"command\":\"x\",\"max_output\":null}", ERROR_MALFORMED, "max_output" },
                { "{\"command\":\"x\",\"background\":1}", ERROR_MALFORMED, "background" },
                { "{\"command\":\"x\",\"stdin_open\":\"yes\"}", ERROR_MALFORMED, "stdin_open" },
                { "{\"command\":\"x\",\"pty\":true}", ERROR_MALFORMED, "pty" },
                { "{\"command\":\"x\",\"pty\":{}}", ERROR_MALFORMED, "pty" },
                { "{\"command\":\"x\",\"pty\":{\"rows\":24}}", ERROR_MALFORMED, "pty" },
                { "{\"command\":\"x\",\"pty\":{\"rows\":0,\"cols\":80}}", ERROR_INVALID_VALUE, "rows" },
                { "{\"command\":\"x\",\"pty\":{\"rows\":24,\"cols\":1001}}", ERROR_INVALID_VALUE, "cols" },
                { "{\"command\":\"x\",\"pty\":{\"rows\":24,\"cols\":80,\"x\":1}}", ERROR_MALFORMED, "x" },
                { "{\"command\":\"x\",\"shell\":\"bash\"}", ERROR_MALFORMED, "shell" },
                { "[]", ERROR_MALFORMED, "body" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_refused(rows[i].text, rows[i].kind, rows[i].field);
}

static void test_bounds_are_included(void **state) {
        static const char *const texts[] = {
                "{\"command\":\"x\",\"timeout\":0.001}",
                "{\"command\":\"x\",\"timeout\":86400}",
                "{\"command\":\"x\",\"max_output\":0}",
                "{\"command\":\"x\",\"max_output\":16777216}",
                "{\"command\":\"x\",\"pty\":{\"rows\":1,\"cols\":1000}}",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_exec_spec_ ExecSpec e = { 0 };
                assert_int_equal(read_text(&e, texts[i], NULL), 0);
        }
}

/* A document with a member of @length letters: @format has one "%s". */
static char *with_letters(const char *format, size_t length) {
        _cleanup_free_ char *letters = malloc(length + 1);
        char *text;

        assert_non_null(letters);
        memset(letters, 'x', length);
        letters[length] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        assert_true(asprintf(&text, format, letters) > 0);
#pragma GCC diagnostic pop
        return text;
}

static void assert_longest(const char *format, size_t length, ErrorKind kind, const char *field) {
        _cleanup_free_ char *fits = with_letters(format, length), *too_long = with_letters(format, length + 1);
        _cleanup_exec_spec_ ExecSpec e = { 0 };

        assert_int_equal(read_text(&e, fits, NULL), 0);
        assert_refused(too_long, kind, field);
}

static void test_longest_texts(void **state) {
        (void) state;
        assert_longest("{\"command\":\"%s\"}", INIT_STRING_MAX - 1, ERROR_TOO_LARGE, "command");
        assert_longest("{\"argv\":[\"a\",\"%s\"]}", INIT_STRING_MAX - 1, ERROR_TOO_LARGE, "argv[1]");
        assert_longest("{\"command\":\"x\",\"cwd\":\"/%s\"}", EXEC_CWD_MAX - 2, ERROR_INVALID_VALUE, "cwd");
}

static void test_most_arguments(void **state) {
        _cleanup_free_ char *text = malloc(4 * (INIT_ARGC_MAX + 2) + 32);
        _cleanup_exec_spec_ ExecSpec e = { 0 };
        char *p = stpcpy(text, "{\"argv\":[\"x\"");

        (void) state;
        for (unsigned i = 1; i < INIT_ARGC_MAX; i++)
                p = stpcpy(p, ",\"x\"");
        (void) strcpy(p, "]}");
        assert_int_equal(read_text(&e, text, NULL), 0);
        assert_int_equal(e.argc, INIT_ARGC_MAX);
        (void) strcpy(p, ",\"x\"]}");
        assert_refused(text, ERROR_TOO_LARGE, "argv");
}

/* --- encoding --- */

static const char *variable(const InitRequest *q, const char *name) {
        const char *p = strings, *found = NULL;
        size_t length = strlen(name);

        for (uint32_t i = 0; i < 1 + q->argc + q->envc; i++, p += strlen(p) + 1)
                if (i > q->argc && strncmp(p, name, length) == 0 && p[length] == '=') {
                        assert_null(found); /* each name once */
                        found = p + length + 1;
                }
        assert_int_equal(p - strings, q->length);
        return found;
}

static void encode(const char *text, const char *session_env, InitRequest *ret) {
        _cleanup_exec_spec_ ExecSpec e = { 0 };
        _cleanup_json_ json_t *env = session_env ? json_loads(session_env, 0, NULL) : NULL;

        assert_int_equal(read_text(&e, text, NULL), 0);
        *ret = (InitRequest){ 0 };
        assert_int_equal(exec_spec_encode(&e, env, strings, ret, NULL), 0);
}

static void test_encoding_begins_with_folder_and_arguments(void **state) {
        InitRequest q;

        (void) state;
        encode("{\"argv\":[\"a\",\"\",\"b\"]}", NULL, &q);
        assert_int_equal(q.argc, 3);
        assert_memory_equal(strings, SANDBOX_HOME "\0a\0\0b\0", sizeof SANDBOX_HOME + 5);
        encode("{\"argv\":[\"a\"],\"cwd\":\"/tmp\"}", NULL, &q);
        assert_memory_equal(strings, "/tmp\0a\0", 7);
}

static void test_default_environment(void **state) {
        InitRequest q;
        uint32_t n = 0;

        (void) state;
        while (exec_environment[n])
                n++;
        encode("{\"command\":\"x\"}", NULL, &q);
        assert_int_equal(q.envc, n);
        assert_string_equal(variable(&q, "HOME"), SANDBOX_HOME);
        assert_string_equal(variable(&q, "USER"), SANDBOX_USER);
        assert_non_null(variable(&q, "PATH"));
}

static void test_the_last_of_a_name_counts(void **state) {
        InitRequest q;

        (void) state;
        encode("{\"command\":\"x\",\"env\":{\"B\":\"command\",\"PATH\":\"/c\"}}",
                "{\"A\":\"session\",\"B\":\"session\",\"HOME\":\"/s\",\"PATH\":\"/s\"}", &q);
        assert_string_equal(variable(&q, "A"), "session");
        assert_string_equal(variable(&q, "B"), "command");
        assert_string_equal(variable(&q, "HOME"), "/s");
        assert_string_equal(variable(&q, "PATH"), "/c");
        assert_string_equal(variable(&q, "LANG"), "C.UTF-8");
}

static void test_a_longer_name_is_another(void **state) {
        InitRequest q;

        (void) state;
        encode("{\"command\":\"x\",\"env\":{\"HOME2\":\"2\",\"HOM\":\"1\"}}", NULL, &q);
        assert_string_equal(variable(&q, "HOME"), SANDBOX_HOME);
        assert_string_equal(variable(&q, "HOME2"), "2");
        assert_string_equal(variable(&q, "HOM"), "1");
}

static size_t default_length(void) {
        size_t n = sizeof SANDBOX_HOME;

        for (const char *const *v = exec_environment; *v; v++)
                n += strlen(*v) + 1;
        return n;
}

static void test_encoding_is_bounded(void **state) {
        /* two arguments that fill the message to the last byte */
        size_t room = INIT_STRINGS_MAX - default_length() - INIT_STRING_MAX - 1;
        _cleanup_free_ char *first = malloc(INIT_STRING_MAX), *second = malloc(room + 2);
        char *argv[] = { first, second, NULL };
        ExecSpec e = { .argv = argv, .argc = 2 };
        _cleanup_error_ Error error = { 0 };
        InitRequest q = { 0 };

        (void) state;
        memset(first, 'x', INIT_STRING_MAX - 1);
        first[INIT_STRING_MAX - 1] = '\0';
        memset(second, 'x', room + 1);
        second[room] = '\0';
        assert_int_equal(exec_spec_encode(&e, NULL, strings, &q, NULL), 0);
        assert_int_equal(q.length, INIT_STRINGS_MAX);

        second[room] = 'x';
        second[room + 1] = '\0';
        assert_int_equal(exec_spec_encode(&e, NULL, strings, &q, &error), -EFBIG);
        assert_string_equal(error.field, "argv");
        assert_string_equal(error.limit, "192 KiB");
}

static json_t *variables(unsigned n, char letter) {
        json_t *env = json_object();
        char name[16];

        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(name, sizeof name, "%c%u", letter, i);
                assert_int_equal(json_object_set_new(env, name, json_string("")), 0);
        }
        return env;
}

static void test_number_of_variables_is_bounded(void **state) {
        _cleanup_json_ json_t *session = variables(ENV_COUNT_MAX, 'S'), *own = variables(ENV_COUNT_MAX, 'O');
        char *argv[] = { (char *) "x", NULL };
        ExecSpec e = { .argv = argv, .argc = 1, .env = own };
        InitRequest q = { 0 };
        uint32_t n = 0;

        (void) state;
        while (exec_environment[n])
                n++;
        assert_int_equal(exec_spec_encode(&e, session, strings, &q, NULL), -EFBIG);
        for (uint32_t i = 0; i < n; i++) { /* as many of ours as come by default */
                char name[16];
                (void) snprintf(name, sizeof name, "O%u", i);
                assert_int_equal(json_object_del(own, name), 0);
        }
        assert_int_equal(exec_spec_encode(&e, session, strings, &q, NULL), 0);
        assert_int_equal(q.envc, INIT_ENVC_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_command),
                cmocka_unit_test(test_argv),
                cmocka_unit_test(test_all_members),
                cmocka_unit_test(test_standard_input),
                cmocka_unit_test(test_members_that_are_wrong),
                cmocka_unit_test(test_bounds_are_included),
                cmocka_unit_test(test_longest_texts),
                cmocka_unit_test(test_most_arguments),
                cmocka_unit_test(test_encoding_begins_with_folder_and_arguments),
                cmocka_unit_test(test_default_environment),
                cmocka_unit_test(test_the_last_of_a_name_counts),
                cmocka_unit_test(test_a_longer_name_is_another),
                cmocka_unit_test(test_encoding_is_bounded),
                cmocka_unit_test(test_number_of_variables_is_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
