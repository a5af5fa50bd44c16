/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/options.h"
#include "ctl/request.h"
#include "ctl/terminal.h"

typedef struct Line {
        Options o;
        char *words[32];
        int n;
} Line;

#define COUNT(...) (sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *))
#define PARSE(line, sets, n_words, ...)                                                                                \
        parse(line, sets, n_words, (int) COUNT(__VA_ARGS__), (const char *const[]){ __VA_ARGS__ })

static int parse(Line *l, unsigned sets, int n_words, int argc, const char *const *argv) {
        options_init(&l->o);
        return options_parse(&l->o, sets, n_words, argc, (char **) argv, l->words, &l->n);
}

static void options_stand_before_and_after_words(void **state) {
        Line l;

        (void) state;
        assert_int_equal(PARSE(&l, OPTIONS_GLOBAL, -1, "a", "--json", "b", "-q", "-"), 0);
        assert_true(l.o.json && l.o.quiet);
        assert_int_equal(l.n, 3);
        assert_string_equal(l.words[2], "-");
}

static void options_end_at_the_sandboxed_command(void **state) {
        Line l;

        (void) state;
        assert_int_equal(PARSE(&l, OPTIONS_GLOBAL | OPTIONS_EXEC, 1, "id", "--cwd", "/", "ls", "--json", "-q"), 0);
        assert_false(l.o.json || l.o.quiet);
        assert_string_equal(l.o.cwd, "/");
        assert_int_equal(l.n, 4);
        assert_string_equal(l.words[1], "ls");

        assert_int_equal(PARSE(&l, OPTIONS_GLOBAL | OPTIONS_EXEC, 1, "id", "--", "--json"), 0);
        assert_false(l.o.json);
        assert_int_equal(l.n, 2);
        assert_string_equal(l.words[1], "--json");
}

static void a_command_s_timeout_goes_before_the_global_one(void **state) {
        Line l;

        (void) state;
        assert_int_equal(PARSE(&l, OPTIONS_GLOBAL | OPTIONS_EXEC, 0, "--timeout", "2min", "true"), 0);
        assert_int_equal(l.o.command_timeout, 120 * USEC_PER_SEC);
        assert_true(l.o.timeout == OPTION_UNSET);
        assert_int_equal(PARSE(&l, OPTIONS_GLOBAL | OPTIONS_CREATE, -1, "--timeout=3"), 0);
        assert_int_equal(l.o.timeout, 3 * USEC_PER_SEC);
}

static void values_are_checked(void **state) {
        static const char *const bad[][2] = {
                { "--memory", "12 elephants" },
                { "--memory", "99999999999g" },
                { "--cpu", "half" },
                { "--pids", "-1" },
                { "--ttl", "soon" },
                { "--env", "NOVALUE" },
                { "--env", "=x" },
                { "--env", "A=\xff" },
                { "--image", "" },
                { "--image", "\xc3" },
                { "--json=yes", "x" },
                { "--nonesuch", "x" },
                { "--mem", "1g" },
                { "-x", "x" },
                { "x", "--memory" },
        };
        Line l;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(parse(&l, OPTIONS_GLOBAL | OPTIONS_CREATE, -1, 2, bad[i]), -EINVAL);
                options_clear(&l.o);
        }
}

static void an_option_of_another_command_is_unknown(void **state) {
        Line l;

        (void) state;
        assert_int_equal(PARSE(&l, OPTIONS_GLOBAL | OPTIONS_LIST, -1, "--memory", "1g"), -EINVAL);
}

static void check_body(json_t *body, const char *expected) {
        char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);

        assert_string_equal(text, expected);
        free(text);
        json_decref(body);
}

static void create_sends_what_was_given(void **state) {
        Line l;

        (void) state;
        assert_int_equal(PARSE(&l, OPTIONS_CREATE | OPTIONS_ATTACH, -1, "--memory", "512m", "--cpu=50%", "--pids", "10", "--disk", "1g",
                                 "--ttl", "90s", "--wait", "1500ms", "--env", "A=b=c", "--env", "E=", "--metadata",
                                 "x=y", "--key-name", "n", "--image", "base"),
                0);
        check_body(request_create(&l.o),
                "{\"cpu_quota\":50000,\"disk_limit\":1073741824,\"env\":{\"A\":\"b=c\",\"E\":\"\"},\"image\":\"base\","
                "\"key\":\"n\",\"memory_limit\":536870912,\"metadata\":{\"x\":\"y\"},\"pids_limit\":10,\"timeout\":90,"
                "\"wait\":1.5}");
        options_clear(&l.o);
}

static void create_sends_nothing_else(void **state) {
        Options o;

        (void) state;
        options_init(&o);
        check_body(request_create(&o), "{}");
}

static void exec_sends_words_or_shell_text(void **state) {
        char *words[] = { (char *) "a", (char *) "b c" };
        json_t *body;
        Options o;

        (void) state;
        options_init(&o);
        assert_int_equal(request_exec(&o, 2, words, NULL, 0, &body), 0);
        check_body(body, "{\"argv\":[\"a\",\"b c\"],\"encoding\":\"base64\"}");

        o.shell = "echo $1";
        assert_int_equal(request_exec(&o, 0, NULL, "x\0y", 3, &body), 0);
        check_body(body, "{\"command\":\"echo $1\",\"encoding\":\"base64\",\"stdin\":\"x\\u0000y\"}");

        assert_int_equal(request_exec(&o, 0, NULL, "\0\xff\n", 3, &body), 0);
        check_body(body,
                "{\"command\":\"echo $1\",\"encoding\":\"base64\",\"stdin\":\"AP8K\",\"stdin_encoding\":\"base64\"}");

        o.json = true;
        assert_int_equal(request_exec(&o, 1, words, NULL, 0, &body), 0);
        check_body(body, "{\"argv\":[\"/bin/sh\",\"-c\",\"echo $1\",\"sh\",\"a\"]}");
}

static void exec_refuses_what_json_cannot_carry(void **state) {
        char *words[] = { (char *) "a", (char *) "\xff" };
        json_t *body = NULL;
        Options o;

        (void) state;
        options_init(&o);
        assert_int_equal(request_exec(&o, 2, words, NULL, 0, &body), -EINVAL);
        assert_int_equal(request_exec(&o, 0, NULL, NULL, 0, &body), -EINVAL);
        o.max_output = 17 * MIB;
        assert_int_equal(request_exec(&o, 1, words, NULL, 0, &body), -EINVAL);
        assert_null(body);
}

static void input_is_read_up_to_its_limit(void **state) {
        int fds[2];
        char *text = NULL;
        size_t n = 0;

        (void) state;
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(write(fds[1], "0123456789", 10), 10);
        fds[1] = fd_close(fds[1]);
        assert_int_equal(read_all(fds[0], 9, &text, &n), -EFBIG);
        fds[0] = fd_close(fds[0]);

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(write(fds[1], "0123456789", 10), 10);
        fds[1] = fd_close(fds[1]);
        assert_int_equal(read_all(fds[0], 10, &text, &n), 0);
        assert_int_equal(n, 10);
        assert_memory_equal(text, "0123456789", 10);
        free(text);
        fds[0] = fd_close(fds[0]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(options_stand_before_and_after_words),
                cmocka_unit_test(options_end_at_the_sandboxed_command),
                cmocka_unit_test(a_command_s_timeout_goes_before_the_global_one),
                cmocka_unit_test(values_are_checked),
                cmocka_unit_test(an_option_of_another_command_is_unknown),
                cmocka_unit_test(create_sends_what_was_given),
                cmocka_unit_test(create_sends_nothing_else),
                cmocka_unit_test(exec_sends_words_or_shell_text),
                cmocka_unit_test(exec_refuses_what_json_cannot_carry),
                cmocka_unit_test(input_is_read_up_to_its_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
