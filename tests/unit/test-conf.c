/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "conf/conf.h"

typedef struct Values {
        unsigned number;
        bool flag;
        uint64_t size;
        usec_t time;
        uint32_t quota;
        char *word;
        char list[256]; /* each piece in brackets */
} Values;

static int parse_list(const ConfSetting *s _unused_, const char *value, bool more, void *field, Error *error) {
        char *list = field;
        size_t used = more ? strlen(list) : 0;

        if (strcmp(value, "bad") == 0)
                return error_set(error, ERROR_INVALID_VALUE, "that is a bad piece");
        if (*value)
                (void) snprintf(list + used, 256 - used, "(%s)", value);
        else if (!more)
                list[0] = '\0';
        return 0;
}

/* clang-format off */
static const ConfSetting settings[] = {
        { "A", "Number", "TEST_NUMBER", conf_parse_unsigned, CONF_MEMBER(Values, number),
          .min = 2, .max = 9, .fallback = "5", .expected = "a whole number from 2 to 9" },
        { "A", "Flag", NULL, conf_parse_boolean, CONF_MEMBER(Values, flag), .fallback = "no", .expected = "yes or no" },
        { "A", "Size", NULL, conf_parse_size, CONF_MEMBER(Values, size),
          .max = 1 * GIB, .fallback = "1k", .expected = "a size" },
        { "B", "Time", NULL, conf_parse_duration, CONF_MEMBER(Values, time),
          .max = 60 * USEC_PER_SEC, .fallback = "1s", .expected = "a time" },
        { "B", "Quota", NULL, conf_parse_cpu_quota, CONF_MEMBER(Values, quota),
          .max = 100000, .fallback = "1%", .expected = "a share" },
        { "B", "Word", NULL, conf_parse_choice, CONF_MEMBER(Values, word),
          .choices = "one two", .fallback = "one", .expected = "one or two" },
        { "B", "List", "TEST_LIST", parse_list, CONF_MEMBER(Values, list),
          .list = true, .secret = true, .fallback = "", .expected = "pieces" },
        { "B", "Only", NULL, conf_parse_only, .choices = "this", .fallback = "this", .expected = "this" },
        { NULL, NULL, "TEST_ONLY", conf_parse_unsigned, CONF_MEMBER(Values, number),
          .max = 9, .fallback = "5", .expected = "a digit" },
};
/* clang-format on */
static const ConfTable table = { settings, ELEMENTSOF(settings) };

static Values values;
static char *detail; /* of the last refusal */

static int setup(void **state) {
        (void) state;
        free(values.word);
        values = (Values){ 0 };
        return conf_set_defaults(&table, &values, NULL);
}

static int group_teardown(void **state) {
        (void) state;
        free(values.word);
        free(detail);
        return 0;
}

static int keep_detail(int r, Error *e) {
        assert_int_equal(r < 0, e->kind != ERROR_NONE);
        free(detail);
        detail = take_ptr(e->detail);
        return r;
}

static int parse_bytes(const char *text, size_t length) {
        _cleanup_error_ Error e = { 0 };

        return keep_detail(conf_parse_text(&table, "f.conf", text, length, &values, &e), &e);
}

static int parse(const char *text) {
        return parse_bytes(text, strlen(text));
}

static void accepted(const char *text) {
        if (parse(text) < 0)
                fail_msg("refused: %s", detail);
}

static void refused(const char *text, const char *expected) {
        assert_int_equal(parse(text), -EINVAL);
        assert_string_equal(detail, expected);
}

static void defaults_fill_every_member(void **state) {
        (void) state;
        assert_int_equal(values.number, 5);
        assert_int_equal(values.size, 1024);
        assert_int_equal(values.time, USEC_PER_SEC);
        assert_int_equal(values.quota, 1000);
        assert_string_equal(values.word, "one");
}

static void file_sets_members_of_every_kind(void **state) {
        (void) state;
        accepted("# comment\n; comment\n\n[A]\nNumber=7\nFlag = yes ; why\r\nSize=\t2M\n[B] ; second\nTime=1.5s\n"
                 "Quota=50%\nWord=two\nOnly=this\nList=x y");
        assert_int_equal(values.number, 7);
        assert_true(values.flag);
        assert_int_equal(values.size, 2 * MIB);
        assert_int_equal(values.time, 1500000);
        assert_int_equal(values.quota, 50000);
        assert_string_equal(values.word, "two");
        assert_string_equal(values.list, "(x y)");
}

static void empty_file_changes_nothing(void **state) {
        (void) state;
        accepted("");
        accepted("\n\n");
        accepted("\xEF\xBB\xBF");
        assert_int_equal(values.number, 5);
}

static void byte_order_mark_is_skipped(void **state) {
        (void) state;
        accepted("\xEF\xBB\xBF[A]\nNumber=3\n");
        assert_int_equal(values.number, 3);
}

static void section_may_come_again(void **state) {
        (void) state;
        accepted("[A]\nNumber=3\n[B]\n[A]\nFlag=1\n");
        assert_int_equal(values.number, 3);
        assert_true(values.flag);
}

static void empty_value_is_the_default(void **state) {
        (void) state;
        accepted("[A]\nNumber=7\n[B]\nList=x\n");
        accepted("[A]\nNumber=\n[B]\nList=\n");
        assert_int_equal(values.number, 5);
        assert_string_equal(values.list, "");
}

static void list_goes_on_in_indented_lines(void **state) {
        (void) state;
        accepted("[B]\nList=a\n  b ; comment\n# comment\n\n\tc;d\n   ; comment\nWord=two\n");
        assert_string_equal(values.list, "(a)(b)(c;d)");
        accepted("[B]\nList=\n  x\n  y\n");
        assert_string_equal(values.list, "(x)(y)");
}

static void unknown_section_is_refused_even_when_empty(void **state) {
        (void) state;
        refused("[A]\n\n[C]\n", "f.conf:3: there is no section [C]; expected one of: A B.");
        refused("[a]\nNumber=3\n", "f.conf:1: there is no section [a]; expected one of: A B.");
        refused("[]\n", "f.conf:1: there is no section []; expected one of: A B.");
        refused("[ A ]\n", "f.conf:1: there is no section [ A ]; expected one of: A B.");
}

static void unknown_key_is_refused(void **state) {
        (void) state;
        refused("[A]\nNumbers=3\n", "f.conf:2: [A] has no setting Numbers=; expected one of: Number Flag Size.");
        refused("[A]\nTime=3\n", "f.conf:2: [A] has no setting Time=; expected one of: Number Flag Size.");
        refused("[A]\n=3\n", "f.conf:2: [A] has no setting =; expected one of: Number Flag Size.");
        refused("[A]\nTEST_NUMBER=3\n",
                "f.conf:2: [A] has no setting TEST_NUMBER=; expected one of: Number Flag Size.");
}

static void bad_value_is_refused_with_what_was_expected(void **state) {
        (void) state;
        refused("[A]\nNumber=10\n", "f.conf:2: [A] Number=10: expected a whole number from 2 to 9.");
        refused("[A]\nNumber=1\n", "f.conf:2: [A] Number=1: expected a whole number from 2 to 9.");
        refused("[A]\nNumber=7 # seven\n", "f.conf:2: [A] Number=7 # seven: expected a whole number from 2 to 9.");
        refused("[A]\nFlag=maybe\n", "f.conf:2: [A] Flag=maybe: expected yes or no.");
        refused("[A]\nSize=2G\n", "f.conf:2: [A] Size=2G: expected a size.");
        refused("[B]\nTime=61s\n", "f.conf:2: [B] Time=61s: expected a time.");
        refused("[B]\nQuota=101%\n", "f.conf:2: [B] Quota=101%: expected a share.");
        refused("[B]\nWord=on\n", "f.conf:2: [B] Word=on: expected one or two.");
        refused("[B]\nOnly=that\n", "f.conf:2: [B] Only=that: expected this.");
}

static void parser_may_say_more_and_a_secret_is_not_shown(void **state) {
        (void) state;
        refused("[B]\nList=bad\n", "f.conf:2: [B] List=...: that is a bad piece.");
        refused("[B]\nList=x\n bad\n", "f.conf:3: [B] List=...: that is a bad piece.");
}

static void key_that_comes_twice_in_a_file_is_refused(void **state) {
        (void) state;
        refused("[A]\nNumber=3\nFlag=1\nNumber=3\n", "f.conf:4: [A] Number= is set twice in this file.");
        refused("[B]\nList=a\nList=b\n", "f.conf:3: [B] List= is set twice in this file.");
        accepted("[A]\nNumber=4\n");
}

static void key_before_any_section_is_refused(void **state) {
        (void) state;
        refused("Number=3\n", "f.conf:1: Number= stands before the first [Section].");
}

static void line_of_no_form_is_refused(void **state) {
        (void) state;
        refused("[A]\nNumber\n", "f.conf:2: expected [Section], KEY=VALUE or a comment.");
        refused("[A\nNumber=3\n", "f.conf:1: \"[A\" lacks its \"]\".");
        refused("[A] Number=3\n", "f.conf:1: \"Number=3\" after a section; write it on a line of its own.");
        refused("[A]x\n", "f.conf:1: \"x\" after a section; write it on a line of its own.");
}

static void first_of_two_errors_is_told(void **state) {
        (void) state;
        refused("[A]\nNumber\nFlag=maybe\n", "f.conf:2: expected [Section], KEY=VALUE or a comment.");
        refused("[A]\nFlag=maybe\nNumber\n", "f.conf:2: [A] Flag=maybe: expected yes or no.");
        refused("[A]\nNumber\n[C]\n", "f.conf:2: expected [Section], KEY=VALUE or a comment.");
}

static void indented_assignment_is_refused(void **state) {
        static const char text[] = "the line is indented; only the values of a list go on in indented lines.";
        char expected[256];

        (void) state;
        (void) snprintf(expected, sizeof expected, "f.conf:3: %s", text);
        refused("[A]\nNumber=3\n Flag=yes\n", expected);
        refused("[B]\nList=x\nWord=two\n  y\n", "f.conf:4: the line is indented; only the values of a list go on in "
                                                "indented lines.");
        (void) snprintf(expected, sizeof expected, "f.conf:2: %s", text);
        refused("[A]\n  Number=3\n", expected);
        (void) snprintf(expected, sizeof expected, "f.conf:4: %s", text);
        refused("[B]\nList=x\n[A]\n y\n", expected);
}

static void long_line_is_refused_and_never_cut(void **state) {
        char text[4096];

        (void) state;
        /* What inih would leave behind the cut is an assignment. */
        (void) snprintf(text, sizeof text, "[A]\nNumber=3%*s\n", 300, "Flag=yes");
        refused(text, "f.conf:2: the line is longer than 190 bytes.");

        (void) snprintf(text, sizeof text, "[B]\nList=%0*d\n", (int) CONF_LINE_MAX - 5, 1);
        accepted(text);
        assert_int_equal(strlen(values.list), CONF_LINE_MAX - 5 + 2);
        (void) snprintf(text, sizeof text, "[B]\nList=%0*d\n", (int) CONF_LINE_MAX - 4, 1);
        refused(text, "f.conf:2: the line is longer than 190 bytes.");
}

static void comment_may_be_long(void **state) {
        char text[4096];

        (void) state;
        (void) snprintf(text, sizeof text, "#%*s\n[A]\n  ; %*s\nNumber=3\n", 1000, "[C]", 500, "x");
        accepted(text);
        assert_int_equal(values.number, 3);
}

static void bytes_that_are_no_text_are_refused(void **state) {
        (void) state;
        refused("[A]\nNumber=\xFF\n", "f.conf:2: the line is not UTF-8 text.");
        assert_int_equal(parse_bytes("[A]\nNumber=3\0junk\n", 18), -EINVAL);
        assert_string_equal(detail, "f.conf:2: the line is not UTF-8 text.");
        assert_int_equal(parse_bytes("\xFF\xFE[\0A\0]\0", 8), -EINVAL);
        refused("[A]\nNumber=\x1b[2J\n", "f.conf:2: the line has a control character.");
}

static void environment_is_above_and_empty_is_unset(void **state) {
        _cleanup_error_ Error e = { 0 };

        (void) state;
        (void) setenv("TEST_NUMBER", "8", 1);
        (void) setenv("TEST_LIST", "", 1);
        accepted("[A]\nNumber=3\n[B]\nList=x\n");
        assert_int_equal(conf_load_environment(&table, &values, &e), 0);
        assert_int_equal(values.number, 8);
        assert_string_equal(values.list, "(x)");
        (void) unsetenv("TEST_NUMBER");
}

static void bad_variable_is_refused_by_name(void **state) {
        _cleanup_error_ Error e = { 0 };

        (void) state;
        (void) setenv("TEST_NUMBER", "x", 1);
        assert_int_equal(conf_load_environment(&table, &values, &e), -EINVAL);
        assert_string_equal(e.detail, "environment: TEST_NUMBER=x: expected a whole number from 2 to 9.");
        (void) unsetenv("TEST_NUMBER");
}

static char folder[32];

static int folder_make(void **state) {
        (void) strcpy(folder, "/tmp/test-conf-XXXXXX");
        return setup(state) < 0 || !mkdtemp(folder) ? -1 : 0;
}

static int folder_drop(void **state) {
        char command[64];

        (void) state;
        (void) snprintf(command, sizeof command, "rm -rf %s", folder);
        return system(command);
}

static const char *in_folder(const char *name) {
        static char path[128];

        (void) snprintf(path, sizeof path, "%s/%s", folder, name);
        return path;
}

static void put(const char *name, const char *text) {
        FILE *f = fopen(in_folder(name), "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static int load(const char *name) {
        _cleanup_error_ Error e = { 0 };

        return keep_detail(conf_load_file(&table, in_folder(name), &values, &e), &e);
}

static int load_folder(const char *path) {
        _cleanup_error_ Error e = { 0 };

        return keep_detail(conf_load_folder(&table, path, &values, &e), &e);
}

static void missing_file_and_folder_are_fine(void **state) {
        (void) state;
        assert_int_equal(load("none"), 0);
        assert_int_equal(load_folder(in_folder("none")), 0);
}

static void file_is_loaded_and_named_in_errors(void **state) {
        (void) state;
        put("a.conf", "[A]\nNumber=3\n");
        assert_int_equal(load("a.conf"), 0);
        assert_int_equal(values.number, 3);

        put("a.conf", "[A]\nNumber=x\n");
        assert_int_equal(load("a.conf"), -EINVAL);
        assert_true(strncmp(detail, folder, strlen(folder)) == 0);
        assert_non_null(strstr(detail, "/a.conf:2: [A] Number=x: expected"));
}

static void what_is_not_a_regular_file_is_refused(void **state) {
        (void) state;
        assert_int_equal(mkdir(in_folder("d.conf"), 0700), 0);
        assert_int_equal(load("d.conf"), -EINVAL);
        assert_non_null(strstr(detail, "is not a regular file"));

        assert_int_equal(mkfifo(in_folder("f.conf"), 0600), 0);
        assert_int_equal(load("f.conf"), -EINVAL); /* and does not wait for a writer */

        assert_int_equal(symlink("/dev/zero", in_folder("z.conf")), 0);
        assert_int_equal(load("z.conf"), -EINVAL);
}

static void unreadable_file_is_an_error(void **state) {
        (void) state;
        assert_int_equal(symlink("loop.conf", in_folder("loop.conf")), 0);
        assert_int_equal(load("loop.conf"), -ELOOP);
        assert_non_null(strstr(detail, "loop.conf: cannot be read: Too many levels of symbolic links."));

        put("file", "");
        assert_int_equal(load("file/x"), -ENOTDIR);
        assert_int_equal(load_folder(in_folder("file")), -ENOTDIR);
}

static void huge_file_is_refused(void **state) {
        (void) state;
        put("h.conf", "");
        assert_int_equal(truncate(in_folder("h.conf"), (off_t) CONF_FILE_MAX + 1), 0);
        assert_int_equal(load("h.conf"), -EINVAL);
        assert_non_null(strstr(detail, "is longer than 1 MiB"));
}

static void folder_s_files_come_in_byte_order(void **state) {
        (void) state;
        put("20.conf", "[A]\nNumber=2\n");
        put("10.conf", "[A]\nNumber=3\nFlag=yes\n");
        put("Z.conf", "[A]\nNumber=4\n");
        put("a.conf", "[A]\nNumber=6\n");
        put("README", "not a configuration");
        put(".hidden.conf", "not a configuration");
        put("a.conf~", "not a configuration");
        put(".conf", "not a configuration");
        assert_int_equal(load_folder(folder), 0);
        assert_int_equal(values.number, 6);
        assert_true(values.flag);
}

static void folder_with_one_bad_file_is_refused(void **state) {
        (void) state;
        put("10.conf", "[A]\nNumber=x\n");
        put("20.conf", "[A]\nNumber=y\n");
        assert_int_equal(load_folder(folder), -EINVAL);
        assert_non_null(strstr(detail, "/10.conf:2:"));
}

static void folder_with_a_link_to_nowhere_is_refused(void **state) {
        (void) state;
        assert_int_equal(symlink("nowhere", in_folder("10.conf")), 0);
        assert_int_equal(load_folder(folder), -ENOENT);
        assert_non_null(strstr(detail, "/10.conf: is a link to nowhere."));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_drop)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(defaults_fill_every_member),
                TEST(file_sets_members_of_every_kind),
                TEST(empty_file_changes_nothing),
                TEST(byte_order_mark_is_skipped),
                TEST(section_may_come_again),
                TEST(empty_value_is_the_default),
                TEST(list_goes_on_in_indented_lines),
                TEST(unknown_section_is_refused_even_when_empty),
                TEST(unknown_key_is_refused),
                TEST(bad_value_is_refused_with_what_was_expected),
                TEST(parser_may_say_more_and_a_secret_is_not_shown),
                TEST(key_that_comes_twice_in_a_file_is_refused),
                TEST(key_before_any_section_is_refused),
                TEST(line_of_no_form_is_refused),
                TEST(first_of_two_errors_is_told),
                TEST(indented_assignment_is_refused),
                TEST(long_line_is_refused_and_never_cut),
                TEST(comment_may_be_long),
                TEST(bytes_that_are_no_text_are_refused),
                TEST(environment_is_above_and_empty_is_unset),
                TEST(bad_variable_is_refused_by_name),
                WITH_FOLDER(missing_file_and_folder_are_fine),
                WITH_FOLDER(file_is_loaded_and_named_in_errors),
                WITH_FOLDER(what_is_not_a_regular_file_is_refused),
                WITH_FOLDER(unreadable_file_is_an_error),
                WITH_FOLDER(huge_file_is_refused),
                WITH_FOLDER(folder_s_files_come_in_byte_order),
                WITH_FOLDER(folder_with_one_bad_file_is_refused),
                WITH_FOLDER(folder_with_a_link_to_nowhere_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, group_teardown);
}
