/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/proc.h"

#include <string.h>

#include "base/text.h"
#include "ctl/terminal.h"

/* Cuts the next line off, NULL at the end. */
static char *next_line(char **rest) {
        char *line;

        do
                line = strsep(rest, "\n");
        while (line && !*line);
        return line;
}

char *proc_interfaces(const char *dev) {
        _cleanup_free_ char *copy = xstrdup(dev);
        char *rest = copy, *names = xstrdup("");

        for (char *line; (line = next_line(&rest));) {
                _cleanup_free_ char *old = NULL;
                size_t n;

                line += strspn(line, " ");
                n = strcspn(line, ":");
                if (!line[n] || strchr(line, '|')) /* the head */
                        continue;
                old = names;
                names = xasprintf("%s%s%.*s", old, *old ? " " : "", (int) n, line);
        }
        return names;
}

bool proc_has_routes(const char *route) {
        _cleanup_free_ char *copy = xstrdup(route);
        char *rest = copy;

        (void) next_line(&rest); /* the head */
        return next_line(&rest);
}

int proc_limit(const char *limits, const char *row, uint64_t *ret) {
        _cleanup_free_ char *copy = xstrdup(limits);
        char *rest = copy;

        for (char *line; (line = next_line(&rest));) {
                char *columns, *hard;

                if (strncmp(line, row, strlen(row)) != 0)
                        continue;
                columns = line + strlen(row);
                (void) strtok_r(columns, " ", &columns); /* the soft limit */
                hard = strtok_r(NULL, " ", &columns);
                if (!hard)
                        return -ENOENT;
                return parse_unsigned(hard, ret) < 0 ? -ERANGE : 0;
        }
        return -ENOENT;
}

/* Is @word one of the options, or the beginning of one if it ends with '='? Returns what follows it. */
static const char *find_option(const char *options, const char *word) {
        size_t n = strlen(word);

        for (const char *p = options; *p; p += strcspn(p, ","), p += *p == ',')
                if (strncmp(p, word, n) == 0 && (word[n - 1] == '=' || p[n] == ',' || p[n] == '\0'))
                        return p + n;
        return NULL;
}

char *proc_unlimited_tmpfs(const char *mounts, uint64_t *ret_size) {
        _cleanup_free_ char *copy = xstrdup(mounts), *unlimited = NULL;
        char *rest = copy;
        uint64_t largest = 0;

        for (char *line; (line = next_line(&rest));) {
                char *save = NULL;
                const char *device = strtok_r(line, " ", &save), *point = strtok_r(NULL, " ", &save);
                const char *type = strtok_r(NULL, " ", &save), *options = strtok_r(NULL, " ", &save), *text;
                _cleanup_free_ char *number = NULL;
                uint64_t size;

                if (!device || !options || strcmp(type, "tmpfs") != 0 || !find_option(options, "rw"))
                        continue;
                text = find_option(options, "size=");
                if (text)
                        number = xasprintf("%.*s", (int) strcspn(text, ","), text);
                if (!number || parse_size(number, &size) < 0) {
                        if (!unlimited)
                                unlimited = xstrdup(point);
                        continue;
                }
                largest = MAX(largest, size);
        }
        *ret_size = largest;
        return take_ptr(unlimited);
}
