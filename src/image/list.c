/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/list.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/report.h"

#define LIST_SIZE_MAX (256 * KIB)

void package_list_done(PackageList *l) {
        strings_done(&l->wanted);
        strings_done(&l->stops);
        free(l->text);
        free(l->path);
        *l = (PackageList){};
}

/* Names of both dpkg and rpm are of these characters. */
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._"

static bool entry_is_valid(const char *entry, bool pattern) {
        if (pattern)
                return *entry != '\0' && entry[strspn(entry, NAME_CHARS "*?")] == '\0';

        do {
                size_t n = strspn(entry, NAME_CHARS);

                if (n == 0)
                        return false;
                entry += n;
        } while (*entry++ == '|');
        return entry[-1] == '\0';
}

int package_list_parse(const char *path, char *text, PackageList *ret) {
        _cleanup_(package_list_done) PackageList l = { .path = strdup(path), .text = text };
        char *cursor = text, *line;
        unsigned number = 0;

        if (!l.path)
                return report_memory();

        while ((line = strsep(&cursor, "\n"))) {
                number++;
                line[strcspn(line, "#\r")] = '\0';
                line += strspn(line, " \t");
                size_t n = strlen(line);
                while (n > 0 && strchr(" \t", line[n - 1]))
                        line[--n] = '\0';
                if (n == 0)
                        continue;

                bool stop = line[0] == '!';
                if (!entry_is_valid(line + (stop || line[0] == '?'), stop))
                        return report(EINVAL, "%s:%u: '%s' is not a package: write name, a|b, ?name or !pattern", path,
                                number, line);
                if (strings_add(stop ? &l.stops : &l.wanted, line + stop) < 0)
                        return report_memory();
        }
        if (l.wanted.n == 0)
                return report(EINVAL, "%s: names no package", path);

        *ret = l;
        l = (PackageList){};
        return 0;
}

int package_list_read(const char *path, PackageList *ret) {
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        _cleanup_free_ char *text = NULL;
        size_t used = 0;

        if (fd < 0)
                return report(errno, "%s: %s: give the list of packages with --packages", path, strerror(errno));
        text = malloc(LIST_SIZE_MAX);
        if (!text)
                return report_memory();
        for (;;) {
                ssize_t n = read(fd, text + used, LIST_SIZE_MAX - used);

                if (n < 0)
                        return report(errno, "%s: %s", path, strerror(errno));
                if (n == 0)
                        break;
                used += (size_t) n;
                if (used == LIST_SIZE_MAX)
                        return report(EFBIG, "%s: longer than %u bytes", path, (unsigned) LIST_SIZE_MAX);
        }
        if (memchr(text, '\0', used))
                return report(EINVAL, "%s: not a text file", path);
        text[used] = '\0';
        return package_list_parse(path, take_ptr(text), ret);
}

bool package_list_stops(const PackageList *l, const char *name) {
        for (size_t i = 0; i < l->stops.n; i++)
                if (fnmatch(l->stops.items[i], name, 0) == 0)
                        return true;
        return false;
}
