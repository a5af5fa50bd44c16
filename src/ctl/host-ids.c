/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/host.h"
#include "ctl/terminal.h"

#define BOX_USER "sandboxd-box"
#define RANGE_MIN 65536U
#define ALLOCATE LIBEXECDIR "/sandboxd-allocate-ids"

typedef struct Range {
        uint64_t start, count;
} Range;

static FILE *open_below(const char *root, const char *path) {
        _cleanup_free_ char *full = xasprintf("%s%s", root, path);

        return fopen(full, "re");
}

/* The line of @name in a file of the form of passwd(5); @ret_id: its third field. */
static bool find_account(const char *root, const char *path, const char *name, unsigned *ret_id) {
        FILE *f = open_below(root, path);
        char line[1024];
        size_t n = strlen(name);
        bool found = false;

        while (f && !found && fgets(line, sizeof line, f))
                if (strncmp(line, name, n) == 0 && line[n] == ':') {
                        const char *id = strchr(line + n + 1, ':');
                        found = id && sscanf(id + 1, "%u", ret_id) == 1;
                }
        if (f)
                (void) fclose(f);
        return found;
}

static bool read_line(const char *line, char name[static 64], Range *ret) {
        return sscanf(line, "%63[^:]:%" SCNu64 ":%" SCNu64, name, &ret->start, &ret->count) == 3;
}

/* The first range of the spawner's user that is large enough. */
static bool find_range(const char *root, const char *path, unsigned uid, Range *ret) {
        FILE *f = open_below(root, path);
        char line[512], name[64], number[16];
        bool found = false;

        (void) snprintf(number, sizeof number, "%u", uid);
        while (f && !found && fgets(line, sizeof line, f))
                found = read_line(line, name, ret) && (strcmp(name, BOX_USER) == 0 || strcmp(name, number) == 0) &&
                        ret->count >= RANGE_MIN;
        if (f)
                (void) fclose(f);
        return found;
}

/* Who else has some of the same ids: new string, NULL for nobody. */
static char *find_sharer(const char *root, const char *path, unsigned uid, const Range *own) {
        FILE *f = open_below(root, path);
        char line[512], name[64], number[16], *sharer = NULL;
        Range r;

        (void) snprintf(number, sizeof number, "%u", uid);
        while (f && !sharer && fgets(line, sizeof line, f))
                if (read_line(line, name, &r) && strcmp(name, BOX_USER) != 0 && strcmp(name, number) != 0 &&
                        r.start < own->start + own->count && r.start + r.count > own->start)
                        sharer = xstrdup(name);
        if (f)
                (void) fclose(f);
        return sharer;
}

static void check_file(const char *root, const char *name, const char *path, unsigned uid, Findings *f) {
        _cleanup_free_ char *sharer = NULL;
        Range range;

        if (!find_range(root, path, uid, &range)) {
                findings_add(f, name, FINDING_BAD,
                        xasprintf("%s has no range of at least %u ids for " BOX_USER, path, RANGE_MIN),
                        xstrdup(ALLOCATE));
                return;
        }
        sharer = find_sharer(root, path, uid, &range);
        if (sharer) {
                _cleanup_free_ char *safe = terminal_escape_string(sharer);
                findings_add(f, name, FINDING_BAD, xasprintf("%s gives ids of " BOX_USER " to %s too", path, safe),
                        xasprintf("change one of the two lines so that the ranges do not meet; without the line of "
                                  "" BOX_USER ", " ALLOCATE " finds a free one"));
                return;
        }
        findings_add(f, name, FINDING_GOOD, xasprintf("%" PRIu64 " from %" PRIu64, range.count, range.start), NULL);
}

void host_check_ids(const char *root, Findings *f) {
        unsigned uid;

        if (!find_account(root, "/etc/passwd", BOX_USER, &uid) ||
                !find_account(root, "/etc/passwd", "sandboxd", &(unsigned){ 0 })) {
                findings_add(f, "users", FINDING_BAD, xstrdup("there is no user sandboxd or " BOX_USER),
                        xstrdup("systemd-sysusers sandboxd.conf && " ALLOCATE));
                return;
        }
        findings_add(f, "users", FINDING_GOOD, xstrdup("sandboxd and " BOX_USER), NULL);
        check_file(root, "subordinate uids", "/etc/subuid", uid, f);
        check_file(root, "subordinate gids", "/etc/subgid", uid, f);
}
