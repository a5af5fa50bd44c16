/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "ctl/exec.h"
#include "ctl/health.h"
#include "ctl/problem.h"
#include "ctl/proc.h"
#include "ctl/reader.h"
#include "ctl/session.h"
#include "ctl/table.h"

static json_t *load(const char *text) {
        json_t *value = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);

        assert_non_null(value);
        return value;
}

static void check_escape(const char *in, const char *expected) {
        _cleanup_free_ char *out = terminal_escape_string(in);

        assert_string_equal(out, expected);
}

static void escapes_what_moves_or_colours_a_terminal(void **state) {
        size_t width;
        _cleanup_free_ char *nul = NULL;

        (void) state;
        check_escape("plain text, 100%", "plain text, 100%");
        check_escape("\033[31mred\007", "\\x1b[31mred\\x07");
        check_escape("a\nb\tc\rd\\", "a\\nb\\tc\\rd\\\\");
        check_escape("\x7f", "\\x7f");
        check_escape("\xff\xc3", "\\xff\\xc3");
        check_escape("\xc2\x9b"
                     "1m",
                "\\xc2\\x9b1m");
        check_escape("\xe2\x80\xae", "\\xe2\\x80\\xae");          /* right-to-left override */
        check_escape("\xe2\x80\x8b", "\\xe2\\x80\\x8b");          /* zero width space */
        check_escape("\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81"); /* tag */
        nul = terminal_escape("a\0b", 3, &width);
        assert_string_equal(nul, "a\\x00b");
        assert_int_equal(width, 6);
}

static void keeps_letters_of_the_locale(void **state) {
        size_t width;
        _cleanup_free_ char *wide = NULL;

        (void) state;
        if (!setlocale(LC_CTYPE, "C.UTF-8"))
                skip();
        check_escape("Grüße", "Grüße");
        wide = terminal_escape("漢字", strlen("漢字"), &width);
        assert_string_equal(wide, "漢字");
        assert_int_equal(width, 4);
        escapes_what_moves_or_colours_a_terminal(state);
        (void) setlocale(LC_CTYPE, "C");
        check_escape("ü", "\\xc3\\xbc");
}

static void columns_line_up(void **state) {
        static const char *const heads[] = { "A", "BB" };
        _cleanup_(table_freep) Table *t = table_new(heads, 2);
        char long_text[200], *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);

        (void) state;
        memset(long_text, 'x', sizeof long_text - 1);
        long_text[sizeof long_text - 1] = '\0';
        table_add(t, COLOUR_GOOD, "a\n");
        table_add(t, COLOUR_NONE, NULL);
        table_add(t, COLOUR_NONE, "");
        table_add(t, COLOUR_NONE, long_text);
        table_print(t, f);
        (void) fclose(f);
        assert_true(strncmp(text, "A    BB\na\\n  -\n-    xxx", 22) == 0);
        assert_string_equal(text + n - 5, "x...\n");
        assert_true(n < 100);
        free(text);
}

static void reader_refuses_wrong_types(void **state) {
        _cleanup_json_ json_t *o =
                load("{\"t\":\"x\",\"n\":5,\"neg\":-1,\"nul\":\"a\\u0000b\",\"id\":\"a-1\",\"no\":null}");
        Reader r = reader_open(o);
        uint64_t n = 0;

        (void) state;
        assert_string_equal(reader_text(&r, "t", REQUIRED), "x");
        assert_true(reader_unsigned(&r, "n", REQUIRED, &n));
        assert_int_equal(n, 5);
        assert_null(reader_text(&r, "no", OPTIONAL));
        assert_null(reader_text(&r, "missing", OPTIONAL));
        assert_string_equal(reader_id(&r, "id", REQUIRED), "a-1");
        assert_null(r.bad);

        static const char *const bad_texts[] = { "n", "nul", "missing", "no" };
        for (size_t i = 0; i < ELEMENTSOF(bad_texts); i++) {
                r = reader_open(o);
                assert_null(reader_text(&r, bad_texts[i], REQUIRED));
                assert_string_equal(r.bad, bad_texts[i]);
        }
        r = reader_open(o);
        assert_false(reader_unsigned(&r, "neg", OPTIONAL, &n));
        assert_null(reader_text(&r, "t", REQUIRED)); /* after the first bad one nothing is read */
        assert_string_equal(r.bad, "neg");
        assert_int_equal(reader_finish(&r, "test"), -EPROTO);

        r = reader_open(NULL);
        assert_null(reader_array(&r, "x", OPTIONAL));
        assert_int_equal(reader_finish(&r, "test"), -EPROTO);
}

static void a_session_s_id_cannot_be_a_path(void **state) {
        static const char *const bad[] = { "{\"session_id\":\"../x\",\"state\":\"running\"}", "{\"session_id\":\"a\"}",
                "{\"session_id\":\"a\",\"state\":{}}", "[]", "\"x\"",
                "{\"session_id\":\"a\",\"state\":\"running\",\"metadata\":[]}" };
        SessionView v;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_json_ json_t *session = load(bad[i]);
                assert_int_equal(session_view(session, &v), -EPROTO);
        }
        _cleanup_json_ json_t *good = load("{\"session_id\":\"a\",\"state\":\"running\",\"new member\":1}");
        assert_int_equal(session_view(good, &v), 0);
}

static int exec_status(const char *members) {
        _cleanup_free_ char *text = xasprintf("{\"stdout\":\"\",\"stderr\":\"\",%s}", members);
        _cleanup_json_ json_t *answer = load(text);
        _cleanup_exec_result_ ExecResult result = { 0 };
        int r = exec_result_read(answer, true, &result);

        return r < 0 ? r : result.status;
}

static void exit_statuses_are_those_of_a_shell(void **state) {
        (void) state;
        assert_int_equal(exec_status("\"reason\":\"exited\",\"exit_code\":0,\"signal\":null"), 0);
        assert_int_equal(exec_status("\"reason\":\"exited\",\"exit_code\":255"), 255);
        assert_int_equal(exec_status("\"reason\":\"signaled\",\"exit_code\":null,\"signal\":15"), 143);
        assert_int_equal(exec_status("\"reason\":\"signaled\",\"exit_code\":-1,\"signal\":\"KILL\""), 137);
        assert_int_equal(exec_status("\"reason\":\"signaled\",\"exit_code\":-1,\"signal\":\"SIGSEGV\""), 139);
        assert_int_equal(exec_status("\"reason\":\"timeout\",\"exit_code\":0,\"signal\":\"KILL\""), 124);
        assert_int_equal(exec_status("\"reason\":\"oom\",\"exit_code\":1"), 137);
        assert_int_equal(exec_status("\"reason\":\"pids\",\"exit_code\":2"), 2);
        assert_int_equal(exec_status("\"reason\":\"lost\",\"exit_code\":0"), 125);
        assert_int_equal(exec_status("\"reason\":\"exited\",\"exit_code\":null"), 125);
        assert_int_equal(exec_status("\"reason\":\"exited\",\"exit_code\":256"), -EPROTO);
        assert_int_equal(exec_status("\"reason\":\"exited\",\"exit_code\":\"0\""), -EPROTO);
        assert_int_equal(exec_status("\"exit_code\":0"), -EPROTO);
}

static void output_is_binary_safe(void **state) {
        _cleanup_json_ json_t *base64 =
                load("{\"reason\":\"exited\",\"exit_code\":0,\"stdout\":\"AP8K\",\"stderr\":\"\"}");
        _cleanup_json_ json_t *text =
                load("{\"reason\":\"exited\",\"exit_code\":0,\"stdout\":\"a\\u0000\",\"stderr\":\"b\"}");
        _cleanup_exec_result_ ExecResult a = { 0 }, b = { 0 }, c = { 0 };

        (void) state;
        assert_int_equal(exec_result_read(base64, true, &a), 0);
        assert_int_equal(a.out_length, 3);
        assert_memory_equal(a.out, "\0\xff\n", 4);
        assert_int_equal(exec_result_read(text, false, &b), 0);
        assert_int_equal(b.out_length, 2);
        assert_memory_equal(b.out, "a\0", 3);
        assert_int_equal(exec_result_read(text, true, &c), -EPROTO);
}

static void check_problem(unsigned status, unsigned retry_after, const char *json, const char *expected) {
        Answer a = { .status = status, .retry_after = retry_after, .json = json ? load(json) : NULL };
        _cleanup_free_ char *text = problem_text(&a);

        assert_string_equal(text, expected);
        answer_clear(&a);
}

static void problems_name_field_and_limit(void **state) {
        (void) state;
        check_problem(422, 0, "{\"title\":\"T\",\"detail\":\"D.\",\"field\":\"f\",\"limit\":\"l\"}",
                "T: D (field f, limit l)");
        check_problem(422, 0, "{\"title\":\"T\",\"limit\":64}", "T (limit 64)");
        check_problem(503, 7, "{\"title\":\"T\",\"detail\":\"D.\"}", "T: D; try again in 7 s");
        check_problem(410, 0, "{\"title\":\"T\",\"reason\":\"\\u001b[1m\",\"session_id\":\"i\"}",
                "T (session i, reason \\x1b[1m)");
        check_problem(502, 0, NULL, "The server answered with HTTP status 502");
        check_problem(500, 0, "{\"title\":5}", "The server answered with HTTP status 500");
        check_problem(500, 0, "[]", "The server answered with HTTP status 500");
}

static void health_is_told_by_its_form(void **state) {
        _cleanup_json_ json_t *health = load("{\"status\":\"draining\",\"pool_size\":5}");
        _cleanup_json_ json_t *problem = load("{\"status\":503,\"title\":\"x\"}"),
                              *bad = load("{\"status\":\"x\",\"pool_size\":[]}");
        HealthView v;

        (void) state;
        assert_true(health_is(&(Answer){ .status = 503, .json = health }));
        assert_false(health_is(&(Answer){ .status = 503, .json = problem }));
        assert_false(health_is(&(Answer){ .status = 200, .json = NULL }));
        assert_int_equal(health_view(health, &v), 0);
        assert_int_equal(v.pool_size, 5);
        assert_int_equal(health_view(bad, &v), -EPROTO);
}

static void times_and_sizes(void **state) {
        char buf[SPAN_MAX];
        usec_t t;

        (void) state;
        assert_int_equal(parse_timestamp("1970-01-02T00:00:01.5Z", &t), 0);
        assert_int_equal(t, 86401500000);
        assert_int_equal(parse_timestamp("1970-01-02T00:00:01+02:00", &t), -EINVAL);
        assert_int_equal(parse_timestamp("yesterday", &t), -EINVAL);
        assert_string_equal(format_span(59 * USEC_PER_SEC, buf), "59s");
        assert_string_equal(format_span(3601 * USEC_PER_SEC, buf), "1h 0min");
        assert_string_equal(format_span(50 * 3600 * USEC_PER_SEC, buf), "2d 2h");
        assert_string_equal(format_span(USEC_INFINITY, buf), "213503982d 8h");
        assert_string_equal(format_size(1000, buf), "1000");
        assert_string_equal(format_size(512 * MIB, buf), "512M");
        assert_string_equal(format_size(3 * GIB / 2, buf), "1.5G");
        assert_string_equal(format_size(UINT64_MAX, buf), "16E");
}

static void kernel_texts(void **state) {
        static const char *const dev = "Inter-|   Receive |\n face |bytes\n    lo: 0 0\n  eth0: 1 2\n";
        static const char *const limits = "Limit                     Soft Limit           Hard Limit           Units\n"
                                          "Max open files            1024                 4096                 files\n"
                                          "Max core file size        0                    unlimited            bytes\n";
        static const char *const mounts = "tmpfs /tmp tmpfs rw,nosuid,size=65536k,nr_inodes=10 0 0\n"
                                          "tmpfs /ro tmpfs ro,relatime 0 0\nproc /proc proc rw 0 0\nx\n";
        uint64_t n;

        (void) state;
        _cleanup_free_ char *names = proc_interfaces(dev), *none = proc_interfaces("");
        assert_string_equal(names, "lo eth0");
        assert_string_equal(none, "");
        assert_false(proc_has_routes("Iface\tDestination\n"));
        assert_false(proc_has_routes(""));
        assert_true(proc_has_routes("Iface\tDestination\neth0\t00000000\n"));
        assert_int_equal(proc_limit(limits, "Max open files", &n), 0);
        assert_int_equal(n, 4096);
        assert_int_equal(proc_limit(limits, "Max core file size", &n), -ERANGE);
        assert_int_equal(proc_limit(limits, "Max cheese", &n), -ENOENT);
        assert_int_equal(proc_limit("Max open files", "Max open files", &n), -ENOENT);
        assert_null(proc_unlimited_tmpfs(mounts, &n));
        assert_int_equal(n, 64 * MIB);
        _cleanup_free_ char *point = proc_unlimited_tmpfs("tmpfs /x tmpfs rw,mode=755 0 0\n", &n);
        assert_string_equal(point, "/x");
        assert_int_equal(n, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(escapes_what_moves_or_colours_a_terminal),
                cmocka_unit_test(keeps_letters_of_the_locale),
                cmocka_unit_test(columns_line_up),
                cmocka_unit_test(reader_refuses_wrong_types),
                cmocka_unit_test(a_session_s_id_cannot_be_a_path),
                cmocka_unit_test(exit_statuses_are_those_of_a_shell),
                cmocka_unit_test(output_is_binary_safe),
                cmocka_unit_test(problems_name_field_and_limit),
                cmocka_unit_test(health_is_told_by_its_form),
                cmocka_unit_test(times_and_sizes),
                cmocka_unit_test(kernel_texts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
