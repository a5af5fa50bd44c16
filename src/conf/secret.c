/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"

int conf_find_secret(const char *name, const char *copy, char **ret) {
        const char *folder = getenv("CREDENTIALS_DIRECTORY");

        if (!folder || !*folder)
                return 0;
        /* one that cannot be read is another service's, beside which we run */
        if (copy && access(copy, R_OK) == 0) {
                *ret = strdup(copy);
                return *ret ? 1 : -ENOMEM;
        }
        if (asprintf(ret, "%s/%s", folder, name) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 1;
}

int conf_load_secret(const char *name, const char *copy, char **field, Error *error) {
        _cleanup_free_ char *path = NULL;
        char *text = NULL;
        size_t length;

        int r = conf_find_secret(name, copy, &path);
        if (r <= 0)
                return r;
        r = conf_read_file(path, &text, &length, error);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        text[strcspn(text, "\r\n")] = '\0';
        if (!*text) {
                free(text); /* an empty line stands in where there is none */
                return 0;
        }
        free(*field);
        *field = text;
        return 0;
}
