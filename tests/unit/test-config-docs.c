/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "coord/config.h"
#include "daemon/config.h"

/* The sample files and the manual pages say of each setting what the table says, and of no other. */

typedef struct Documents {
        const char *sample, *defaults, *manual;
        const ConfTable *(*describe)(void);
} Documents;

static Documents worker = {
        .sample = SOURCE_ROOT "/etc/sandboxd.conf",
        .defaults = SOURCE_ROOT "/etc/default/sandboxd",
        .manual = SOURCE_ROOT "/man/sandboxd.conf.5",
        .describe = config_describe,
};

static Documents coordinator = {
        .sample = SOURCE_ROOT "/etc/coordinator.conf",
        .defaults = SOURCE_ROOT "/etc/default/sandbox-coord",
        .manual = SOURCE_ROOT "/man/coordinator.conf.5",
        .describe = coord_config_describe,
};

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

static const ConfSetting *settings(const Documents *d, size_t *ret_n) {
        *ret_n = d->describe()->n;
        return d->describe()->settings;
}

/* Is it "#Name=value" as a sample has it, not a sentence? */
static bool is_sample(const char *line) {
        return line[0] == '#' && line[1] >= 'A' && line[1] <= 'Z' && strchr(line, '=');
}

static void sample_has_every_setting_with_its_default(void **state) {
        const Documents *d = *state;
        _cleanup_(lines_close) Lines l = lines_open(d->sample);
        char section[32] = "", above[256] = "", expected[256];
        size_t n;
        const ConfSetting *s = settings(d, &n), *end = s + n;

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
        _cleanup_(lines_close) Lines l = lines_open(worker.sample);
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
        if (conf_parse_text(config_describe(), worker.sample, text, used, c, &e) < 0)
                fail_msg("%s", e.detail);

        assert_string_equal(c->backend, d->backend);
        assert_string_equal(c->image, d->image);
        assert_string_equal(c->warm, d->warm);
        assert_true(redis_settings_equal(&c->redis, &d->redis));
        assert_string_equal(c->advertise, d->advertise);
        redis_settings_clear(&c->redis);
        c->redis = d->redis;
        free(c->advertise);
        c->advertise = d->advertise;
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
        c->redis = (RedisSettings){ 0 };
        c->advertise = NULL;
        c->worker_id = c->backend = c->image = c->coordinators = c->warm = NULL;
}

static void defaults_file_has_every_variable(void **state) {
        const Documents *d = *state;
        _cleanup_(lines_close) Lines l = lines_open(d->defaults);
        char above[256] = "", expected[256];
        size_t n;
        const ConfSetting *s = settings(d, &n), *end = s + n;

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
static char *manual_item(const Documents *d, const char *head, char *buf, size_t size) {
        _cleanup_(lines_close) Lines l = lines_open(d->manual);
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

static void contains(const Documents *d, const char *item, const char *name, const char *format, const char *value) {
        char expected[512];

        (void) snprintf(expected, sizeof expected, "%s%s.", format, value);
        if (!strstr(item, expected))
                fail_msg("%s in %s lacks: %s", name, d->manual, expected);
}

static void manual_says_of_every_setting_what_the_table_says(void **state) {
        const Documents *d = *state;
        size_t n;
        const ConfSetting *s = settings(d, &n);

        for (const ConfSetting *end = s + n; s < end; s++) {
                char head[128], text[4096];

                if (s->environment) {
                        (void) snprintf(head, sizeof head, ".It Ev %s", s->environment);
                        if (!manual_item(d, head, text, sizeof text))
                                fail_msg("%s lacks %s", d->manual, head);
                }
                if (s->environment && s->section) {
                        char place[128];

                        (void) snprintf(place, sizeof place, ".Cm %s= of [%s]", s->key, s->section);
                        contains(d, text, s->environment, "Is above ", place);
                }
                if (s->section) {
                        (void) snprintf(head, sizeof head, ".It Cm %s=", s->key);
                        if (!manual_item(d, head, text, sizeof text))
                                fail_msg("%s lacks %s", d->manual, head);
                }
                contains(d, text, head, "", s->description);
                contains(d, text, head, "Takes ", s->expected);
                contains(d, text, head, "Default: ", *s->fallback ? s->fallback : "nothing");
        }
}

static void manual_knows_no_other_setting(void **state) {
        const Documents *d = *state;
        _cleanup_(lines_close) Lines l = lines_open(d->manual);
        char section[32] = "", key[64];
        size_t n;
        const ConfSetting *s = settings(d, &n), *end = s + n;

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
                cmocka_unit_test_prestate(sample_has_every_setting_with_its_default, &worker),
                cmocka_unit_test_prestate(sample_has_every_setting_with_its_default, &coordinator),
                cmocka_unit_test(sample_without_its_comment_signs_is_what_holds_anyway),
                cmocka_unit_test_prestate(defaults_file_has_every_variable, &worker),
                cmocka_unit_test_prestate(defaults_file_has_every_variable, &coordinator),
                cmocka_unit_test_prestate(manual_says_of_every_setting_what_the_table_says, &worker),
                cmocka_unit_test_prestate(manual_says_of_every_setting_what_the_table_says, &coordinator),
                cmocka_unit_test_prestate(manual_knows_no_other_setting, &worker),
                cmocka_unit_test_prestate(manual_knows_no_other_setting, &coordinator),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
