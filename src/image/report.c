/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int report(int error, const char *format, ...) {
        va_list ap;

        (void) fputs("sandboxd-base-image: ", stderr);
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
        return -abs(error);
}

int report_write(int error, const char *path) {
        error = abs(error);

        switch (error) {
        case ENOSPC:
        case EDQUOT:
                return report(error,
                        "%s: %s: free some space (an image takes 100 to 400 MiB), or give another folder "
                        "with --images",
                        path, strerror(error));
        case EACCES:
        case EPERM:
        case EROFS:
                return report(error, "%s: %s: run as its owner, or give a writable folder with --images", path,
                        strerror(error));
        default:
                return report(error, "%s: %s", path, strerror(error));
        }
}

int report_memory(void) {
        return report(ENOMEM, "out of memory");
}
