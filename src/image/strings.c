/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/strings.h"

#include <string.h>

void strings_done(Strings *s) {
        free(s->items);
        *s = (Strings){};
}

void strings_done_all(Strings *s) {
        for (size_t i = 0; i < s->n; i++)
                free(s->items[i]);
        strings_done(s);
}

int strings_add(Strings *s, char *item) {
        if (s->n == s->n_allocated) {
                size_t n = MAX(s->n_allocated * 2, 64U);
                char **items = reallocarray(s->items, n, sizeof *items);

                if (!items)
                        return -ENOMEM;
                s->items = items;
                s->n_allocated = n;
        }
        s->items[s->n++] = item;
        return 0;
}

static int path_compare(const void *a, const void *b) {
        const char *x = *(char *const *) a, *y = *(char *const *) b;
        const char *x_slash = strrchr(x, '/'), *y_slash = strrchr(y, '/');
        size_t x_folder = x_slash ? (size_t) (x_slash - x) : 0, y_folder = y_slash ? (size_t) (y_slash - y) : 0;
        int c = memcmp(x, y, MIN(x_folder, y_folder));

        if (c != 0)
                return c;
        if (x_folder != y_folder)
                return x_folder < y_folder ? -1 : 1;
        return strcmp(x + x_folder, y + y_folder);
}

void strings_sort_unique(Strings *s) {
        size_t kept = 0;

        if (s->n == 0)
                return;
        qsort(s->items, s->n, sizeof *s->items, path_compare);
        for (size_t i = 1; i < s->n; i++)
                if (strcmp(s->items[kept], s->items[i]) == 0)
                        free(s->items[i]);
                else
                        s->items[++kept] = s->items[i];
        s->n = kept + 1;
}

bool strings_contain(const Strings *s, const char *item) {
        return s->n > 0 && bsearch(&item, s->items, s->n, sizeof *s->items, path_compare);
}
