/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/owner.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/report.h"

#define BOX_USER "sandboxd-box"
#define RANGE_MIN UINT64_C(65536)
#define ID_FILE_SIZE_MAX (1 * MIB)

/* Reads a number of one id and sets @text behind it. (id_t)-1 means "none" to the kernel. */
static int parse_id(const char **text, uint32_t *ret) {
        char *end;

        if (**text < '0' || **text > '9')
                return -EINVAL;
        errno = 0;
        unsigned long long value = strtoull(*text, &end, 10);
        if (errno != 0 || value >= UINT32_MAX)
                return -ERANGE;
        *text = end;
        *ret = (uint32_t) value;
        return 0;
}

int owner_parse(const char *text, Owner *ret) {
        uint32_t uid, gid;

        int r = parse_id(&text, &uid);
        if (r < 0)
                return r;
        if (*text++ != ':')
                return -EINVAL;
        r = parse_id(&text, &gid);
        if (r < 0)
                return r;
        if (*text != '\0')
                return -EINVAL;
        *ret = (Owner){ .uid = uid, .gid = gid };
        return 0;
}

int owner_find_range(const char *text, const char *user, uint32_t *ret_first) {
        size_t n = strlen(user);

        for (const char *line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
                uint32_t first, count;
                const char *value = line + n + 1;

                if (strncmp(line, user, n) != 0 || line[n] != ':')
                        continue;
                if (parse_id(&value, &first) < 0 || *value++ != ':' || parse_id(&value, &count) < 0)
                        continue;
                if (count < RANGE_MIN)
                        continue;
                *ret_first = first;
                return 0;
        }
        return -ENOENT;
}

static int read_range(const char *path, uint32_t *ret_first) {
        _cleanup_free_ char *text = malloc(ID_FILE_SIZE_MAX);

        if (!text)
                return -ENOMEM;
        ssize_t n = file_read(AT_FDCWD, path, text, ID_FILE_SIZE_MAX);
        return n < 0 ? (int) n : owner_find_range(text, BOX_USER, ret_first);
}

/* Is @id known in this user namespace? @ret_initial: are all ids? */
static bool is_mapped(const char *map_path, uint32_t id, bool *ret_initial) {
        FILE *f = fopen(map_path, "re");
        unsigned inside, outside, count;
        bool found = !f; /* no user namespaces here */

        *ret_initial = !f;
        while (f && fscanf(f, "%u %u %u", &inside, &outside, &count) == 3) {
                found = found || (id >= inside && id - inside < count);
                *ret_initial = *ret_initial || count == UINT32_MAX;
        }
        if (f)
                (void) fclose(f);
        return found;
}

int owner_default(Owner *ret) {
        uint32_t uid = 0, gid = 0;
        bool initial, mapped;

        *ret = (Owner){ .uid = geteuid(), .gid = getegid() };
        if (ret->uid != 0)
                return 0;

        const char *path = "/etc/subuid";
        int r = read_range(path, &uid);
        if (r == 0) {
                path = "/etc/subgid";
                r = read_range(path, &gid);
        }
        mapped = is_mapped("/proc/self/uid_map", uid, &initial) && is_mapped("/proc/self/gid_map", gid, &initial);
        if (r == 0 && mapped) {
                *ret = (Owner){ .uid = uid, .gid = gid };
                return 0;
        }
        if (!initial)
                return 0;
        return report(r < 0 ? r : ENOENT,
                "%s: no range of at least %u ids of user " BOX_USER ": add one with 'usermod "
                "--add-subuids FIRST-LAST --add-subgids FIRST-LAST " BOX_USER "', or give --owner UID:GID",
                path, (unsigned) RANGE_MIN);
}
