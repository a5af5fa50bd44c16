/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "conf/conf.h"

static int check_bounds(const ConfSetting *s, uint64_t value) {
        return value < s->min || value > s->max ? -ERANGE : 0;
}

int conf_parse_unsigned(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        uint64_t n = 0;

        assert(s->size == sizeof(unsigned));
        assert(s->max <= UINT_MAX);

        int r = *value ? parse_unsigned(value, &n) : 0;
        if (r < 0)
                return r;
        r = check_bounds(s, n);
        if (r < 0)
                return r;
        *(unsigned *) field = (unsigned) n;
        return 0;
}

int conf_parse_boolean(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        assert(s->size == sizeof(bool));

        return parse_boolean(value, field);
}

int conf_parse_size(const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        uint64_t n;

        assert(s->size == sizeof(uint64_t));

        int r = parse_size(value, &n);
        if (r < 0)
                return r;
        r = check_bounds(s, n);
        if (r < 0)
                return r;
        *(uint64_t *) field = n;
        return 0;
}

int conf_parse_duration(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        usec_t n;

        assert(s->size == sizeof(usec_t));

        int r = parse_duration(value, &n);
        if (r < 0)
                return r;
        r = check_bounds(s, n);
        if (r < 0)
                return r;
        *(usec_t *) field = n;
        return 0;
}

int conf_parse_cpu_quota(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        uint32_t n;

        assert(s->size == sizeof(uint32_t));

        int r = parse_cpu_quota(value, &n);
        if (r < 0)
                return r;
        r = check_bounds(s, n);
        if (r < 0)
                return r;
        *(uint32_t *) field = n;
        return 0;
}

static bool is_choice(const ConfSetting *s, const char *value) {
        size_t length = strlen(value);

        for (const char *word = s->choices; *word;) {
                size_t n = strcspn(word, " ");
                if (n == length && strncmp(word, value, n) == 0)
                        return true;
                word += n + strspn(word + n, " ");
        }
        return false;
}

int conf_parse_choice(const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        char **member = field;

        assert(s->size == sizeof(char *));

        if (!is_choice(s, value))
                return -EINVAL;
        char *copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(*member);
        *member = copy;
        return 0;
}

int conf_parse_only(
        const ConfSetting *s, const char *value, bool more _unused_, void *field _unused_, Error *error _unused_) {
        return is_choice(s, value) ? 0 : -EINVAL;
}
