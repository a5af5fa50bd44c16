/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "archive/path.h"

#include <string.h>

int entry_path(const char *path, char ret[static FILE_PATH_MAX]) {
        size_t used = 0;

        for (const char *p = path; *p;) {
                size_t n = strcspn(p, "/");
                if (n == 2 && p[0] == '.' && p[1] == '.')
                        return -EINVAL;
                if (n > 0 && !(n == 1 && p[0] == '.')) {
                        if (used + 1 + n >= FILE_PATH_MAX)
                                return -ENAMETOOLONG;
                        if (used > 0)
                                ret[used++] = '/';
                        memcpy(ret + used, p, n);
                        used += n;
                }
                p += n;
                p += strspn(p, "/");
        }
        ret[used] = '\0';
        return 0;
}
