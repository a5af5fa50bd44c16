/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/terminal.h"

static char *page; /* of the manual */

static bool page_has_line(const char *line, bool whole) {
        size_t n = strlen(line);

        for (const char *p = page; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
                if (strncmp(p, line, n) == 0 && (p[n] == '\n' || (!whole && p[n] == ' ')))
                        return true;
        return false;
}

static size_t page_count(const char *start) {
        size_t count = 0;

        for (const char *p = page; (p = strstr(p, start)); p++)
                count++;
        return count;
}

static void every_command_has_its_item_in_the_page(void **state) {
        (void) state;
        for (size_t i = 0; i < command_table_size; i++) {
                _cleanup_free_ char *line = xasprintf(".It Ic %s", command_table[i].name);
                if (!page_has_line(line, false))
                        fail_msg("sandboxctl.1 lacks the line: %s", line);
        }
        assert_int_equal(page_count("\n.It Ic "), command_table_size);
}

static void every_option_has_its_item_in_the_page(void **state) {
        (void) state;
        for (size_t i = 0; i < option_table_size; i++) {
                const Option *o = option_table + i;
                char letter[] = "q , Fl ";
                _cleanup_free_ char *line = NULL;

                letter[0] = o->letter;
                line = xasprintf(
                        ".It Fl %s-%s%s%s", o->letter ? letter : "", o->name, o->value ? " Ar " : "", o->value ?: "");
                if (!page_has_line(line, true))
                        fail_msg("sandboxctl.1 lacks the line: %s", line);
        }
        assert_int_equal(page_count("\n.It Fl "), option_table_size);
}

static void words_of_the_tables_are_well_formed(void **state) {
        (void) state;
        for (size_t i = 0; i < command_table_size; i++) {
                const Command *c = command_table + i;
                assert_non_null(c->run);
                assert_true(*c->description && c->description[strlen(c->description) - 1] != '.');
                assert_true((c->options & OPTIONS_GLOBAL) == 0);
                assert_true(c->max_args == -1 || c->max_args >= c->min_args);
        }
        for (size_t i = 0; i < option_table_size; i++) {
                assert_true((option_table[i].value == NULL) == (option_table[i].type == OPTION_FLAG));
                assert_true(option_table[i].offset < sizeof(Options));
        }
}

/* Each set that an option names is one that a command takes. */
static void no_option_is_without_a_command(void **state) {
        unsigned taken = OPTIONS_GLOBAL;

        (void) state;
        for (size_t i = 0; i < command_table_size; i++)
                taken |= command_table[i].options;
        for (size_t i = 0; i < option_table_size; i++)
                assert_int_equal(option_table[i].sets & ~taken, 0);
}

static void tells_the_commands_of_a_group(void **state) {
        char text[4096] = "";
        FILE *f = fmemopen(text, sizeof text, "w");

        (void) state;
        assert_non_null(f);
        assert_false(command_help_group("work", f));
        assert_false(command_help_group("kill", f));
        assert_false(command_help_group("", f));
        assert_true(command_help_group("snapshot", f)); /* a command by itself too */
        (void) fclose(f);
        assert_non_null(strstr(text, "  snapshot delete SNAPSHOT..."));
        assert_non_null(strstr(text, "  snapshot ID"));
        assert_null(strstr(text, "worker"));
}

static void finds_commands_of_one_and_two_words(void **state) {
        char *two[] = { (char *) "worker", (char *) "drain", (char *) "w" },
             *one[] = { (char *) "kill", (char *) "drain" };
        char *half[] = { (char *) "worker" }, *unknown[] = { (char *) "work" };
        int n;

        (void) state;
        assert_string_equal(command_find(two, 3, &n)->name, "worker drain");
        assert_int_equal(n, 2);
        assert_string_equal(command_find(one, 2, &n)->name, "kill");
        assert_int_equal(n, 1);
        assert_null(command_find(half, 1, &n));
        assert_null(command_find(unknown, 1, &n));
}

static int read_page(void **state) {
        FILE *f = fopen(SOURCE_ROOT "/man/sandboxctl.1", "re");
        size_t room = 0;

        (void) state;
        if (!f)
                return -1;
        ssize_t n = getdelim(&page, &room, '\0', f);
        (void) fclose(f);
        return n > 0 ? 0 : -1;
}

static int drop_page(void **state) {
        (void) state;
        free(page);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_command_has_its_item_in_the_page),
                cmocka_unit_test(every_option_has_its_item_in_the_page),
                cmocka_unit_test(words_of_the_tables_are_well_formed),
                cmocka_unit_test(no_option_is_without_a_command),
                cmocka_unit_test(finds_commands_of_one_and_two_words),
                cmocka_unit_test(tells_the_commands_of_a_group),
        };
        return cmocka_run_group_tests(tests, read_page, drop_page);
}
