/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/config.h"

/* The sample files and the manual page say of each setting what the table says, and of no other. */

#define SAMPLE SOURCE_ROOT "/etc/sandboxd.conf"
#define DEFAULTS SOURCE_ROOT "/etc/default/sandboxd"
#define MANUAL SOURCE_ROOT "/man/sandboxd.conf.5"

typedef struct Lines {
        FILE *file;
        char *line; /* without its newline */
        size_t room;
} Lines;

static void lines_close(Lines *l) {
        if (l->file)
                (void) fclose(l->file);
        free(l->line);
}

static Lines lines_open(const char *path) {
        Lines l = { .file = fopen(path, "re") };

        if (!l.file)
                fail_msg("%s: %s", path, strerror(errno));
        return l;
}

static const char *lines_next(Lines *l) {
        ssize_t n = getline(&l->line, &l->room, l->file);

        if (n < 0)
                return NULL;
        if (n > 0 && l->line[n - 1] == '\n')
                l->line[n - 1] = '\0';
        return l->line;
}

static const ConfSetting *settings(size_t *ret_n) {
        *ret_n = config_describe()->n;
        return config_describe()->settings;
}

/* Is it "#Name=value" as a sample has it, not a sentence? */
static bool is_sample(const char *line) {
        return line[0] == '#' && line[1] >= 'A' && line[1] <= 'Z' && strchr(line, '=');
}

static void sample_has_every_setting_with_its_default(void **state) {
        _cleanup_(lines_close) Lines l = lines_open(SAMPLE);
        char section[32] = "", above[256] = "", expected[256];
        size_t n;
        const ConfSetting *s = settings(&n), *end = s + n;

        (void) state;
        for (const char *line; (line = lines_next(&l));) {
                if (line[0] == '[')
                        (void) sscanf(line, "[%31[A-Za-z]]", section);
                if (is_sample(line)) {
                        if (s == end || !s->section)
                                fail_msg("%s is no setting", line);
                        assert_string_equal(section, s->section);
                        (void) snprintf(expected, sizeof expected, "#%s=%s", s->key, s->fallback);
                        assert_string_equal(line, expected);
                        (void) snprintf(expected, sizeof expected, "# %s.", s->description);
                        assert_string_equal(above, expected);
                        s++;
                } else if (line[0] && line[0] != '#' && line[0] != '[')
                        fail_msg("%s is not commented out", line);
                (void) snprintf(above, sizeof above, "%.*s", (int) sizeof above - 1, line);
        }
        if (s < end && s->section)
                fail_msg("%s= is missing", s->key);
}

static void sample_without_its_comment_signs_is_what_holds_anyway(void **state) {
        _cleanup_(lines_close) Lines l = lines_open(SAMPLE);
        _cleanup_(config_freep) Config *c = calloc(1, sizeof *c), *d = calloc(1, sizeof *d);
        _cleanup_error_ Error e = { 0 };
        char text[8192];
        size_t used = 0;

        (void) state;
        assert_non_null(c);
        assert_non_null(d);
        for (const char *line; (line = lines_next(&l));)
                used += (size_t) snprintf(text + used, sizeof text - used, "%s\n", is_sample(line) ? line + 1 : line);
        assert_true(used < sizeof text);

        assert_int_equal(conf_set_defaults(config_describe(), c, &e), 0);
        assert_int_equal(conf_set_defaults(config_describe(), d, &e), 0);
        if (conf_parse_text(config_describe(), SAMPLE, text, used, c, &e) < 0)
                fail_msg("%s", e.detail);

        assert_string_equal(c->backend, d->backend);
        assert_string_equal(c->image, d->image);
        assert_string_equal(c->warm, d->warm);
        free(c->worker_id);
        free(c->backend);
        free(c->image);
        free(c->coordinators);
        c->coordinators = d->coordinators;
        free(c->warm);
        c->worker_id = d->worker_id;
        c->backend = d->backend;
        c->image = d->image;
        c->warm = d->warm;
        assert_memory_equal(c, d, sizeof *c);
        c->worker_id = c->backend = c->image = c->coordinators = c->warm = NULL;
}

static void defaults_file_has_every_variable(void **state) {
        _cleanup_(lines_close) Lines l = lines_open(DEFAULTS);
        char above[256] = "", expected[256];
        size_t n;
        const ConfSetting *s = settings(&n), *end = s + n;

        (void) state;
        for (const char *line; (line = lines_next(&l));) {
                if (is_sample(line)) {
                        while (s < end && !s->environment)
                                s++;
                        if (s == end)
                                fail_msg("%s is no variable", line);
                        (void) snprintf(expected, sizeof expected, "#%s=%s", s->environment, s->fallback);
                        assert_string_equal(line, expected);
                        (void) snprintf(expected, sizeof expected, "# %s.", s->description);
                        assert_string_equal(above, expected);
                        s++;
                } else if (line[0] && line[0] != '#')
                        fail_msg("%s is not commented out", line);
                (void) snprintf(above, sizeof above, "%.*s", (int) sizeof above - 1, line);
        }
        for (; s < end; s++)
                if (s->environment)
                        fail_msg("%s is missing", s->environment);
}

/* The manual's item that begins with the line @head, as one line of text; NULL when there is none. */
static char *manual_item(const char *head, char *buf, size_t size) {
        _cleanup_(lines_close) Lines l = lines_open(MANUAL);
        bool in = false;
        size_t used = 0;

        buf[0] = '\0';
        for (const char *line; (line = lines_next(&l));) {
                if (strcmp(line, head) == 0) {
                        in = true;
                        continue;
                }
                if (in && (strncmp(line, ".It", 3) == 0 || strcmp(line, ".El") == 0))
                        return buf;
                if (in)
                        used += (size_t) snprintf(buf + used, size - used, "%s ", line);
                assert_true(used < size);
        }
        return NULL;
}

static void contains(const char *item, const char *name, const char *format, const char *value) {
        char expected[512];

        (void) snprintf(expected, sizeof expected, "%s%s.", format, value);
        if (!strstr(item, expected))
                fail_msg("%s in %s lacks: %s", name, MANUAL, expected);
}

static void manual_says_of_every_setting_what_the_table_says(void **state) {
        size_t n;
        const ConfSetting *s = settings(&n);

        (void) state;
        for (const ConfSetting *end = s + n; s < end; s++) {
                char head[128], text[4096];

                if (s->environment) {
                        (void) snprintf(head, sizeof head, ".It Ev %s", s->environment);
                        if (!manual_item(head, text, sizeof text))
                                fail_msg("%s lacks %s", MANUAL, head);
                }
                if (s->environment && s->section) {
                        char place[128];

                        (void) snprintf(place, sizeof place, ".Cm %s= of [%s]", s->key, s->section);
                        contains(text, s->environment, "Is above ", place);
                }
                if (s->section) {
                        (void) snprintf(head, sizeof head, ".It Cm %s=", s->key);
                        if (!manual_item(head, text, sizeof text))
                                fail_msg("%s lacks %s", MANUAL, head);
                }
                contains(text, head, "", s->description);
                contains(text, head, "Takes ", s->expected);
                contains(text, head, "Default: ", *s->fallback ? s->fallback : "nothing");
        }
}

static void manual_knows_no_other_setting(void **state) {
        _cleanup_(lines_close) Lines l = lines_open(MANUAL);
        char section[32] = "", key[64];
        size_t n;
        const ConfSetting *s = settings(&n), *end = s + n;

        (void) state;
        for (const char *line; (line = lines_next(&l));) {
                (void) sscanf(line, ".Ss Section %31s", section);
                if (sscanf(line, ".It Cm %63[A-Za-z]=", key) != 1)
                        continue;
                if (s == end || !s->section)
                        fail_msg("%s= is no setting", key);
                assert_string_equal(section, s->section);
                assert_string_equal(key, s->key);
                s++;
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(sample_has_every_setting_with_its_default),
                cmocka_unit_test(sample_without_its_comment_signs_is_what_holds_anyway),
                cmocka_unit_test(defaults_file_has_every_variable),
                cmocka_unit_test(manual_says_of_every_setting_what_the_table_says),
                cmocka_unit_test(manual_knows_no_other_setting),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
