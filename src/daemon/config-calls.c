/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "daemon/config.h"
#include "spec/image.h"

/* SystemCalls=: groups of system calls that the sandboxes of one image have besides those that all have. */

#define BLANKS " \t\r"

static const struct {
        const char *name;
        unsigned bit;
} groups[] = {
        { "@aio", CALLS_AIO },
        { "@debug", CALLS_DEBUG },
        { "@numa", CALLS_NUMA },
};

static unsigned find_group(const char *name, size_t length) {
        for (size_t i = 0; i < ELEMENTSOF(groups); i++)
                if (strlen(groups[i].name) == length && memcmp(groups[i].name, name, length) == 0)
                        return groups[i].bit;
        return 0;
}

int config_parse_calls(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        unsigned calls = 0;

        assert(s->size == sizeof(unsigned));

        for (const char *p = value + strspn(value, BLANKS); *p; p += strspn(p, BLANKS)) {
                size_t length = strcspn(p, BLANKS);
                unsigned bit = find_group(p, length);
                if (bit == 0)
                        return -EINVAL;
                calls |= bit;
                p += length;
        }
        *(unsigned *) field = calls;
        return 0;
}

/* @b: one that the configuration names, so that it is well-formed. */
static bool is_same_image(const char *a, const char *b) {
        char one[IMAGE_FOLDER_MAX], other[IMAGE_FOLDER_MAX];

        if (strcmp(a, b) == 0)
                return true;
        return image_folder(a, one) == 0 && image_folder(b, other) == 0 && strcmp(one, other) == 0;
}

uint32_t config_calls(const Config *c, const char *name) {
        if (is_same_image(name, c->image))
                return c->calls;
        for (size_t i = 0; i < c->n_pools; i++)
                if (is_same_image(name, c->pools[i].image))
                        return c->pools[i].calls;
        return 0;
}
