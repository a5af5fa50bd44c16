/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/usage.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/source.h"

#define TEXT_MAX (1 * MIB) /* of one process; a sandbox has about a dozen mounts */

bool usage_in_text(const char *text, const char *folder) {
        size_t n = strlen(folder);

        /* the options of a sandbox's root: lowerdir=/skeleton:/images/NAME-<n>/rootfs */
        for (const char *p = text; (p = strstr(p, ":/images/")); p++) {
                const char *name = p + strlen(":/images/");
                if (strncmp(name, folder, n) == 0 && strncmp(name + n, "/rootfs", 7) == 0)
                        return true;
        }
        return false;
}

/* Reads all, unless it is longer than any sandbox's. */
static bool process_uses(int proc, const char *pid, char *text, const char *folder) {
        char path[32];
        size_t used = 0;

        (void) snprintf(path, sizeof path, "%.16s/mountinfo", pid);
        _cleanup_fd_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
        while (fd >= 0 && used < TEXT_MAX - 1) {
                ssize_t n = read(fd, text + used, TEXT_MAX - 1 - used);
                if (n <= 0)
                        break;
                used += (size_t) n;
        }
        text[used] = '\0';
        return usage_in_text(text, folder);
}

int usage_find(const char *folder) {
        int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedir_p) DIR *d = fd < 0 ? NULL : fdopendir(fd);
        _cleanup_free_ char *text = malloc(TEXT_MAX);
        struct dirent *entry;

        if (!d || !text)
                return -ENOMEM;
        while ((entry = readdir(d)))
                if (isdigit((unsigned char) entry->d_name[0]) && process_uses(dirfd(d), entry->d_name, text, folder))
                        return 1;
        return faccessat(dirfd(d), "1/mountinfo", R_OK, 0) < 0 ? -EPERM : 0;
}
