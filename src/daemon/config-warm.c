/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "daemon/config.h"

/* [Sandbox] Warm=: words, each an interpreter, or IMAGE:INTERPRETER for that image. */

#define BLANKS " \t\r"

static bool is_interpreter(const char *text, size_t length) {
        static const char *const names[] = { "python3", "bash", "node" };

        return text_is_one_of(text, length, names, ELEMENTSOF(names));
}

/* The last colon of a word is before the interpreter: names of images may have others. */
static const char *interpreter_of(const char *word, size_t length) {
        const char *colon = memrchr(word, ':', length);

        return colon ? colon + 1 : word;
}

int config_parse_warm(const ConfSetting *s _unused_, const char *value, bool more, void *field, Error *error _unused_) {
        char **warm = field, *text;

        for (const char *p = value + strspn(value, BLANKS); *p; p += strspn(p, BLANKS)) {
                size_t length = strcspn(p, BLANKS);
                const char *name = interpreter_of(p, length);
                if (!is_interpreter(name, length - (size_t) (name - p)))
                        return -EINVAL;
                p += length;
        }
        if (asprintf(&text, "%s %s", more && *warm ? *warm : "", value) < 0)
                return -ENOMEM;
        free(*warm);
        *warm = text;
        return 0;
}

char *config_warm(const Config *c) {
        const char *found = NULL;
        size_t found_length = 0;

        for (const char *p = c->warm + strspn(c->warm, BLANKS); *p; p += strspn(p, BLANKS)) {
                size_t length = strcspn(p, BLANKS);
                const char *name = interpreter_of(p, length);
                bool mine = name > p && strlen(c->image) == (size_t) (name - p) - 1 &&
                            memcmp(c->image, p, (size_t) (name - p) - 1) == 0;
                /* what is said of the image itself counts more than what is said of all */
                if (mine || (name == p && !found)) {
                        found = name;
                        found_length = length - (size_t) (name - p);
                }
                p += length;
                if (mine)
                        break;
        }
        return found ? strndup(found, found_length) : NULL;
}
